// Stored files are linked together: one write of a directory for many of them.
//
// Nothing is replaced unless the person says so: what is there is looked at before each
// write, and the write itself refuses what came between.
"use strict";

self.truckeeLinks = (() => {
  const page = self.truckeeDirectory;
  const { HERE, element, say } = page;
  const { ask, post, Refused } = self.truckeeActions;
  const WAIT = 400; // milliseconds in which more files may be stored
  const LONGEST = 3000; // milliseconds that a stored file waits for others on their way
  const MOST = 1000; // links in one write
  const ASKED = 50; // names in one question
  const TRIES = 3; // of a write that others were quicker than
  const RETRY = 5000; // milliseconds

  const addressOf = (way) => HERE + way.map((name) => `${encodeURIComponent(name)}/`).join("");

  // Those of *names* that something has in the directory at *address*.
  async function takenOf(address, names) {
    const found = new Set();
    for (let at = 0; at < names.length; at += ASKED) {
      const rows = await page.rowsOf(address, names.slice(at, at + ASKED));
      for (const row of rows) found.add(page.nameOf(row));
    }
    return found;
  }

  // "name (2).txt", or a higher number: one that nothing has, and none of *reserved* wants.
  async function freeName(address, name, reserved) {
    const dot = name.lastIndexOf(".");
    const [stem, end] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
    for (let first = 2; ; first += ASKED) {
      const names = Array.from({ length: ASKED }, (_, at) => `${stem} (${first + at})${end}`);
      const taken = await takenOf(address, names);
      const free = names.find((each) => !taken.has(each) && !reserved.has(each));
      if (free) return free;
    }
  }

  // What becomes of files whose names are taken: asked once for all of one choice.
  function decide(choice, names) {
    choice.answer ??= (async () => {
      const some = names.slice(0, 5).map((name) => element("li", {}, element("bdi", {}, name)));
      if (names.length > 5) some.push(element("li", {}, `and ${names.length - 5} more`));
      const title = names.length === 1 ? "This name is taken" : "These names are taken";
      const buttons = [["both", "Keep both"], ["replace", "Replace"], ["", "Skip"]];
      return (await ask(title, [element("ul", {}, ...some)], buttons)) || "skip";
    })();
    return choice.answer;
  }

  // Links the stored files of one directory, one write after the other.
  class Linker {
    constructor(way) {
      this.way = way;
      this.address = addressOf(way);
      this.waiting = [];
      this.busy = false;
      this.making = way.length ? null : Promise.resolve();
    }

    add(item) {
      this.waiting.push(item);
      if (!this.busy) this.work();
    }

    async work() {
      this.busy = true;
      while (this.waiting.length) {
        const last = performance.now() + LONGEST;
        do await new Promise((resolve) => setTimeout(resolve, WAIT));
        while (performance.now() < last && this.waiting.length < MOST && links.expects(this.way));
        const items = this.waiting.splice(0, MOST);
        try {
          await this.make();
          await this.link(items);
        } catch (error) {
          if (error instanceof Refused && error.status >= 400 && error.status < 500) {
            for (const item of items) item.refuse(error.message);
            continue;
          }
          this.waiting.unshift(...items);
          for (const item of items) item.tell(`${error.message} It is linked when the gateway answers.`);
          await new Promise((resolve) => setTimeout(resolve, RETRY));
        }
      }
      this.busy = false;
    }

    // Makes the directory, and those on the way to it, unless they are there.
    make() {
      this.making ??= post(this.address.replace(/\/$/, ""), "mkdir", new URLSearchParams())
        .then(() => show([this.way[0]]))
        .catch((error) => { this.making = null; throw error; });
      return this.making;
    }

    async link(items) {
      for (let tries = 1; ; tries += 1) {
        const taken = await takenOf(this.address, items.map((item) => item.wanted));
        const replaced = taken.size ? await this.settle(items, taken) : [];
        const left = items.filter((item) => item.wanted);
        try {
          const kept = left.filter((item) => !replaced.includes(item));
          if (kept.length) await this.write(kept, "false");
          if (replaced.length) await this.write(replaced, "only-files");
          return;
        } catch (error) {
          if (error.status !== 409 || tries >= TRIES) throw error;
        }
      }
    }

    // Gives items whose names are taken another name, or none; returns those that replace.
    async settle(items, taken) {
      const replaced = [];
      for (const item of items.filter((each) => taken.has(each.wanted))) {
        const answer = await decide(item.choice, [...taken]);
        if (answer === "replace") replaced.push(item);
        else if (answer === "skip") { item.wanted = ""; item.skip(); }
        else item.wanted = await freeName(this.address, item.wanted, new Set(items.map((each) => each.wanted)));
      }
      return replaced;
    }

    async write(items, replace) {
      const children = {};
      for (const item of items) children[item.wanted] = ["filenode", { ro_uri: item.cap }];
      await post(this.address, `set_children&replace=${replace}`, children);
      for (const item of items) item.linked();
      if (!this.way.length) await show(items.map((item) => item.wanted), true);
    }
  }

  const linkers = new Map();
  function linkerOf(way) {
    const key = JSON.stringify(way);
    if (!linkers.has(key)) linkers.set(key, new Linker(way));
    return linkers.get(key);
  }

  // Shows what there is under some names, one change of the table after the other.
  let showing = Promise.resolve();
  function show(names, anew = false) {
    showing = showing.then(async () => {
      const wanted = anew ? names : names.filter((name) => !page.find(name.normalize("NFC")));
      if (wanted.length) await page.refresh(wanted);
    }).catch((error) => say(error.message));
    return showing;
  }

  // *expects* tells whether more files are on their way into a directory.
  const links = { decide, expects: () => false, linkerOf };
  return links;
})();
