"""/report_incident: what a user has to say of the node, for its log."""

from __future__ import annotations

from multipart import MultipartError, parse_form_data
from twisted.logger import Logger
from twisted.web.resource import Resource

from truckee.errors import Misuse
from truckee.frontends.web.arguments import arguments
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT
from truckee.status.failures import shown_reason

log = Logger()

_FIELD = "details"


class BadReport(Misuse):
    """The form cannot be read. Send its field "details", as curl -F details=TEXT does."""


class IncidentResource(Resource):
    """The address to which forms of stock gateways report that something went wrong."""

    isLeaf = True

    def render_POST(self, request: StreamingRequest) -> bytes:
        details = shown_reason(_details(request))
        log.warn("A user reports: {details}", details=details or "(no details)")
        request.setHeader(b"content-type", TEXT.encode("ascii"))
        request.setHeader(b"cache-control", b"no-store")
        return b"Your report is in the log of the node.\n"


def _details(request: StreamingRequest) -> str:
    """Return what the user wrote, in the address or in a form.  :raises BadReport:"""
    args = arguments(request)
    if _FIELD in args:
        return args[_FIELD]
    kind = request.getHeader("content-type")
    body = request.content.getvalue()
    if not kind or not body:
        return ""
    # What the library takes is what a WSGI server says of a request.
    form = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": request.content,
    }
    try:
        fields, _ = parse_form_data(form, strict=True)
    except (MultipartError, ValueError):
        raise BadReport from None
    return str(fields.get(_FIELD) or "")
