// The caps of stored files, which stay in this browser until the person lets go of them.
//
// They are in the local storage of the gateway's own pages.  Stored files cannot read it:
// the gateway has them shown in a sandbox, whose origin is none.
"use strict";

self.truckeeCaps = (() => {
  const KEPT = "truckee-cap:";

  const isKey = (key) => typeof key === "string" && key.startsWith(KEPT);

  function parse(key, text) {
    try {
      const { cap, name, size, when } = JSON.parse(text);
      if (typeof cap !== "string" || !cap.startsWith("URI:") || !Number.isSafeInteger(size)) return null;
      return { key, cap, name: String(name), size, when: Number(when) || 0 };
    } catch { return null; }
  }

  // All that are kept, oldest first.  One that cannot be read is left alone: it may be of a
  // later version of this page.
  function load() {
    try {
      return Object.keys(localStorage)
        .filter(isKey)
        .map((key) => parse(key, localStorage.getItem(key)))
        .filter(Boolean)
        .sort((one, other) => one.when - other.when);
    } catch { return []; } // this browser remembers nothing
  }

  // Returns the key, or "" where this browser keeps nothing.
  function keep({ cap, name, size, when = Date.now() }) {
    const random = crypto.getRandomValues(new Uint32Array(3));
    const key = KEPT + [...random].map((number) => number.toString(36)).join("");
    const text = JSON.stringify({ cap, name, size, when });
    try {
      localStorage.setItem(key, text);
      return localStorage.getItem(key) === text ? key : "";
    } catch { return ""; }
  }

  function forget(key) {
    try { localStorage.removeItem(key); } catch { /* nothing is there */ }
  }

  // Calls *added* and *forgotten* when another tab of this browser does so.
  function watch(added, forgotten) {
    addEventListener("storage", ({ key, newValue }) => {
      if (!isKey(key)) return;
      const found = newValue === null ? null : parse(key, newValue);
      if (found) added(found);
      else if (newValue === null) forgotten(key);
    });
  }

  // A line for each file: its cap, a space, its name.
  const listed = (files) =>
    files.map(({ cap, name }) => `${cap} ${name.replace(/\s+/g, " ")}\n`).join("");

  function download(files) {
    const url = URL.createObjectURL(new Blob([listed(files)], { type: "text/plain" }));
    const link = Object.assign(document.createElement("a"), { href: url, download: "caps.txt" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  }

  return { load, keep, forget, watch, listed, download };
})();
