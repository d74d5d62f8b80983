// Pictures, films, sounds, texts and PDFs, looked at without leaving the directory.
//
// A file is shown in a frame, as the browser shows it by itself: sandboxed, without scripts,
// of no origin.  Nothing of it can reach this page, whose address has a cap.
"use strict";

self.truckeePreview = (() => {
  const page = self.truckeeDirectory;
  const { element } = page;

  const frame = element("iframe", { referrerPolicy: "no-referrer" });
  const title = element("h2", { id: "previewed" });
  const back = element("button", { type: "button", label: "Previous", onclick: () => step(-1) }, "‹");
  const on = element("button", { type: "button", label: "Next", onclick: () => step(1) }, "›");
  const opened = element("a", { target: "_blank", rel: "noopener noreferrer" }, "Open in a new tab");
  const close = element("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const row = element("div", { className: "row" }, back, on, opened, close);
  const dialog = element("dialog", { className: "preview" }, title, frame, row);
  dialog.setAttribute("aria-labelledby", "previewed");
  document.body.append(dialog);
  let entry = null;

  // Where the browser shows it: a text under a name that all browsers take for one.
  function addressOf(shown) {
    const address = shown.link.getAttribute("href");
    if (!shown.row.classList.contains("text")) return address;
    return `${address.slice(0, address.indexOf("/@@named=/"))}/@@named=/preview.txt`;
  }

  const others = () => page.list().filter((each) => each.isPreviewed);

  function show(shown) {
    entry = shown;
    title.textContent = shown.text;
    frame.title = `Preview of ${shown.text}`;
    frame.className = shown.row.classList[0];
    // In the place of what was shown: the history of the window has no previews.
    frame.remove();
    frame.src = addressOf(shown);
    title.after(frame);
    opened.href = shown.link.getAttribute("href");
    const list = others();
    const at = list.indexOf(shown);
    back.disabled = at <= 0;
    on.disabled = at < 0 || at >= list.length - 1;
    if (!dialog.open) {
      dialog.showModal();
      close.focus();
    }
  }

  function step(by) {
    const list = others();
    const next = list[list.indexOf(entry) + by];
    if (next) show(next);
  }

  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    else if (event.key === "ArrowRight") step(1);
    else return;
    event.preventDefault();
  });
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  dialog.onclose = () => {
    frame.remove(); // what plays is silent
    entry?.dress();
    page.focus(entry);
  };
  frame.remove();

  return { show };
})();
