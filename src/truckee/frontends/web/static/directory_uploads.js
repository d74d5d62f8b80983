// Files and whole directories from this device into a directory: chosen or dropped, sent as
// the first page sends files, and linked (directory_links.js).
"use strict";

(() => {
  const { Memory, Queue, Transfer, amount, timeLeft } = self.truckeeTus;
  const page = self.truckeeDirectory;
  const { HERE, counted, element, say } = page;
  const { decide, linkerOf } = self.truckeeLinks;
  const LISTED = 20; // files that are listed at once
  const DRAWN = 150; // milliseconds between two looks at what is under way
  const RATED = 5000; // milliseconds of which the rate is told

  const input = document.getElementById("file");
  const drop = document.getElementById("drop");
  const memory = new Memory("into");
  const queue = new Queue(memory);
  const items = queue.items;
  const total = { files: 0, bytes: 0, done: 0, sent: 0 }; // sent: of those that are done
  const open = (item) => item.goesOn || ["storing", "linking"].includes(item.state);

  // Which directory an upload was for, as far as the browser remembers; no cap is in it.
  let where = 0;
  for (const letter of HERE) where = (Math.imul(where, 31) + letter.codePointAt(0)) >>> 0;

  // One file

  class Item extends Transfer {
    constructor(key, way, name, size, choice) {
      super(queue, key, name, size);
      Object.assign(this, { way, choice, wanted: name, cap: "", text: "", node: null });
      this.also = { way, where };
      this.path = [...way, name].join("/");
      this.wayKey = JSON.stringify(way);
    }

    become(state, text) {
      this.state = state;
      this.tell(text);
    }

    tell(text) {
      this.text = text;
      draw();
    }

    show(offset) {
      this.offset = offset;
      draw();
    }

    refuse(message) {
      this.become("failed", message);
      say(`${this.path} failed: ${message}`);
    }

    begin() {
      if (this.cap) this.finish(this.cap); else super.begin();
    }

    finish(cap) {
      this.cap = cap;
      this.offset = this.size;
      this.become("linking", "Stored. It is being linked …");
      linkerOf(this.way).add(this);
    }

    linked() {
      total.done += 1;
      total.sent += this.size;
      this.leave();
    }

    skip() {
      this.uncount();
      this.leave();
    }

    uncount() {
      total.files -= 1;
      total.bytes -= this.size;
    }

    giveUp() {
      this.discard();
      this.uncount();
      this.leave();
    }

    leave() {
      memory.drop(this);
      this.state = "gone";
      queue.remove(this);
      draw();
    }
  }

  self.truckeeLinks.expects = (way) => {
    const key = JSON.stringify(way);
    return items.some((item) => item.wayKey === key && ["waiting", "sending", "storing"].includes(item.state));
  };

  // What is under way, in total and per file

  const bar = element("progress", { max: 1, value: 0, label: "Progress of all uploads" });
  const told = element("p", { className: "says" });
  const list = element("ul", { id: "uploads", label: "Uploads" });
  const more = element("p", { className: "says" });
  const all = element("button", { type: "button", onclick: () => pauseAll() });
  const cancel = element("button", { type: "button", onclick: () => cancelAll() }, "Cancel all");
  const box = element("section", { id: "sending", hidden: true }, element("h2", {}, "Uploads"),
    bar, told, element("div", { className: "row" }, all, cancel), list, more);
  drop.after(box);

  let due = 0;
  function draw() {
    if (!due) due = setTimeout(drawNow, DRAWN);
  }

  const samples = [];
  function drawNow() {
    due = 0;
    const focused = document.activeElement;
    const inside = box.contains(focused);
    const shown = items.filter((item) => item.state !== "waiting" && item.state !== "absent").slice(0, LISTED);
    const nodes = shown.map(nodeOf);
    for (const node of [...list.children]) if (!nodes.includes(node)) node.remove();
    nodes.forEach((node, at) => { if (list.children[at] !== node) list.insertBefore(node, list.children[at] ?? null); });
    const rest = items.filter((item) => item.state !== "absent").length - shown.length;
    more.textContent = rest > 0 ? `${counted(rest, "more file")} ${rest === 1 ? "waits" : "wait"}.` : "";
    const sent = total.sent + items.reduce((sum, item) => sum + (item.state === "absent" ? 0 : item.offset), 0);
    bar.max = Math.max(1, total.bytes);
    bar.value = total.bytes ? sent : total.done;
    const now = performance.now();
    samples.push([now, sent]);
    while (samples.length > 2 && samples[0][0] < now - RATED) samples.shift();
    const [[then, before]] = samples;
    const rate = now > then && items.some((item) => item.state === "sending") ? (sent - before) * 1000 / (now - then) : 0;
    const left = rate > 0 ? timeLeft(total.bytes - sent, rate) : "";
    told.textContent = `${total.done} of ${counted(total.files, "file")}, ${amount(sent)} of ${amount(total.bytes)}` +
      (rate > 0 ? `, ${amount(rate)}/s` : "") + (left ? `, ${left}` : "");
    all.textContent = items.some((item) => item.goesOn) ? "Pause all" : "Resume all";
    all.hidden = !items.some((item) => item.goesOn || ["paused", "failed"].includes(item.state));
    finish();
    if (inside && !focused.isConnected) (box.hidden ? input : list.querySelector("button:not([hidden])") ?? cancel).focus();
    else if (inside && (box.hidden || focused.hidden)) input.focus();
  }

  // Lets go of the totals when nothing is left, and tells it.
  function finish() {
    const left = items.filter((item) => item.state !== "absent");
    box.hidden = !left.length;
    if (left.length || !total.files) return;
    if (total.done) say(`${counted(total.done, "file")} ${total.done === 1 ? "is" : "are"} stored and linked.`);
    Object.assign(total, { files: 0, bytes: 0, done: 0, sent: 0 });
    samples.length = 0;
  }

  function nodeOf(item) {
    if (!item.node) {
      const parts = {
        bar: element("progress", { max: Math.max(1, item.size), label: `Progress of ${item.path}` }),
        told: element("p", { className: "told says" }),
        turn: element("button", { type: "button", onclick: () => toggle(item) }),
        cancel: element("button", { type: "button", label: `Cancel: ${item.path}`, onclick: () => item.giveUp() }, "Cancel"),
      };
      const buttons = element("p", { className: "row" }, parts.turn, parts.cancel);
      item.node = element("li", {}, element("strong", {}, element("bdi", {}, item.path)), parts.bar, parts.told, buttons);
      item.parts = parts;
    }
    const { bar: each, told: text, turn, cancel: give } = item.parts;
    item.node.dataset.state = item.state;
    if (item.state === "storing" || item.state === "linking") each.removeAttribute("value");
    else each.value = item.size ? item.offset : 0;
    text.textContent = item.text;
    turn.hidden = !(item.goesOn || ["paused", "failed"].includes(item.state));
    const word = item.goesOn ? "Pause" : item.state === "failed" ? "Try again" : "Resume";
    turn.textContent = word;
    turn.setAttribute("aria-label", `${word}: ${item.path}`);
    give.hidden = item.state === "storing" || item.state === "linking";
    return item.node;
  }

  function toggle(item) {
    if (item.goesOn) {
      item.pause();
      say(`${item.path} is paused.`);
      queue.next();
    } else {
      item.begin();
      say(`${item.path} is resumed.`);
    }
  }

  function pauseAll() {
    const running = items.filter((item) => item.goesOn);
    for (const item of running) item.pause();
    if (!running.length) for (const item of [...items]) if (["paused", "failed"].includes(item.state)) item.begin();
    say(running.length ? "All uploads are paused." : "The uploads are resumed.");
    drawNow();
  }

  function cancelAll() {
    const gone = items.filter((item) => !["storing", "linking", "absent"].includes(item.state));
    for (const item of gone) item.giveUp();
    say(`${counted(gone.length, "upload")} ${gone.length === 1 ? "is" : "are"} cancelled. What is linked stays.`);
    drawNow();
  }

  // What is chosen

  async function add(found) {
    if (!found.length) return;
    const choice = {};
    // Names that are taken here are asked for before anything is sent.
    const here = new Set(page.all().map((entry) => entry.name));
    const taken = found.filter(({ way, file }) => !way.length && here.has(file.name.normalize("NFC")));
    if (taken.length) {
      const answer = await decide(choice, taken.map(({ file }) => file.name));
      if (answer === "skip") found = found.filter((each) => !taken.includes(each));
    }
    const added = [];
    for (const { way, file } of found) {
      const key = memory.keyOf(file, where, way);
      let item = items.find((each) => each.key === key);
      if (item && item.state !== "absent") continue;
      item ??= new Item(key, way, file.name, file.size, choice);
      item.choice = choice;
      item.file = file;
      total.files += 1;
      total.bytes += file.size;
      added.push(item);
    }
    for (const item of added) item.state = "waiting";
    queue.next();
    say(added.length === 1 ? `${added[0].path} is being uploaded.` : `${counted(added.length, "file")} are being uploaded.`);
    tellAbsent();
    drawNow();
  }

  const chosen = (list) => [...list].map((file) => {
    const way = (file.webkitRelativePath || file.name).split("/");
    way.pop();
    return { way, file };
  });

  // All files below what was dropped, and the directories in which there are none.
  async function walk(entries, way, found, empty) {
    for (const entry of entries) {
      if (entry.isFile) {
        found.push({ way, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
        continue;
      }
      const reader = entry.createReader();
      const inside = [];
      for (;;) {
        const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (!some.length) break;
        inside.push(...some);
      }
      const below = [...way, entry.name];
      if (inside.length) await walk(inside, below, found, empty); else empty.push(below);
    }
  }

  async function take(dropped, way) {
    const found = [];
    const empty = [];
    try {
      await walk(dropped, way, found, empty);
      await add(found);
      for (const each of empty) await linkerOf(each).make();
      if (empty.length && !found.length) say(`${counted(empty.length, "directory")} ${empty.length === 1 ? "is" : "are"} made.`);
    } catch (error) { say(error.message); }
  }

  input.multiple = true;
  document.getElementById("send").hidden = true; // files go as soon as they are chosen
  const folder = "webkitdirectory" in input && element("input", { type: "file", id: "folder", multiple: true, webkitdirectory: true });
  if (folder) input.closest(".row").after(element("label", { htmlFor: "folder" }, "A directory from this device"), folder);
  for (const each of [input, folder].filter(Boolean)) {
    each.addEventListener("change", () => { add(chosen(each.files)); each.value = ""; });
  }
  drop.classList.add("ready");
  drop.querySelector("form").onsubmit = (event) => event.preventDefault();

  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
  let over = null; // the row of a directory over which files are
  function mark(row) {
    if (over !== row) over?.classList.remove("over");
    over = row;
    over?.classList.add("over");
  }
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      if (!isFiles(event)) return;
      event.preventDefault();
      const row = event.target.closest?.("tbody tr.folder") ?? null;
      drop.classList.toggle("over", name === "dragover" && !row);
      mark(name === "dragover" ? row : null);
      if (name !== "drop") return;
      const way = row ? [page.entryOf(row).name] : [];
      // What is dropped can be asked for its entries only now.
      const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
      if (entries.length) take(entries, way);
      else add([...event.dataTransfer.files].map((file) => ({ way, file })));
    });
  }
  addEventListener("beforeunload", (event) => {
    if (items.some(open)) event.preventDefault();
  });

  // What an earlier visit left

  const left = element("p", { className: "says", id: "left", hidden: true });
  box.after(left);

  function tellAbsent() {
    const absent = items.filter((item) => item.state === "absent");
    left.hidden = !absent.length;
    if (!absent.length) return;
    const forget = element("button", { type: "button" }, absent.length === 1 ? "Give it up" : "Give them up");
    forget.onclick = () => {
      for (const item of absent) { item.discard(); item.leave(); }
      tellAbsent();
      input.focus();
    };
    const what = absent.length === 1 ? `The upload of ${absent[0].path} was` : `${absent.length} uploads were`;
    left.replaceChildren(`${what} broken off. Choose the same again, and only what is missing is sent. `, forget);
  }

  async function recall({ key, url, name, size, way, where: there }) {
    if (there !== where || !Array.isArray(way)) return;
    const item = new Item(key, way.map(String), name, size, {});
    item.url = url;
    item.state = "absent";
    total.files += 1; // in case that it is stored by now
    total.bytes += size;
    const here = await item.recall();
    if (!here || item.state === "absent") item.uncount();
    if (!here) queue.remove(item);
    tellAbsent();
    draw();
  }
  memory.load().forEach(recall);
})();
