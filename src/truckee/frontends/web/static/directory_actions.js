// What is done with children of a directory: opened, copied, renamed, moved, unlinked, and
// brought back for as long as the page is open.
"use strict";

self.truckeeActions = (() => {
  const page = self.truckeeDirectory;
  const { ROOT, HERE, CAN_CHANGE, counted, element, say } = page;
  const AT_ONCE = 6; // requests

  const undo = document.getElementById("undo");
  const done = []; // what can be undone, the last one last: { what, back }

  // Requests

  class Refused extends Error {
    constructor(status, text) {
      super(text.trim() || `the gateway answered ${status}`);
      this.status = status;
    }
  }

  async function post(address, kind, fields) {
    const body = fields instanceof URLSearchParams ? fields : JSON.stringify(fields);
    let reply;
    try {
      reply = await fetch(`${address}?t=${kind}`, { method: "POST", body, cache: "no-store" });
    } catch {
      throw new Refused(0, "The gateway does not answer.");
    }
    const text = await reply.text();
    if (!reply.ok) throw new Refused(reply.status, text);
    return text;
  }

  const fields = (values) => new URLSearchParams(values);

  // Does *act* with each of *list*, a few at once; gives those it went well with.
  async function each(list, act) {
    const rest = [...list].reverse();
    const well = [];
    const failed = [];
    const work = async () => {
      for (let one; (one = rest.pop());) {
        try {
          await act(one);
          well.push(one);
        } catch (error) { failed.push(error); }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return [well, failed];
  }

  function tell(text, failed) {
    const wrong = failed.length ? ` ${failed.length === 1 ? "" : `${failed.length} failed: `}${failed[0].message}` : "";
    say(`${text}${wrong}`.trim());
  }

  const whole = (list) => (list.length === 1 ? `“${list[0].text ?? list[0]}”` : counted(list.length, "child").replace("childs", "children"));

  // Undo

  function remember(what, back) {
    done.push({ what, back });
    showUndo();
  }

  function showUndo() {
    undo.hidden = !done.length;
    undo.textContent = done.length ? `Undo: ${done.at(-1).what}` : "";
  }

  async function undoLast() {
    const last = done.pop();
    if (!last) return;
    showUndo();
    say(`Undoing: ${last.what} …`);
    try {
      const entry = await last.back();
      say(`Undone: ${last.what}.`);
      if (entry) page.focus(entry);
    } catch (error) {
      done.push(last);
      showUndo();
      say(error.message);
    }
  }
  undo.onclick = undoLast;

  // Dialogs

  // Shows a dialog; answers with the value of the button that closes it, "" for none.
  function ask(title, body, buttons) {
    const head = element("h2", { id: "asked" }, title);
    const row = element("div", { className: "row" });
    const form = element("form", { method: "dialog" }, head, ...body, row);
    const dialog = element("dialog", {}, form);
    dialog.setAttribute("aria-labelledby", "asked");
    for (const [value, text] of buttons) row.append(element("button", { value, className: value ? "main" : "" }, text));
    document.body.append(dialog);
    dialog.onclick = (event) => { if (event.target === dialog) dialog.close(""); };
    const before = document.activeElement;
    return new Promise((resolve) => {
      dialog.onclose = () => {
        dialog.remove();
        if (before?.isConnected) before.focus();
        resolve(dialog.returnValue);
      };
      dialog.showModal();
    });
  }

  // Copying

  async function copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
      say(`${what} is copied.`);
    } catch {
      const shown = element("input", { className: "cap", readOnly: true, value: text, label: what });
      shown.onfocus = () => shown.select();
      await ask(`Copy: ${what}`, [element("p", { className: "row" }, shown)], [["", "Close"]]);
    }
  }

  async function copyLink(entry, asCap) {
    const what = `The read-only ${asCap ? "cap" : "link"} of ${entry.text}`;
    try {
      const cap = await entry.readCap();
      const behind = entry.isDirectory ? "/" : "";
      const link = entry.isDirectory || entry.isUnknown
        ? `${location.origin}${ROOT}uri/${encodeURIComponent(cap)}${behind}`
        : `${location.origin}${ROOT}file/${encodeURIComponent(cap)}/@@named=/${encodeURIComponent(entry.name)}`;
      await copy(asCap ? cap : link, what);
    } catch (error) { say(error.message); }
  }

  // Downloading

  async function download(list) {
    const files = list.filter((entry) => !entry.isDirectory && !entry.isUnknown);
    for (const entry of files) {
      const link = element("a", { href: `${entry.link.pathname}?save=true`, download: entry.name, rel: "noopener noreferrer" });
      document.body.append(link);
      link.click();
      link.remove();
      await new Promise((resolve) => setTimeout(resolve, 300)); // browsers drop what comes faster
    }
    say(files.length ? `${counted(files.length, "file")} ${files.length === 1 ? "is" : "are"} being downloaded.` : "Directories are not downloaded: open them.");
  }

  // Unlinking

  async function relink(children) {
    await post(HERE, "set_children&replace=false", children);
    const [entry] = await page.refresh(Object.keys(children));
    return entry;
  }

  async function unlink(list) {
    if (!list.length) return;
    const children = new Map(list.map((entry) => [entry, entry.child]));
    say(`Unlinking ${whole(list)} …`);
    const [well, failed] = await each(list, (entry) => post(HERE, "unlink", fields({ name: entry.name })));
    if (well.length) {
      const what = `unlink ${whole(well)}`;
      const back = Object.fromEntries(well.map((entry) => [entry.name, children.get(entry)]));
      remember(what, () => relink(back));
      page.remove(well.map((entry) => entry.name));
    }
    tell(well.length ? `${whole(well)} ${well.length === 1 ? "is" : "are"} unlinked.` : "", failed);
  }

  // Renaming, in the row

  // The directory may have more by now, and says so itself.
  function checkFree(name) {
    if (page.find(name.normalize("NFC"))) throw new Refused(409, `There is something named “${name}” already.`);
  }

  async function renameTo(from, to) {
    await post(HERE, "rename&replace=false", fields({ from_name: from, to_name: to }));
    const [entry] = (await page.refresh([from, to])).filter((each) => each.name === to.normalize("NFC"));
    return entry;
  }

  function rename(entry) {
    const cell = entry.row.cells[0];
    if (cell.querySelector(".renames")) return;
    const old = entry.link ?? cell.querySelector("bdi");
    const input = element("input", { className: "renames", value: entry.name, label: `New name of ${entry.text}`, autocomplete: "off", spellcheck: false });
    let busy = false;
    let over = false;
    const end = (focused) => {
      if (over) return;
      over = true;
      input.replaceWith(old);
      if (focused) page.focus(entry);
    };
    const commit = async (focused) => {
      const name = input.value;
      if (busy || over) return;
      if (!name || name === entry.name) { end(focused); return; }
      busy = true;
      try {
        const before = entry.name;
        checkFree(name);
        const made = await renameTo(before, name);
        over = true;
        remember(`rename “${before}”`, () => renameTo(name, before));
        say(`${before} is now ${name}.`);
        if (focused && made) page.focus(made);
      } catch (error) {
        busy = false;
        say(error.message);
        if (focused) input.focus(); else end(false);
      }
    };
    input.onkeydown = (event) => {
      event.stopPropagation();
      if (event.key === "Enter") { event.preventDefault(); commit(true); }
      if (event.key === "Escape") { event.preventDefault(); end(true); }
    };
    input.onblur = () => commit(false);
    old.replaceWith(input);
    input.focus();
    const dot = entry.isDirectory ? -1 : entry.name.lastIndexOf(".");
    input.setSelectionRange(0, dot > 0 ? dot : entry.name.length);
  }

  // Moving

  // The cap and the path of an address below /uri.
  const placeOf = (address) =>
    address.slice(`${ROOT}uri/`.length).replace(/\/$/, "").split("/").map(decodeURIComponent).join("/");

  async function directoriesIn(address) {
    const reply = await fetch(`${address}?t=json`, { cache: "no-store" });
    if (!reply.ok) throw new Refused(reply.status, await reply.text());
    const [type, about] = await reply.json();
    if (type !== "dirnode") throw new Error("This is no directory.");
    const names = Object.keys(about.children).filter((name) => about.children[name][0] === "dirnode");
    return { names: names.sort(), writable: Boolean(about.rw_uri) };
  }

  async function chooseDirectory(list) {
    const moved = new Set(list.map((entry) => `${HERE}${encodeURIComponent(entry.name)}/`));
    const path = element("p", { className: "says" });
    const names = element("ul", { className: "walk" });
    names.setAttribute("aria-label", "Directories");
    const pasted = element("input", { id: "pasted", autocomplete: "off", spellcheck: false, placeholder: "URI:DIR2:…" });
    const go = element("button", { type: "button" }, "Go there");
    const told = element("p", { className: "says" });
    told.setAttribute("role", "status");
    let at = HERE;
    let fits = false;

    async function walk(address) {
      told.textContent = "Looks …";
      try {
        const { names: found, writable } = await directoriesIn(address);
        at = address;
        fits = writable && at !== HERE;
        const [cap, ...steps] = at.slice(`${ROOT}uri/`.length).split("/").filter(Boolean).map(decodeURIComponent);
        path.textContent = ["Directory", ...steps].join(" / ");
        names.replaceChildren();
        const add = (text, target, icon) => {
          const button = element("button", { type: "button", className: icon, onclick: () => walk(target) }, element("bdi", {}, text));
          names.append(element("li", {}, button));
        };
        if (steps.length) add("Up", at.replace(/[^/]+\/$/, ""), "up");
        for (const name of found) {
          const target = `${at}${encodeURIComponent(name)}/`;
          if (!moved.has(target) && ![".", "..", ""].includes(name)) add(name, target, "folder");
        }
        told.textContent = !writable ? "This directory is read-only." : at === HERE ? "Choose a directory, then “Move here”." : "";
        const first = names.querySelector("button");
        if (first && document.activeElement?.closest("dialog")) first.focus();
        if (!cap) fits = false;
      } catch (error) { told.textContent = error.message; }
      const move = names.closest("dialog")?.querySelector("button[value=move]");
      if (move) move.disabled = !fits;
    }

    go.onclick = () => {
      const [cap, ...steps] = pasted.value.trim().split("/").filter(Boolean);
      if (cap) walk(`${ROOT}uri/${[cap, ...steps].map(encodeURIComponent).join("/")}/`);
    };
    pasted.onkeydown = (event) => { if (event.key === "Enter") { event.preventDefault(); go.click(); } };
    const label = element("label", { htmlFor: "pasted" }, "Or the cap of another directory");
    const answer = ask(
      `Move ${whole(list)}`,
      [path, names, label, element("div", { className: "row" }, pasted, go), told],
      [["move", "Move here"], ["", "Cancel"]],
    );
    const above = HERE.replace(/[^/]+\/$/, "");
    walk(above.length > `${ROOT}uri/`.length ? above : HERE);
    return (await answer) === "move" && fits ? at : null;
  }

  async function move(list) {
    if (!list.length) return;
    const target = await chooseDirectory(list);
    if (!target) return;
    const here = placeOf(HERE);
    say(`Moving ${whole(list)} …`);
    const [well, failed] = await each(list, (entry) =>
      post(HERE, "relink&replace=false", fields({ from_name: entry.name, to_dir: placeOf(target) })));
    if (well.length) {
      const names = well.map((entry) => entry.name);
      remember(`move ${whole(well)}`, async () => {
        const [, wrong] = await each(names, (name) =>
          post(target, "relink&replace=false", fields({ from_name: name, to_dir: here })));
        const [entry] = await page.refresh(names);
        if (wrong.length) throw wrong[0];
        return entry;
      });
      const inside = target.startsWith(HERE);
      page.remove(names);
      if (!inside) page.unchoose();
    }
    tell(well.length ? `${whole(well)} ${well.length === 1 ? "is" : "are"} moved.` : "", failed);
  }

  // A new directory

  const make = document.getElementById("make");
  if (make) {
    make.onsubmit = async (event) => {
      event.preventDefault();
      const input = document.getElementById("new");
      const name = input.value;
      try {
        checkFree(name);
        await post(HERE, "mkdir&replace=false", fields({ name }));
        input.value = "";
        await page.refresh([name]);
        say(`The directory ${name} is made.`);
      } catch (error) { say(error.message); }
    };
  }

  // What can be done with one child

  async function menu(entry) {
    entry.dress();
    const list = element("ul", { className: "menu" });
    const isFile = !entry.isDirectory && !entry.isUnknown;
    const acts = [];
    if (entry.isPreviewed) acts.push(["Preview", () => self.truckeePreview.show(entry)]);
    if (entry.link) acts.push(["Open", () => entry.isDirectory ? entry.link.click() : open(entry.link.href, "_blank", "noopener,noreferrer")]);
    if (isFile) acts.push(["Download", () => download([entry])]);
    acts.push(["Copy read-only link", () => copyLink(entry, false)]);
    acts.push(["Copy read-only cap", () => copyLink(entry, true)]);
    if (CAN_CHANGE) {
      acts.push(["Rename", () => rename(entry)]);
      acts.push(["Move", () => move([entry])]);
      acts.push(["Unlink", () => unlink([entry])]);
    }
    if (!entry.isUnknown) acts.push(["Caps and checks", () => { location.href = `${entry.isDirectory ? entry.link.pathname : `${ROOT}uri/${encodeURIComponent(entry.child[1].rw_uri ?? entry.child[1].ro_uri)}`}?t=info`; }]);
    acts.forEach(([text], at) => list.append(element("li", {}, element("button", { value: String(at) }, text))));
    const answer = await ask(entry.text, [list], [["", "Close"]]);
    if (answer) acts[Number(answer)][1]();
  }

  const table = document.getElementById("children");
  table.addEventListener("click", (event) => {
    const { ctrlKey, metaKey, shiftKey, altKey, button } = event;
    if (ctrlKey || metaKey || shiftKey || altKey || button) return;
    const row = event.target.closest("tbody tr");
    if (!row) return;
    const entry = page.entryOf(row);
    if (event.target.closest(".more")) {
      event.preventDefault();
      menu(entry);
    } else if (event.target.closest("th a") && entry.isPreviewed && self.truckeePreview) {
      event.preventDefault();
      self.truckeePreview.show(entry);
    }
  });

  // What can be done with all that are chosen

  const bar = document.getElementById("chosen");
  const count = element("strong");
  const acts = element("div", { className: "row" }, count);
  const add = (text, act) => acts.append(element("button", { type: "button", onclick: () => act([...page.chosen]) }, text));
  if (CAN_CHANGE) {
    add("Move", move);
    add("Unlink", unlink);
  }
  add("Download", download);
  add("Choose none", () => { page.unchoose(); page.focus(page.list()[0]); });
  bar.append(acts);
  page.whenChosen((chosen) => {
    bar.hidden = !chosen.size;
    count.textContent = `${chosen.size.toLocaleString("en")} chosen`;
  });

  // Keys

  table.addEventListener("keydown", (event) => {
    const row = event.target.closest("tbody tr");
    if (!row || !CAN_CHANGE || event.target.matches(".renames")) return;
    const entry = page.entryOf(row);
    if (event.key === "F2") {
      event.preventDefault();
      rename(entry);
    } else if (event.key === "Delete") {
      event.preventDefault();
      unlink(page.chosen.size ? [...page.chosen] : [entry]);
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input:not([type=checkbox]), textarea") || document.querySelector("dialog[open]");
    if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey || typing) return;
    event.preventDefault();
    undoLast();
  });

  return { ask, copy, copyLink, download, fields, post, Refused, whole };
})();
