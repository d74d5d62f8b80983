// Uploads with tus (docs/formats/tus.md), for every page that sends files.
//
// What is under way is remembered in this browser by the file's name, size, date and type:
// after a reload or a crash the same file, chosen again, is resumed.
"use strict";

self.truckeeTus = (() => {
  // A proxy may have the gateway below a path of its own, and another one beside it.
  const ROOT = new URL("..", document.currentScript.src).pathname;
  const ENDPOINT = `${ROOT}tus/`;
  const AT_ONCE = 2; // files; more would only share the line
  const SMALL = 1 << 20; // bytes; of smaller ones the answers take longer than the bytes
  const SMALL_AT_ONCE = 4;
  const FIRST_WAIT = 500; // milliseconds
  const LAST_WAIT = 30000;
  const STALLED = 60000; // without a byte the line is taken for dead
  const SHORT = 30000; // for what should be answered at once
  const ASK_EVERY = 3000; // for the cap, while the file is being stored

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

  // How long *rest* bytes take.
  function timeLeft(rest, rate) {
    const left = rest / rate;
    if (!(left < 1e6)) return "";
    return left < 90 ? `${Math.ceil(left)} s left` : `${Math.ceil(left / 60)} min left`;
  }

  // What is remembered, under keys that begin alike

  class Memory {
    constructor(kind) {
      this.prefix = `truckee-${kind}:${ROOT === "/" ? "" : ROOT}`;
    }

    keyOf(file, ...more) {
      return this.prefix + JSON.stringify([file.name, file.size, file.lastModified, file.type, ...more]);
    }

    load() {
      const found = [];
      try {
        for (const key of Object.keys(localStorage)) {
          if (!key.startsWith(this.prefix)) continue;
          try {
            const { url, name, size, ...more } = JSON.parse(localStorage.getItem(key));
            if (/^[^[]+\/\[/.test(key.slice(this.prefix.length))) continue; // another gateway's
            if (!url.startsWith(ENDPOINT) || !Number.isSafeInteger(size)) throw new TypeError(key);
            found.push({ ...more, key, url, name: String(name), size: Number(size) });
          } catch { localStorage.removeItem(key); }
        }
      } catch { /* this browser remembers nothing */ }
      return found;
    }

    keep(item) {
      const { url, name, size } = item;
      try { localStorage.setItem(item.key, JSON.stringify({ url, name, size, ...item.also })); } catch { /* full */ }
    }

    drop(item) {
      try { localStorage.removeItem(item.key); } catch { /* nothing is there */ }
    }
  }

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

  // All files of a page, of which a few are sent at a time

  class Queue {
    constructor(memory) {
      this.memory = memory;
      this.items = [];
      addEventListener("online", () => {
        for (const item of this.items) if (item.state === "lost") item.begin();
      });
    }

    next() {
      const busy = this.items.filter((item) => ["sending", "storing"].includes(item.state));
      let [count, small] = [busy.length, busy.every((item) => item.size < SMALL)];
      for (const item of this.items) {
        if (item.state !== "waiting") continue;
        small &&= item.size < SMALL;
        if (count >= (small ? SMALL_AT_ONCE : AT_ONCE)) return;
        item.run();
        count += 1;
      }
    }

    remove(item) {
      const at = this.items.indexOf(item);
      if (at >= 0) this.items.splice(at, 1);
      return at;
    }
  }

  // One file.  A page says in a class of its own what it shows of become, tell and show, and
  // what it does with the cap in finish.

  class Transfer {
    constructor(queue, key, name, size) {
      Object.assign(this, { queue, key, name, size, url: "", file: null, request: null, also: {} });
      Object.assign(this, { state: "", base: 0, offset: 0, wait: FIRST_WAIT, timer: 0, turn: 0 });
      queue.items.push(this);
    }

    become(state) { this.state = state; }
    tell() {}
    show(offset) { this.offset = offset; }
    refuse(message) { this.become("failed", message); }

    get goesOn() { return ["waiting", "sending", "lost"].includes(this.state); }

    sent(count) {
      if (this.state !== "sending") return;
      this.show(this.base + count);
      const seconds = (performance.now() - this.began) / 1000;
      let text = `${amount(this.offset)} of ${amount(this.size)}`;
      if (seconds > 1) {
        const rate = count / seconds;
        const left = timeLeft(this.size - this.offset, rate);
        text += `, ${amount(rate)}/s${left ? `, ${left}` : ""}`;
      }
      this.tell(text);
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

    take(file) {
      this.file = file;
      this.begin();
    }

    begin() {
      clearTimeout(this.timer);
      this.become("waiting", "Waits for its turn.");
      this.queue.next();
    }

    pause() {
      this.stop("paused", `Paused at ${amount(this.offset)} of ${amount(this.size)}.`);
    }

    stop(state, text) {
      this.turn += 1;
      clearTimeout(this.timer);
      if (this.request) this.request.abort();
      this.become(state, text);
    }

    // Lets the gateway throw away what it has of it.
    discard() {
      this.stop("gone", "");
      this.queue.memory.drop(this);
      if (!this.url) return;
      fetch(this.url, { method: "DELETE", headers: { "Tus-Resumable": "1.0.0" } }).catch(() => {});
    }

    async run() {
      const turn = this.turn += 1;
      this.become("sending", "Begins …");
      try {
        const cap = await this.upload();
        if (this.turn === turn) this.done(cap);
      } catch (error) {
        if (this.turn === turn) this.fail(error);
      }
      this.queue.next();
    }

    async upload() {
      this.base = this.url ? await this.reached() : await this.make();
      this.show(this.base);
      this.began = performance.now();
      const rest = this.file.slice(this.base);
      if (!rest.size) this.store();
      const headers = {
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": String(this.base),
      };
      const reply = check(await ask(this, "PATCH", this.url, headers, rest));
      const cap = reply.getResponseHeader("Upload-Cap");
      if (!cap) throw new Lost("not all of it arrived");
      return cap;
    }

    // How much of it the gateway has.
    async reached() {
      const reply = await ask(this, "HEAD", this.url, {});
      if (reply.status === 404 || reply.status === 410) {
        this.tell("The gateway has it no more; it begins again …");
        return this.make();
      }
      return Number(check(reply).getResponseHeader("Upload-Offset"));
    }

    async make() {
      const metadata = [`filename ${text64(this.name.slice(0, 500))}`];
      if (this.file.type) metadata.push(`filetype ${text64(this.file.type)}`);
      const headers = { "Upload-Length": String(this.size), "Upload-Metadata": metadata.join(",") };
      const reply = check(await ask(this, "POST", ENDPOINT, headers));
      // Of the address only the handle: a proxy may not have mended the rest.
      this.url = ENDPOINT + reply.getResponseHeader("Location").split("/").pop();
      this.queue.memory.keep(this);
      return 0;
    }

    fail(error) {
      if (error instanceof Refused && error.status !== 404 && error.status !== 410) {
        this.refuse(error.message);
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
      this.finish(cap);
      this.queue.next();
    }

    // What an earlier visit left: gone, stored by now, or waiting for its file.  Answers
    // whether it is still here.
    async recall() {
      try {
        const reply = await fetch(this.url, { cache: "no-store" });
        if (this.state !== "absent") return true;
        if (reply.status === 404 || reply.status === 410) {
          this.queue.memory.drop(this);
          return false;
        }
        const told = await reply.json();
        if (this.state !== "absent") return true;
        this.show(told.offset);
        if (told.cap) this.done(told.cap);
      } catch { /* the gateway is away; the file can be chosen all the same */ }
      return true;
    }
  }

  return { ROOT, Memory, Queue, Transfer, amount, element, timeLeft };
})();
