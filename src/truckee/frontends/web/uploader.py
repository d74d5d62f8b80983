"""Where people choose files: a form for one, which a script makes an uploader of many."""

from __future__ import annotations

from twisted.web.template import Flattenable, tags


def uploader_scripts(root: str) -> tuple[Flattenable, ...]:
    """Return what a page with an uploader has in its head."""
    names = ("caps.js", "tus.js", "upload.js")
    return tuple(tags.script(src=f"{root}static/{name}", defer="") for name in names)


def uploader(root: str) -> Flattenable:
    """Return the form, and the places where the script shows what it does."""
    return [
        tags.form(
            tags.label("Files from this device", for_="file"),
            tags.div(
                tags.input(type="file", name="file", id="file", required=""),
                tags.button("Upload", id="send"),
                class_="row",
            ),
            tags.p(
                "Or drop them anywhere on this page. If the line breaks, they resume by "
                "themselves. If the browser is closed, come back and choose the same "
                "files again: only what is missing is sent.",
                class_="hint",
            ),
            id="drop",
            action=f"{root}uri?t=upload",
            method="post",
            enctype="multipart/form-data",
        ),
        tags.p(id="said", role="status"),
        tags.p(tags.button("Undo", type="button", id="undo", hidden="")),
        tags.ul(id="uploads", **{"aria-label": "Uploads"}),
        tags.div(
            tags.p(
                "These caps stay in this browser until you forget them: anybody who "
                "uses it can read the files. A cap that is forgotten everywhere cannot be "
                "found again; the file itself is not deleted by that.",
            ),
            tags.div(
                tags.button("Copy all caps", type="button", id="copy-all"),
                tags.button("Download all caps", type="button", id="download"),
                tags.button("Forget all caps", type="button", id="forget-all"),
                class_="row",
            ),
            id="all",
            hidden="",
        ),
    ]
