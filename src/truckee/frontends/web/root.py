"""The whole tree of addresses, and the statuses of its errors."""

from __future__ import annotations

from twisted.web.http import Request
from twisted.web.resource import IResource, Resource

from truckee.flow.spool import SpoolDiskFull, SpoolFull
from truckee.frontends.http.ranges import RangeNotSatisfiable
from truckee.frontends.http.request import StreamingRequest
from truckee.frontends.http.respond import NotFound, Responder
from truckee.frontends.web.files import NamedResource, UriResource
from truckee.frontends.web.reading import Reader
from truckee.immutable.body import FileTooLarge
from truckee.immutable.download import Downloader
from truckee.immutable.locate import NotEnoughShares
from truckee.immutable.sinks import KeyReused
from truckee.immutable.upload import Uploader
from truckee.storage.interfaces import NoSpace

STATUSES = (
    (KeyReused, 409),
    (NotEnoughShares, 410),
    (FileTooLarge, 413),
    (SpoolFull, 413),
    (RangeNotSatisfiable, 416),
    (NoSpace, 507),
    (SpoolDiskFull, 507),
)

_PAGE = b"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>truckee</title>
<style>body { font: 1em/1.5 sans-serif; max-width: 40em; margin: 3em auto; padding: 0 1em }
code { background: #eee; padding: .1em .3em }</style>
<h1>truckee</h1>
<p>This gateway encrypts what you upload, spreads it over its grid, and answers with a
<em>cap</em>: the one text that finds and decrypts the file. Keep it safe; whoever has it
can read the file.</p>
<form action="uri?t=upload" method="post" enctype="multipart/form-data">
<p><label>Upload a file: <input type="file" name="file" required></label>
<button>Upload</button></p>
</form>
<form action="uri" method="get">
<p><label>Read a file: <input name="uri" size="40" required></label>
<button>Open</button></p>
</form>
<p>From a shell: <code>curl -T FILE http://HOST/uri</code> and
<code>curl http://HOST/uri/CAP</code>.</p>
</html>
"""


class RootResource(Resource):
    """The address /, and what is below it."""

    def __init__(
        self, uploader: Uploader, downloader: Downloader, responder: Responder
    ) -> None:
        super().__init__()
        reader = Reader(downloader, responder)
        files = UriResource(uploader, reader)
        named = NamedResource(reader)
        for name, resource in ((b"uri", files), (b"cap", files), (b"file", named)):
            self.putChild(name, resource)
        self.putChild(b"named", named)

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        if not path and not request.postpath:
            return self
        raise NotFound

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"content-type", b"text/html; charset=utf-8")
        # No cap is in this address; and a browser that sends no referrer sends its form
        # without an origin, which looks like a form of another site.
        request.setHeader(b"referrer-policy", b"same-origin")
        host = (request.getHeader("host") or "127.0.0.1:3456").encode("ascii", "replace")
        safe = bytes(c for c in host if chr(c).isalnum() or c in b".:-[]")
        return _PAGE.replace(b"HOST", safe)
