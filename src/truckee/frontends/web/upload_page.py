"""The page /upload, whose script resumes what broke off, and the script."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files

from twisted.web.http import CACHED, Request
from twisted.web.resource import Resource
from twisted.web.template import tags

from truckee.frontends.web.frame import Frame
from truckee.frontends.web.page import render_page
from truckee.frontends.web.uploader import uploader, uploader_scripts
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import NotFound

_KINDS = {".js": b"text/javascript; charset=utf-8", ".css": b"text/css; charset=utf-8"}


def upload_page(frame: Frame) -> bytes:
    """Return the page.  Without its script it is a form for one file."""
    return render_page(
        "Upload files",
        tags.h1("Upload files"),
        tags.p(
            "Each file is encrypted here, on your gateway, and answered with its ",
            tags.em("cap"),
            ": the one text that finds and decrypts it.",
            class_="lead",
        ),
        uploader(frame.root),
        frame=frame,
        head=uploader_scripts(frame.root),
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
