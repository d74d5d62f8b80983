// Keeps the part #live of a page as it is at the gateway: whenever the gateway tells of a
// change, the page is loaded again, and only what differs is changed in it, so that bars
// move and whoever stands on a button stays there.  A page that nobody sees listens to
// nothing: browsers have six lines to one gateway, and a tab would keep one.
"use strict";

const every = 1000 * Number(document.currentScript.dataset.every);
// Where no event tells of what changes, the page is looked at from time to time.
const polls = "poll" in document.currentScript.dataset;
const source = new URL("../status/events", document.currentScript.src);
const said = document.getElementById("said");
let events = null;
let timer = 0;
let asking = false;
let again = false;

function away() {
  said.textContent = "The gateway does not answer. This page updates again when it does.";
}

async function refresh() {
  again = asking;
  if (asking) return;
  asking = true;
  try {
    const signal = AbortSignal.timeout(every);
    const answer = await fetch(location.href, { cache: "no-store", signal });
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const id of ["live", "health"]) {
        const [old, now] = [document.getElementById(id), page.getElementById(id)];
        if (old && now) change(old, now);
      }
      said.textContent = "";
    } else if (answer.status === 404) {
      said.textContent = "The gateway knows no more of this.";
    }
  } catch {
    away();
    clearTimeout(timer);
    timer = setTimeout(refresh, every);
  }
  asking = false;
  if (again) refresh();
}

// Make *old* like *now*, node by node.
function change(old, now) {
  if (old.nodeName !== now.nodeName) {
    old.replaceWith(now);
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== now.data) old.data = now.data;
    return;
  }
  for (const { name, value } of [...now.attributes]) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    // What the person unfolded stays so.
    const unfolded = name === "open" && old.nodeName === "DETAILS";
    if (!now.hasAttribute(name) && !unfolded) old.removeAttribute(name);
  }
  const [before, after] = [[...old.childNodes], [...now.childNodes]];
  after.forEach((node, at) => {
    if (at < before.length) change(before[at], node);
    else old.append(node);
  });
  before.slice(after.length).forEach((node) => node.remove());
}

function listen() {
  if (events || document.hidden) return;
  if (polls) {
    const clock = setInterval(refresh, every);
    events = { close: () => clearInterval(clock) };
    refresh();
    return;
  }
  events = new EventSource(source);
  events.addEventListener("status", refresh);
  events.onerror = () => {
    // It comes back by itself from a lost line, and not from a refusal.
    away();
    if (events.readyState === EventSource.CLOSED) {
      events = null;
      setTimeout(refresh, 0);
      setTimeout(listen, every);
    }
  };
}

function rest() {
  if (events) events.close();
  events = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? rest() : listen()));
listen();
