"""/report_incident: what a user has to say of the node, for its log and a file."""

from __future__ import annotations

from multipart import MultipartError, parse_form_data
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from truckee.errors import Misuse
from truckee.frontends.web.arguments import arguments
from truckee.frontends.web.incident_files import IncidentFiles, nameless
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT, Answer, Responder
from truckee.status.failures import shown_reason

log = Logger()

_FIELD = "details"
_MOST = 4000  # characters that are looked at for one line
_IN_LOG = b"Your report is in the log of the node.\n"
_IN_FILE = b"Your report is in the log of the node, and a file in logs/incidents has it.\n"


class BadReport(Misuse):
    """The form cannot be read. Send its field "details", as curl -F details=TEXT does."""


class IncidentResource(Resource):
    """The address to which forms of stock gateways report that something went wrong."""

    isLeaf = True

    def __init__(self, files: IncidentFiles, responder: Responder) -> None:
        super().__init__()
        self._files = files
        self._responder = responder

    def render_POST(self, request: StreamingRequest) -> int:
        self._responder.run(request, self._answer(_details(request)))
        return NOT_DONE_YET

    async def _answer(self, details: str) -> Answer:
        shown = shown_reason(nameless(details[:_MOST]))
        log.warn("A user reports: {details}", details=shown or "(no details)")
        told = _IN_FILE if await self._files.save(details) else _IN_LOG
        return Answer(told, 200, {"content-type": TEXT, "cache-control": "no-store"})


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
