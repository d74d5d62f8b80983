"""The page /upload, whose script goes on with what broke off, and the script."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files

from twisted.web.http import CACHED, Request
from twisted.web.resource import Resource
from twisted.web.template import tags

from truckee.frontends.http.request import StreamingRequest
from truckee.frontends.http.respond import NotFound
from truckee.frontends.web.page import render_page

_KINDS = {".js": b"text/javascript; charset=utf-8", ".css": b"text/css; charset=utf-8"}


def upload_page() -> bytes:
    """Return the page.  Without its script it is a form for one file."""
    return render_page(
        "Upload files",
        tags.h1("Upload files"),
        tags.p(
            "Each file is encrypted here, on your gateway, and answered with its ",
            tags.em("cap"),
            ": the one text that finds and decrypts it.",
        ),
        tags.form(
            tags.p(
                tags.label("Choose files: ", for_="file"),
                tags.input(type="file", name="file", id="file", required=""),
                " ",
                tags.button("Upload", id="send"),
            ),
            tags.p(
                "Or drop them anywhere on this page. When the line breaks, they go on by "
                "themselves. When the browser is closed, come back and choose the same "
                "files again: only what is missing is sent.",
                class_="hint",
            ),
            id="drop",
            action="/uri?t=upload",
            method="post",
            enctype="multipart/form-data",
        ),
        tags.p(id="said", role="status"),
        tags.p(tags.button("Undo", type="button", id="undo", hidden="")),
        tags.div(
            tags.p(
                "The caps below stay in this browser until you forget them: anybody who "
                "uses it can read the files. A cap that is forgotten everywhere cannot be "
                "found again; the file itself is not deleted by that.",
            ),
            tags.p(
                tags.button("Copy all caps", type="button", id="copy-all"),
                " ",
                tags.button("Download all caps", type="button", id="download"),
                " ",
                tags.button("Forget all caps", type="button", id="forget-all"),
            ),
            id="all",
            hidden="",
        ),
        tags.ul(id="uploads", **{"aria-label": "Uploads"}),
        tags.p(tags.a("The gateway's first page", href="/")),
        head=(
            tags.link(rel="stylesheet", href="/static/upload.css"),
            tags.script(src="/static/caps.js", defer=""),
            tags.script(src="/static/upload.js", defer=""),
        ),
    )


class StaticResource(Resource):
    """/static/NAME: what pages load beside themselves."""

    def __init__(self) -> None:
        super().__init__()
        folder = files("truckee.frontends.web") / "static"
        for each in folder.iterdir():
            kind = _KINDS.get(each.name[each.name.rfind(".") :])
            if kind is not None:
                self.putChild(each.name.encode(), _File(each.read_bytes(), kind))

    def render_GET(self, request: Request) -> bytes:
        raise NotFound


class _File(Resource):
    """A file in memory."""

    isLeaf = True

    def __init__(self, body: bytes, kind: bytes) -> None:
        super().__init__()
        self._body = body
        self._kind = kind
        self._tag = b'"%s"' % sha256(body).hexdigest()[:32].encode()

    def render_GET(self, request: StreamingRequest) -> bytes:
        if request.postpath:
            raise NotFound
        request.setHeader(b"content-type", self._kind)
        request.setHeader(b"x-content-type-options", b"nosniff")
        request.setHeader(b"connection", b"close")  # see frontends/tus/resource.py
        # Another version of the gateway has another script.
        request.setHeader(b"cache-control", b"no-cache")
        return b"" if request.setETag(self._tag) is CACHED else self._body
