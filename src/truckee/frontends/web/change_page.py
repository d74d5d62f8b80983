"""``t=rename-form``: one child, renamed, moved or unlinked without a script."""

from __future__ import annotations

from urllib.parse import quote

from twisted.web.template import Flattenable, Tag, tags

from truckee.frontends.web.frame import Frame
from truckee.frontends.web.page import render_page, section
from truckee.frontends.web.shown_names import visible


def change_page(name: str, frame: Frame) -> bytes:
    """Return the page on which one child is renamed, moved or unlinked."""
    text = visible(name)
    new_name = tags.input(name="to_name", id="to", value=name, required="")
    target = tags.input(name="to_dir", id="dir", required="", autocomplete="off")
    return render_page(
        f"Change {text}",
        tags.h1(tags.bdi(text)),
        _form(
            *("rename", "Rename"),
            tags.label("New name", for_="to"),
            _field("from_name", name),
            new_name,
        ),
        section(
            "Move to another directory",
            _form(
                *("relink", "Move"),
                tags.label("The cap of that directory, or cap/path", for_="dir"),
                _field("from_name", name),
                target,
            ),
        ),
        section(
            "Unlink",
            tags.p(
                "The directory lists it no more. Nothing is deleted from the grid: whoever "
                "has its cap can still open it."
            ),
            _form("unlink", "Unlink", "", _field("name", name)),
        ),
        tags.ul(
            _info(name),
            tags.li(tags.a("Back to the directory", href="./")),
            class_="ways",
        ),
        frame=frame,
    )


def _info(name: str) -> Flattenable:
    if name in ("", ".", ".."):  # browsers take it for another path
        return ""
    return tags.li(tags.a("Caps and checks", href=f"./{quote(name, safe='')}?t=info"))


def _form(kind: str, label: str, head: Flattenable, *fields: Flattenable) -> Tag:
    """Return a form that changes the directory, and leads back to its page."""
    return tags.form(
        head,
        _field("when_done", "."),
        tags.div(fields, tags.button(label), class_="row"),
        action=f"?t={kind}&replace=false",
        method="post",
    )


def _field(name: str, value: str) -> Tag:
    return tags.input(type="hidden", name=name, value=value)
