// Uploads from the page /upload, with tus (docs/formats/tus.md).
//
// What is under way is remembered in this browser by the file's name, size, date and type:
// after a reload or a crash the same file, chosen again, goes on where it was.
"use strict";

(() => {
  // A proxy may have the gateway below a path of its own, and another one beside it.
  const ROOT = new URL("..", document.currentScript.src).pathname;
  const ENDPOINT = `${ROOT}tus/`;
  const REMEMBERED = "truckee-upload:" + (ROOT === "/" ? "" : ROOT);
  const AT_ONCE = 2; // files; more would only share the line
  const FIRST_WAIT = 500; // milliseconds
  const LAST_WAIT = 30000;
  const STALLED = 60000; // without a byte the line is taken for dead
  const SHORT = 30000; // for what should be answered at once
  const ASK_EVERY = 3000; // for the cap, while the file is being stored

  const list = document.getElementById("uploads");
  const input = document.getElementById("file");
  const said = document.getElementById("said");
  const drop = document.getElementById("drop");
  const all = document.getElementById("all");
  const undo = document.getElementById("undo");
  const caps = self.truckeeCaps;
  const items = [];
  let forgotten = []; // what the last click let go of

  const say = (text) => { said.textContent = text; };

  function element(kind, properties, ...children) {
    const made = Object.assign(document.createElement(kind), properties);
    made.append(...children);
    return made;
  }

  function amount(size) {
    const units = ["bytes", "kB", "MB", "GB", "TB"];
    let unit = 0;
    while (size >= 999.95 && unit < units.length - 1) { size /= 1000; unit += 1; }
    return `${unit ? size.toFixed(1) : size} ${units[unit]}`;
  }

  // What is remembered

  const memory = {
    load() {
      const found = [];
      try {
        for (const key of Object.keys(localStorage)) {
          if (!key.startsWith(REMEMBERED)) continue;
          try {
            const { url, name, size } = JSON.parse(localStorage.getItem(key));
            if (/^[^[]+\/\[/.test(key.slice(REMEMBERED.length))) continue; // another gateway's
            if (!url.startsWith(ENDPOINT) || !Number.isSafeInteger(size)) throw new TypeError(key);
            found.push({ key, url, name: String(name), size: Number(size) });
          } catch { localStorage.removeItem(key); }
        }
      } catch { /* this browser remembers nothing */ }
      return found;
    },
    keep(item) {
      const { url, name, size } = item;
      try { localStorage.setItem(item.key, JSON.stringify({ url, name, size })); } catch { /* full */ }
    },
    drop(item) {
      try { localStorage.removeItem(item.key); } catch { /* nothing is there */ }
    },
  };

  const keyOf = (file) =>
    REMEMBERED + JSON.stringify([file.name, file.size, file.lastModified, file.type]);

  // Requests

  class Lost extends Error {} // the line broke, or it is to be tried again

  class Refused extends Error {
    constructor(reply) {
      super(reply.responseText.trim() || `the gateway answered ${reply.status}`);
      this.status = reply.status;
    }
  }

  // Answers with the finished request, whatever its status is.
  function ask(item, method, url, headers, body) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      let stalled = 0;
      const watch = () => {
        clearTimeout(stalled);
        stalled = setTimeout(() => request.abort(), STALLED);
      };
      const end = (act) => () => { clearTimeout(stalled); item.request = null; act(); };
      request.open(method, url);
      request.setRequestHeader("Tus-Resumable", "1.0.0");
      for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      if (body && body.size) {
        request.upload.onprogress = (event) => { watch(); item.sent(event.loaded); };
        request.upload.onload = () => { clearTimeout(stalled); item.allSent(body.size); };
        watch();
      } else if (!body) {
        request.timeout = SHORT;
      }
      request.onload = end(() => resolve(request));
      request.onerror = end(() => reject(new Lost("the line is lost")));
      request.ontimeout = end(() => reject(new Lost("the gateway is silent")));
      request.onabort = end(() => reject(new Lost("the line is silent")));
      item.request = request;
      request.send(body);
    });
  }

  // What refuses the file for good is Refused; everything else may be tried again.
  function check(reply) {
    if (reply.status >= 200 && reply.status < 300) return reply;
    if ([404, 410, 400, 403, 412, 413, 415].includes(reply.status)) throw new Refused(reply);
    throw new Lost(new Refused(reply).message);
  }

  const text64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

  // One file

  class Item {
    constructor(key, name, size) {
      Object.assign(this, { key, name, size, url: "", file: null, request: null });
      Object.assign(this, { kept: "", cap: "" });
      Object.assign(this, { state: "", base: 0, offset: 0, wait: FIRST_WAIT, timer: 0, turn: 0 });
      this.bar = element("progress", { max: Math.max(1, size), value: 0 });
      this.bar.setAttribute("aria-label", `Progress of ${name}`);
      this.told = element("p", { className: "told says" });
      this.pause = element("button", { type: "button", onclick: () => this.toggle() });
      this.cancel = element("button", { type: "button", onclick: () => this.giveUp() });
      this.buttons = element("p", { className: "row" }, this.pause, this.cancel);
      this.node = element("li", {}, element("strong", {}, name), this.bar, this.told, this.buttons);
      list.append(this.node);
      items.push(this);
    }

    become(state, text) {
      this.state = state;
      this.node.dataset.state = state;
      this.told.textContent = text;
      const goesOn = ["waiting", "sending", "lost"].includes(state);
      this.pause.hidden = !(goesOn || state === "paused" || state === "failed");
      this.label(this.pause, goesOn ? "Pause" : state === "failed" ? "Try again" : "Resume");
      this.cancel.hidden = state === "storing";
      const over = { done: "Forget cap", failed: "Give up" };
      this.label(this.cancel, over[state] ?? "Cancel");
      if (state === "storing") this.bar.removeAttribute("value");
    }

    label(button, text) {
      button.textContent = text;
      button.setAttribute("aria-label", `${text}: ${this.name}`);
    }

    show(offset) {
      this.offset = offset;
      this.bar.value = this.size ? offset : 1;
    }

    // From the one who sends

    sent(count) {
      if (this.state !== "sending") return;
      this.show(this.base + count);
      const seconds = (performance.now() - this.began) / 1000;
      let text = `${amount(this.offset)} of ${amount(this.size)}`;
      if (seconds > 1) {
        const rate = count / seconds;
        text += `, ${amount(rate)}/s`;
        const left = (this.size - this.offset) / rate;
        if (left < 1e6) text += left < 90 ? `, ${Math.ceil(left)} s left` : `, ${Math.ceil(left / 60)} min left`;
      }
      this.told.textContent = text;
      this.wait = FIRST_WAIT;
    }

    allSent(count) {
      this.show(this.base + count);
      if (this.offset === this.size) this.store();
    }

    store() {
      this.become("storing", "All is sent. It is being stored on the grid …");
      const turn = this.turn;
      const look = async () => {
        try {
          const told = await (await fetch(this.url, { cache: "no-store" })).json();
          if (this.turn !== turn) return;
          if (told.cap) this.done(told.cap);
          else if (told.state === "failed") this.stop("failed", told.error);
        } catch { /* the answer itself will come, or another turn */ }
        if (this.turn === turn && this.state === "storing") setTimeout(look, ASK_EVERY);
      };
      setTimeout(look, ASK_EVERY);
    }

    // From the person

    take(file) {
      this.file = file;
      this.begin();
    }

    begin() {
      clearTimeout(this.timer);
      this.become("waiting", "Waits for its turn.");
      next();
    }

    toggle() {
      if (this.state === "paused" || this.state === "failed") {
        this.begin();
        say(`${this.name} goes on.`);
      } else {
        this.stop("paused", `Paused at ${amount(this.offset)} of ${amount(this.size)}.`);
        say(`${this.name} is paused.`);
        next();
      }
    }

    stop(state, text) {
      this.turn += 1;
      clearTimeout(this.timer);
      if (this.request) this.request.abort();
      this.become(state, text);
    }

    giveUp() {
      if (this.state === "done") { forget([this]); return; }
      this.stop("gone", "");
      memory.drop(this);
      if (this.url) {
        fetch(this.url, { method: "DELETE", headers: { "Tus-Resumable": "1.0.0" } }).catch(() => {});
      }
      this.leave();
      say(`${this.name} is cancelled.`);
      next();
    }

    // Off the list, and the focus to what is near.
    leave() {
      const at = items.indexOf(this);
      if (at < 0) return;
      const focused = this.node.contains(document.activeElement);
      items.splice(at, 1);
      this.node.remove();
      const near = items[Math.min(at, items.length - 1)];
      if (focused) (near ? near.cancel : input).focus();
      showAll();
    }

    // The work

    async run() {
      const turn = this.turn += 1;
      this.become("sending", "Begins …");
      try {
        const cap = await this.upload();
        if (this.turn === turn) this.done(cap);
      } catch (error) {
        if (this.turn === turn) this.fail(error);
      }
      next();
    }

    async upload() {
      if (!this.url) await this.make();
      let reply = await ask(this, "HEAD", this.url, {});
      if (reply.status === 404 || reply.status === 410) {
        this.told.textContent = "The gateway has it no more; it begins again …";
        await this.make();
        reply = await ask(this, "HEAD", this.url, {});
      }
      check(reply);
      this.base = Number(reply.getResponseHeader("Upload-Offset"));
      this.show(this.base);
      this.began = performance.now();
      const rest = this.file.slice(this.base);
      if (!rest.size) this.store();
      const headers = {
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": String(this.base),
      };
      reply = check(await ask(this, "PATCH", this.url, headers, rest));
      const cap = reply.getResponseHeader("Upload-Cap");
      if (!cap) throw new Lost("not all of it arrived");
      return cap;
    }

    async make() {
      const metadata = [`filename ${text64(this.name.slice(0, 500))}`];
      if (this.file.type) metadata.push(`filetype ${text64(this.file.type)}`);
      const headers = { "Upload-Length": String(this.size), "Upload-Metadata": metadata.join(",") };
      const reply = check(await ask(this, "POST", ENDPOINT, headers));
      // Of the address only the handle: a proxy may not have mended the rest.
      this.url = ENDPOINT + reply.getResponseHeader("Location").split("/").pop();
      memory.keep(this);
    }

    fail(error) {
      if (error instanceof Refused && error.status !== 404 && error.status !== 410) {
        this.become("failed", error.message);
        say(`${this.name} failed: ${error.message}`);
        return;
      }
      const wait = this.wait * (0.75 + Math.random() / 2);
      this.wait = Math.min(2 * this.wait, LAST_WAIT);
      this.become("lost", `${error.message}; it is tried again in ${Math.ceil(wait / 1000)} s`);
      this.timer = setTimeout(() => this.begin(), wait);
    }

    done(cap) {
      this.turn += 1;
      if (this.request) this.request.abort();
      this.kept = caps.keep({ cap, name: this.name, size: this.size });
      // Where it cannot be kept, the gateway gives it once more, for an hour.
      if (this.kept) memory.drop(this);
      this.present(cap);
      say(`${this.name} is stored.`);
      next();
    }

    // The cap of a stored file.
    present(cap) {
      this.cap = cap;
      this.show(this.size);
      const where = this.kept ? "Its cap:" : "This browser cannot keep its cap. Copy it now:";
      this.become("done", `${amount(this.size)} stored. ${where}`);
      this.bar.hidden = true;
      const shown = element("input", { className: "cap", readOnly: true, value: cap });
      shown.setAttribute("aria-label", `Cap of ${this.name}`);
      const copy = element("button", { type: "button", onclick: () => this.copy(shown) });
      this.label(copy, "Copy cap");
      this.buttons.before(element("p", {}, shown));
      const address = `${ROOT}file/${encodeURIComponent(cap)}/@@named=/${encodeURIComponent(this.name)}`;
      this.buttons.prepend(copy);
      this.buttons.append(element("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, "Open in a new tab"));
      showAll();
    }

    async copy(shown) {
      try {
        await navigator.clipboard.writeText(shown.value);
      } catch {
        shown.select();
        document.execCommand("copy");
      }
      say(`The cap of ${this.name} is copied.`);
    }
  }

  // What was stored

  const stored = () => items.filter((item) => item.state === "done");

  function showAll() {
    all.hidden = !stored().length;
    undo.hidden = !forgotten.length;
  }

  // Lets go of caps.  The files stay where they are; until the page is left it can be undone.
  function forget(gone) {
    forgotten = gone.map(({ cap, name, size }) => ({ cap, name, size }));
    for (const item of gone) {
      if (item.kept) caps.forget(item.kept);
      memory.drop(item);
      item.leave();
    }
    const what = gone.length === 1 ? `The cap of ${gone[0].name} is` : `${gone.length} caps are`;
    say(`${what} forgotten here. Nothing is deleted from the grid.`);
    showAll();
  }

  function restore({ key, cap, name, size }) {
    if (items.some((item) => item.kept && item.kept === key)) return;
    const item = new Item("", name, size);
    item.kept = key;
    item.present(cap);
  }

  async function copyAll() {
    const text = caps.listed(stored());
    try {
      await navigator.clipboard.writeText(text);
      say(`${stored().length} caps are copied, a line each.`);
    } catch {
      say("This browser does not let the page copy: download them instead.");
    }
  }

  document.getElementById("copy-all").onclick = copyAll;
  document.getElementById("download").onclick = () => caps.download(stored());
  document.getElementById("forget-all").onclick = () => { forget(stored()); undo.focus(); };
  undo.onclick = () => {
    const back = forgotten;
    forgotten = [];
    for (const file of back) restore({ ...file, key: caps.keep(file) });
    say(back.length === 1 ? `${back[0].name} is back.` : `${back.length} caps are back.`);
    showAll();
    input.focus();
  };

  // All of them

  function next() {
    const free = AT_ONCE - items.filter((item) => ["sending", "storing"].includes(item.state)).length;
    const waiting = items.filter((item) => item.state === "waiting");
    for (const item of waiting.slice(0, Math.max(0, free))) item.run();
  }

  function add(files) {
    for (const file of files) {
      const key = keyOf(file);
      const known = items.find((item) => item.key === key && item.state !== "done");
      if (!known) new Item(key, file.name, file.size).take(file);
      else if (known.state === "absent") known.take(file);
      else say(`${file.name} is on the list already.`);
    }
    if (files.length === 1) say(`${files[0].name} is being uploaded.`);
    else if (files.length) say(`${files.length} files are being uploaded.`);
  }

  // What an earlier visit left: it may be stored by now, or gone, or wait for its file.
  async function recall({ key, url, name, size }) {
    const item = new Item(key, name, size);
    item.url = url;
    item.become("absent", "Looks how far it is …");
    try {
      const reply = await fetch(url, { cache: "no-store" });
      if (item.state !== "absent") return;
      if (reply.status === 404 || reply.status === 410) {
        memory.drop(item);
        items.splice(items.indexOf(item), 1);
        item.node.remove();
        return;
      }
      const told = await reply.json();
      if (item.state !== "absent") return;
      item.show(told.offset);
      if (told.cap) item.done(told.cap);
    } catch { /* the gateway is away; the file can be chosen all the same */ }
    if (item.state === "absent") {
      item.told.textContent =
        `${amount(item.offset)} of ${amount(size)} are there. Choose this file again, and it goes on.`;
    }
  }

  input.multiple = true;
  document.getElementById("send").hidden = true; // files go as soon as they are chosen
  input.addEventListener("change", () => { add([...input.files]); input.value = ""; });
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") add([...event.dataTransfer.files]);
    });
  }
  addEventListener("online", () => {
    for (const item of items) if (item.state === "lost") item.begin();
  });
  // What leaving would break off or lose.
  const isOpen = (item) =>
    ["waiting", "sending", "lost", "storing"].includes(item.state) ||
    (item.state === "done" && !item.kept);
  addEventListener("beforeunload", (event) => {
    if (items.some(isOpen)) event.preventDefault();
  });
  caps.watch(restore, (key) => {
    for (const item of stored().filter((each) => each.kept === key)) item.leave();
  });
  drop.classList.add("ready");
  caps.load().forEach(restore);
  memory.load().forEach(recall);
})();
