"""/uri/CAP of a cap whose kind is not known here: it may be of a later version."""

from __future__ import annotations

import json

from twisted.web.resource import Resource
from twisted.web.template import tags

from truckee.codec.caps import MalformedCap, UnknownCap
from truckee.frontends.web.arguments import arguments
from truckee.frontends.web.frame import Frame, Frames
from truckee.frontends.web.page import render_page, set_page_headers
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT

_TITLE = "A cap of an unknown kind"


def unknown_kind() -> MalformedCap:
    """Return the error for what may be a cap of a later version."""
    return MalformedCap("it does not begin with a known kind, as URI:CHK: does")


def unknown_page(frame: Frame) -> bytes:
    """Return the page of what such a cap leads to."""
    text = "A later version may know what it is. Or it was not copied whole."
    return render_page(_TITLE, tags.h1(_TITLE), tags.p(text), frame=frame)


class UnknownCapResource(Resource):
    """What such a cap stands for, of which little can be said."""

    isLeaf = True

    def __init__(self, cap: UnknownCap, frames: Frames) -> None:
        super().__init__()
        self._cap = cap
        self._frames = frames

    def render_GET(self, request: StreamingRequest) -> bytes:
        kind = arguments(request).get("t", "")
        if request.postpath or kind not in ("json", "info"):
            raise unknown_kind()
        if kind == "json":
            request.setHeader(b"content-type", TEXT.encode())
            return json.dumps(["unknown", self._about()], indent=1).encode() + b"\n"
        set_page_headers(request)
        return unknown_page(self._frames.of(request))

    def _about(self) -> dict[str, object]:
        """Return what the prefix of the cap promises."""
        text = self._cap.text
        if text.startswith("imm."):
            return {"ro_uri": text, "mutable": False}
        return {"ro_uri": text} if text.startswith("ro.") else {}
