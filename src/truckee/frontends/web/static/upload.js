// Uploads from the page /upload and the first one: a list of files, each with its cap.
"use strict";

(() => {
  const { ROOT, Memory, Queue, Transfer, amount, element } = self.truckeeTus;

  const list = document.getElementById("uploads");
  const input = document.getElementById("file");
  const said = document.getElementById("said");
  const drop = document.getElementById("drop");
  const all = document.getElementById("all");
  const undo = document.getElementById("undo");
  const caps = self.truckeeCaps;
  const memory = new Memory("upload");
  const queue = new Queue(memory);
  const items = queue.items;
  let forgotten = []; // what the last click let go of

  const say = (text) => { said.textContent = text; };

  // One file

  class Item extends Transfer {
    constructor(key, name, size) {
      super(queue, key, name, size);
      Object.assign(this, { kept: "", cap: "" });
      this.bar = element("progress", { max: Math.max(1, size), value: 0 });
      this.bar.setAttribute("aria-label", `Progress of ${name}`);
      this.told = element("p", { className: "told says" });
      this.switch = element("button", { type: "button", onclick: () => this.toggle() });
      this.cancel = element("button", { type: "button", onclick: () => this.giveUp() });
      this.buttons = element("p", { className: "row" }, this.switch, this.cancel);
      this.node = element("li", {}, element("strong", {}, name), this.bar, this.told, this.buttons);
      list.append(this.node);
    }

    become(state, text) {
      this.state = state;
      this.node.dataset.state = state;
      this.told.textContent = text;
      this.switch.hidden = !(this.goesOn || state === "paused" || state === "failed");
      this.label(this.switch, this.goesOn ? "Pause" : state === "failed" ? "Try again" : "Resume");
      this.cancel.hidden = state === "storing";
      const over = { done: "Forget cap", failed: "Give up" };
      this.label(this.cancel, over[state] ?? "Cancel");
      if (state === "storing") this.bar.removeAttribute("value");
    }

    label(button, text) {
      button.textContent = text;
      button.setAttribute("aria-label", `${text}: ${this.name}`);
    }

    tell(text) { this.told.textContent = text; }

    show(offset) {
      this.offset = offset;
      this.bar.value = this.size ? offset : 1;
    }

    refuse(message) {
      this.become("failed", message);
      say(`${this.name} failed: ${message}`);
    }

    toggle() {
      if (this.state === "paused" || this.state === "failed") {
        this.begin();
        say(`${this.name} is resumed.`);
      } else {
        this.pause();
        say(`${this.name} is paused.`);
        queue.next();
      }
    }

    giveUp() {
      if (this.state === "done") { forget([this]); return; }
      this.discard();
      this.leave();
      say(`${this.name} is cancelled.`);
      queue.next();
    }

    // Off the list, and the focus to what is near.
    leave() {
      const focused = this.node.contains(document.activeElement);
      const at = queue.remove(this);
      if (at < 0) return;
      this.node.remove();
      const near = items[Math.min(at, items.length - 1)];
      if (focused) (near ? near.cancel : input).focus();
      showAll();
    }

    finish(cap) {
      this.kept = caps.keep({ cap, name: this.name, size: this.size });
      // Where it cannot be kept, the gateway gives it once more, for an hour.
      if (this.kept) memory.drop(this);
      this.present(cap);
      say(`${this.name} is stored.`);
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

  function add(files) {
    for (const file of files) {
      const key = memory.keyOf(file);
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
    if (!(await item.recall())) {
      queue.remove(item);
      item.node.remove();
      return;
    }
    if (item.state === "absent") {
      item.told.textContent =
        `${amount(item.offset)} of ${amount(size)} are there. Choose this file again to resume it.`;
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
  // What leaving would break off or lose.
  const isOpen = (item) =>
    item.goesOn || item.state === "storing" ||
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
