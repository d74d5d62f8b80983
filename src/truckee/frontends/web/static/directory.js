// The table of a directory: sorted, filtered, chosen from, and kept as the directory is.
//
// A directory can have 100,000 rows.  So nothing is done with all of them before somebody
// asks for it, then a part at a time, and rows are dressed when they come near the window.
"use strict";

self.truckeeDirectory = (() => {
  const GROUP = 200; // rows that are laid out together
  const AT_ONCE = 1000; // rows that are sorted together
  const BUSY = 30; // milliseconds between two looks at the person
  const NAMES = 3000; // characters of names in one address

  const ROOT = new URL("..", document.currentScript.src).pathname;
  const CAN_CHANGE = "change" in document.currentScript.dataset;
  const HERE = location.pathname;
  const table = document.getElementById("children");
  const said = document.getElementById("said");
  const none = document.getElementById("none");
  const summary = document.getElementById("summary");
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const chosen = new Set(); // entries
  const listeners = [];
  let entries = null; // all of them, once they are asked for
  let shown = null; // those in the table, in its order
  let order = { by: "", down: false };
  let turn = 0; // of what is drawn

  const say = (text) => { said.textContent = text; };

  // Lets the person in when the page was busy for long.
  let since = 0;
  async function breathe() {
    if (performance.now() - since < BUSY) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    since = performance.now();
  }

  function element(kind, properties = {}, ...children) {
    const { label, ...rest } = properties;
    const made = Object.assign(document.createElement(kind), rest);
    if (label) made.setAttribute("aria-label", label);
    made.append(...children);
    return made;
  }

  function amount(size) {
    const units = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
    let unit = 0;
    if (size === 1) return "1 byte";
    while (unit ? size >= 999.95 : size >= 1000) { size /= 1000; unit += 1; }
    return `${unit ? size.toFixed(1) : size} ${units[unit]}`;
  }

  const counted = (count, thing) =>
    `${count.toLocaleString("en")} ${count === 1 ? thing : thing.endsWith("y") ? `${thing.slice(0, -1)}ies` : `${thing}s`}`;

  function nameOf(row) {
    const { n } = row.dataset;
    return n === undefined ? row.querySelector("bdi").textContent : decodeURIComponent(n);
  }

  // One child, as its row has it

  class Entry {
    constructor(row) {
      const { s, t } = row.dataset;
      this.row = row;
      this.name = nameOf(row);
      this.size = s === undefined ? -1 : Number(s);
      this.time = t === undefined ? -1 : Number(t);
      row.entry = this;
    }

    get kind() { return this.row.cells[3].textContent; }
    get isDirectory() { return this.row.classList.contains("folder"); }
    get isUnknown() { return this.row.classList.contains("unknown"); }
    get isPreviewed() { return this.row.classList.contains("see"); }
    get link() { return this.row.cells[0].querySelector("a"); }
    // As people read it, with the numbers of what is not seen.
    get text() {
      const parts = [...this.row.querySelector("bdi").childNodes];
      return parts.map((part) => part.nodeName === "I" ? `[${part.textContent}]` : part.textContent).join("");
    }
    get more() { return this.row.querySelector(".more"); }

    // What links it again: its caps, and what its link said.
    get child() {
      const { rw, ro, m } = this.row.dataset;
      const caps = {};
      if (rw) caps.rw_uri = rw;
      if (ro) caps.ro_uri = ro;
      if (!rw && !ro && this.link) caps.ro_uri = decodeURIComponent(this.link.pathname.slice(`${ROOT}file/`.length).split("/")[0]);
      const type = this.isDirectory ? "dirnode" : this.isUnknown ? "unknown" : "filenode";
      return [type, { ...caps, metadata: m ? JSON.parse(m) : {} }];
    }

    // The cap that only reads; of what has another one, its read cap is asked for.
    async readCap() {
      const { rw, ro } = this.row.dataset;
      if (!rw) return this.child[1].ro_uri;
      const reply = await fetch(`${ROOT}uri/${encodeURIComponent(rw)}?t=readonly-uri`, { cache: "no-store" });
      if (!reply.ok) throw new Error((await reply.text()).trim());
      return (await reply.text()).trim();
    }

    // What the row has for those with a script; once.
    dress() {
      if (this.box) return;
      const is = chosen.has(this);
      this.box = element("input", { type: "checkbox", label: `Select ${this.text}`, checked: is });
      this.row.classList.toggle("chosen", is);
      this.row.cells[0].prepend(this.box);
      if (this.size >= 1000) this.row.cells[1].title = `${this.size.toLocaleString("en")} bytes`;
      const time = this.row.cells[2].firstChild;
      if (time) {
        time.title = time.textContent;
        time.textContent = clock.format(new Date(this.time * 1000));
      }
    }

    choose(yes) {
      if (yes) chosen.add(this); else chosen.delete(this);
      if (!this.box) return; // dress() shows it
      this.row.classList.toggle("chosen", yes);
      this.box.checked = yes;
    }
  }

  const entryOf = (row) => row.entry ?? new Entry(row);

  // All children.  The rows themselves have them until somebody sorts, filters or changes.
  function all() {
    if (!entries) entries = [...table.querySelectorAll("tbody tr")].map(entryOf);
    return entries;
  }

  // Looks at the rows when nothing else is to be done, so that it is done when it is needed.
  async function prepare() {
    for (const group of [...table.tBodies]) {
      await new Promise((resolve) => (self.requestIdleCallback ?? setTimeout)(resolve));
      for (const row of group.rows) entryOf(row);
    }
  }

  function find(name) {
    return all().find((entry) => entry.name === name);
  }

  // Rows near the window

  const near = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (isIntersecting) for (const row of target.rows) entryOf(row).dress();
    }
  }, { rootMargin: "50%" });

  // Drawing

  const COMPARED = {
    name: (a, b) => collator.compare(a.name, b.name) || (a.name < b.name ? -1 : 1),
    size: (a, b) => a.size - b.size,
    time: (a, b) => a.time - b.time,
    kind: (a, b) => (a.sort < b.sort ? -1 : a.sort > b.sort ? 1 : 0),
  };

  // Sorts in parts, so that the page answers meanwhile; null when it is not wanted any more.
  async function sorted(list, compare, mine) {
    let runs = [];
    for (let at = 0; at < list.length; at += AT_ONCE) {
      runs.push(list.slice(at, at + AT_ONCE).sort(compare));
      await breathe();
      if (mine !== turn) return null;
    }
    while (runs.length > 1) {
      const next = [];
      for (let at = 0; at < runs.length; at += 2) {
        next.push(at + 1 < runs.length ? merged(runs[at], runs[at + 1], compare) : runs[at]);
        await breathe();
        if (mine !== turn) return null;
      }
      runs = next;
    }
    return runs[0] ?? [];
  }

  function merged(one, other, compare) {
    const made = [];
    let [a, b] = [0, 0];
    while (a < one.length && b < other.length) {
      made.push(compare(other[b], one[a]) < 0 ? other[b++] : one[a++]);
    }
    return made.concat(one.slice(a), other.slice(b));
  }

  const filter = element("input", { type: "search", id: "filter", autocomplete: "off", spellcheck: false });

  // Shows the children that the filter lets through, in the order that is wanted.
  async function draw() {
    const mine = turn += 1;
    const words = filter.value.trim().toLocaleLowerCase().normalize("NFC");
    let list = all();
    if (words) list = list.filter((entry) => entry.name.toLocaleLowerCase().includes(words));
    if (order.by) {
      if (order.by === "kind") for (const entry of list) entry.sort = entry.kind;
      const compare = COMPARED[order.by];
      const turned = order.down ? (a, b) => compare(b, a) : compare;
      list = await sorted(list, turned, mine);
      if (!list) return;
    }
    shown = list;
    table.setAttribute("aria-busy", "true");
    const old = [...table.tBodies];
    const focused = document.activeElement;
    let last = table.tHead;
    for (let at = 0; at < list.length; at += GROUP) {
      const group = document.createElement("tbody");
      group.append(...list.slice(at, at + GROUP).map((entry) => entry.row));
      last.after(group);
      last = group;
      near.observe(group);
      await breathe();
      if (mine !== turn) return;
    }
    for (const group of old) { near.unobserve(group); group.remove(); }
    table.removeAttribute("aria-busy");
    if (focused?.isConnected && focused !== document.activeElement) focused.focus();
    tell(words);
  }

  function tell(words) {
    const total = all();
    table.hidden = !total.length;
    none.hidden = total.length > 0;
    const directories = total.filter((entry) => entry.isDirectory).length;
    const unknown = total.filter((entry) => entry.isUnknown).length;
    const files = total.length - directories - unknown;
    const sized = total.filter((entry) => entry.size >= 0);
    const parts = [];
    if (directories) parts.push(counted(directories, "directory"));
    if (files) parts.push(counted(files, "file"));
    if (unknown) parts.push(`${unknown} of an unknown kind`);
    if (sized.length) {
      const size = sized.reduce((sum, entry) => sum + entry.size, 0);
      parts.push(`${amount(size)}${sized.length < files ? ", and mutable files" : ""}`);
    }
    summary.textContent = parts.join(", ");
    if (words) say(`${shown.length.toLocaleString("en")} of ${total.length.toLocaleString("en")} are shown.`);
    else if (said.textContent.endsWith(" are shown.")) say("");
  }

  // Heads that sort

  for (const head of table.querySelectorAll("thead [data-by]")) {
    const button = element("button", { type: "button", className: "sort" }, head.textContent);
    button.onclick = () => {
      const down = order.by === head.dataset.by ? !order.down : ["size", "time"].includes(head.dataset.by);
      order = { by: head.dataset.by, down };
      for (const each of table.querySelectorAll("thead [aria-sort]")) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      draw();
    };
    head.replaceChildren(button);
  }
  table.querySelector("[data-by=name]").setAttribute("aria-sort", "ascending");

  // Choosing

  const everything = element("input", { type: "checkbox", label: "Select all that are shown" });
  table.tHead.rows[0].cells[0].prepend(everything);
  everything.onchange = () => {
    for (const entry of shown ?? all()) entry.choose(everything.checked);
    choice();
  };
  let from = null; // the last one that was chosen by itself

  function choice() {
    const count = chosen.size;
    const size = (shown ?? entries ?? []).length;
    everything.checked = count > 0 && (!size || count >= size);
    everything.indeterminate = count > 0 && !everything.checked;
    for (const listener of listeners) listener(chosen);
  }

  table.addEventListener("click", (event) => {
    const box = event.target.closest?.("tbody input[type=checkbox]");
    if (!box) return;
    const entry = box.closest("tr").entry;
    const list = shown ?? all();
    if (event.shiftKey && from && list.includes(from)) {
      const [a, b] = [list.indexOf(from), list.indexOf(entry)].sort((x, y) => x - y);
      for (const each of list.slice(a, b + 1)) each.choose(box.checked);
    } else {
      entry.choose(box.checked);
    }
    from = entry;
    choice();
  });

  function unchoose() {
    for (const entry of [...chosen]) entry.choose(false);
    choice();
  }

  // What changed

  function remove(names) {
    const gone = new Set(names);
    const list = shown ?? all();
    const focused = document.activeElement?.closest?.("tbody tr")?.entry;
    let near = null;
    if (focused && gone.has(focused.name)) {
      const at = list.indexOf(focused);
      near = list.slice(at + 1).find((entry) => !gone.has(entry.name)) ??
        list.slice(0, at).findLast((entry) => !gone.has(entry.name));
    }
    for (const entry of all()) {
      if (!gone.has(entry.name)) continue;
      chosen.delete(entry);
      entry.row.remove();
    }
    entries = all().filter((entry) => !gone.has(entry.name));
    if (shown) shown = shown.filter((entry) => !gone.has(entry.name));
    if (focused && gone.has(focused.name)) focus(near);
    choice();
    tell("");
  }

  function focus(entry) {
    if (entry) (entry.link ?? entry.more ?? entry.box)?.focus();
    else (document.getElementById("file") ?? filter).focus();
  }

  // Has the rows of *names* as the directory has them now.
  async function refresh(names) {
    const wanted = [...new Set(names)];
    const found = new Map();
    for (let at = 0; at < wanted.length;) {
      const some = [];
      let length = 0;
      while (at < wanted.length && (!some.length || length < NAMES)) {
        length += encodeURIComponent(JSON.stringify(wanted[at])).length;
        some.push(wanted[at++]);
      }
      for (const row of await rowsOf(HERE, some)) {
        const entry = new Entry(document.adoptNode(row));
        found.set(entry.name, entry);
      }
    }
    const list = all();
    const gone = new Set(wanted.map((name) => name.normalize("NFC")));
    for (const entry of list) if (gone.has(entry.name)) chosen.delete(entry);
    entries = list.filter((entry) => !gone.has(entry.name));
    entries.push(...found.values());
    if (!order.by) entries.sort((a, b) => (a.name < b.name ? -1 : 1)); // nearly sorted: quick
    await draw();
    choice();
    return [...found.values()];
  }

  // The rows of some names in a directory; those that are not there have none.
  async function rowsOf(address, names) {
    const reply = await fetch(`${address}?t=rows&names=${encodeURIComponent(JSON.stringify(names))}`, { cache: "no-store" });
    if (!reply.ok) throw new Error((await reply.text()).trim());
    return new DOMParser().parseFromString(await reply.text(), "text/html").querySelectorAll("tbody tr");
  }

  // Keys: up and down go from row to row

  table.addEventListener("keydown", (event) => {
    if (!["ArrowDown", "ArrowUp"].includes(event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
    const row = event.target.closest("tbody tr");
    if (!row || event.target.matches("input:not([type=checkbox])")) return;
    const list = shown ?? all();
    const entry = list[list.indexOf(row.entry) + (event.key === "ArrowDown" ? 1 : -1)];
    if (!entry) return;
    event.preventDefault();
    entry.dress();
    const place = event.target.matches(".more") ? entry.more : event.target.matches("[type=checkbox]") ? entry.box : null;
    if (place) place.focus(); else focus(entry);
  });

  // The line above the table

  const tools = document.getElementById("tools");
  let due = 0;
  filter.oninput = () => { clearTimeout(due); due = setTimeout(draw, 150); };
  filter.onkeydown = (event) => {
    if (event.key !== "Escape" || !filter.value) return;
    event.preventDefault();
    filter.value = "";
    draw();
  };
  tools.append(element("label", { htmlFor: "filter" }, "Filter"), filter);
  tools.hidden = false;
  for (const group of table.tBodies) near.observe(group);
  prepare();

  return {
    ROOT, HERE, CAN_CHANGE, all, amount, chosen, counted, element, entryOf, find, focus, nameOf, refresh,
    remove, rowsOf, say, unchoose,
    list: () => shown ?? all(),
    whenChosen: (listener) => listeners.push(listener),
  };
})();
