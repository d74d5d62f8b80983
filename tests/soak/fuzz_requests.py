"""
Requests that nobody would send, over sockets to a node: none may be answered with 500, and
none may leave a traceback in its log.

    python -m tests.soak.fuzz_requests [--requests N] [--seed N]

The same seed gives the same requests, but for the handles and caps of the node.
"""

from __future__ import annotations

import argparse
import random
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote_from_bytes, urlsplit
from urllib.request import Request, urlopen

from attrs import define, field

from tests.processes import GridProcess, curl, running
from tests.report import report

TIMEOUT = 20.0  # seconds for one answer
_ENOUGH = 64 << 10  # bytes of an answer

METHODS = [b"GET", b"HEAD", b"PUT", b"POST", b"PATCH", b"DELETE", b"OPTIONS"]
DAV_METHODS = [
    *(b"PROPFIND", b"PROPPATCH", b"MKCOL", b"COPY", b"MOVE", b"LOCK", b"UNLOCK", b"PUT"),
    *(b"GET", b"DELETE"),
]
ODD_METHODS = [b"TRACE", b"CONNECT", b"BREW", b"get", b"G\xff", b"render_GET", b"__init__"]
TOPS = [
    *(b"", b"uri", b"cap", b"file", b"named", b"static", b"upload", b"upload/open", b"tus"),
    *(b"tus/", b"operations", b"status", b"status/events", b"metrics", b"helper_status"),
    *(b"storage", b"uri", b"tus/", b"upload/open", b"static/live.js", b"nothing", b"//"),
]
TEXTS = [
    *(
        b"",
        b"0",
        b"1",
        b"-1",
        b"true",
        b"false",
        b"on",
        b"maybe",
        b"json",
        b"JSON",
        b"html",
    ),
    *(b"check", b"uri", b"readonly-uri", b"info", b"upload", b"mkdir", b"cancel", b"pause"),
    *(b"resume", b"status", b"CHK", b"SDMF", b"random", b"0" * 32, b"a" * 26, b"f" * 31),
    *(b"9" * 18, b"9" * 19, b"9" * 5000, b"1" + b"0" * 400, b"1e999", b"0x10", b"64MiB"),
    *(b"18446744073709551616", b"-0", b"NaN", b"inf", b"1_000", b"\xd9\xa1", b"\xc2\xb2"),
    *(b"a.html", b"a.tar.gz", b"data:text/html,x", b"a\r\nSet-Cookie: x=y", b"\r\n\r\n"),
    *(b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xc3\x28", b"\xe2\x80\xae.exe", b"%", b"%zz"),
    *(
        b"a/../b",
        b"%(uri)s",
        b"javascript:x",
        b"http://evil/",
        b"*",
        b'"',
        b"'",
        b"<script>",
    ),
    *(b"{}", b"{0.__class__}", b"%s%n", b"URI:LIT:mfrgg", b"URI:CHK:", b"URI:DIR2-LIT:"),
    *(b"URI:LIT:" + b"a" * 200, b"URI:SSK:" + b"a" * 26 + b":" + b"b" * 52),
    *(b"ro.URI:LIT:mfrgg", b"imm.", b"x" * 3000, b"ophandle-0123456789abcdef"),
]
# What belongs to each argument; any other text may come instead.
NAMES: dict[bytes, list[bytes]] = {
    b"t": [b"json", b"check", b"uri", b"readonly-uri", b"upload", b"cancel", b"status"],
    b"filename": [b"a.html", b"a.mp4", b"data:text/html,x", b"a\r\nX: y", b"\xc3\xa9.pdf"],
    b"save": [b"true", b"false"],
    b"output": [b"json", b"html", b"text"],
    b"key": [b"random", b"CHK", b"0" * 32, b"a" * 26],
    b"size": [b"0", b"9", b"5", b"64MiB", b"9" * 18],
    b"size-limit": [b"0", b"9", b"1G"],
    b"helper": [b"no", b"true"],
    b"format": [b"CHK", b"chk", b"SDMF"],
    b"mutable": [b"false", b"true"],
    b"when_done": [b"/status", b"%(uri)s", b"\r\n", b"http://evil/", b"\xe2\x80\xae"],
    b"offset": [b"0", b"9", b"5", b"9" * 18],
    b"close": [b"true", b"false"],
    b"uri": [b"URI:LIT:mfrgg"],
    b"ophandle": [b"ophandle-0123456789abcdef", b"y" * 128, b"short"],
    b"retain-for": [b"0", b"60", b"9" * 12],
    b"release-after-complete": [b"true"],
    b"verify": [b"true"],
    b"repair": [b"true"],
    b"add-lease": [b"true"],
    b"": [b""],
    b"\xff": [b"\xff"],
}
_BYTES = [
    *(b"bytes=0-9", b"bytes=-5", b"bytes=5-", b"bytes=0-0,2-2,4-4", b"bytes=9-1", b"bytes"),
    *(b"bytes=" + b"9" * 4000 + b"-", b"bytes=" + b"0-0," * 999, b"bytes=99999-"),
]
_TAGS = [b"*", b'"tag"', b'W/"tag"', b"tag", b'"', b'"a", "b"']
_KINDS = [
    *(b"multipart/form-data; boundary=b", b"multipart/form-data", b"text/html; charset=x"),
    *(
        b"multipart/form-data; boundary=" + b"b" * 300,
        b"multipart/form-data; boundary=\xff",
    ),
    *(b"application/x-www-form-urlencoded", b"application/offset+octet-stream"),
    *(b"application/offset+octet-stream", b"application/partial-upload"),
]
_COUNTS = [b"0", b"0", b"5", b"9", b"-1", b"9" * 18, b"9" * 400, b"?1", b"\xd9\xa1"]
HEADERS: dict[bytes, list[bytes]] = {
    b"Range": _BYTES,
    b"If-Range": _TAGS,
    b"If-Match": _TAGS,
    b"If-None-Match": _TAGS,
    b"Content-Type": _KINDS,
    b"Expect": [b"100-continue", b"x"],
    b"Upload-Offset": _COUNTS,
    b"Upload-Length": _COUNTS,
    b"Upload-Defer-Length": [b"1", b"2"],
    b"Upload-Metadata": [b"filename d29ybGQ=", b"a d29ybGQ", b"a,b", b"a a,a a", b"\xff"],
    b"Upload-Concat": [b"partial", b"final;/tus/a /tus/b", b"final;", b"final;http://[/x"],
    b"Upload-Checksum": [b"sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", b"md5 x", b"crc32 AAAA"],
    b"Upload-Complete": [b"?1", b"?0", b"?2"],
    b"Upload-Draft-Interop-Version": [b"8", b"9", b"x"],
    b"X-HTTP-Method-Override": [b"DELETE", b"PATCH", b"HEAD", b"\xff"],
    b"X-Task-Id": [b"y" * 20, b"\xff" * 20, b"x"],
    b"Accept": [b"*/*", b"application/openmetrics-text; version=1.0.0", b"\xff", b";q=,,"],
    b"Cookie": [b"a=b; \xff=\xff;;=", b"=;=;"],
    b"Origin": [b"http://127.0.0.1", b"null", b"http://[::1", b"http://evil"],
    b"Sec-Fetch-Site": [b"same-origin", b"none", b"cross-site"],
    b"Sec-Fetch-Mode": [b"navigate", b"cors", b"no-cors"],
    b"Sec-Fetch-Dest": [b"document", b"empty", b"video", b"script", b"worker"],
    b"Service-Worker": [b"script"],
    b"Depth": [b"0", b"1", b"infinity", b"2"],
    b"Destination": [b"/dav/x/y", b"http://[/", b"/uri", b"http://127.0.0.1/dav/URI:x/y"],
    b"Overwrite": [b"T", b"F", b"x"],
    b"If": [b"(<a>)", b"(Not <DAV:no-lock>)", b'(["tag"])', b"<http://[> (<a>)", b"(((("],
    b"Timeout": [b"Infinite", b"Second-9", b"Second-" + b"9" * 400],
    b"Lock-Token": [b"<urn:uuid:x>", b"x"],
    b"X-OC-Mtime": [b"0", b"9" * 400, b"nan"],
    b"X-Expected-Entity-Length": [b"5", b"9" * 400],
    b"User-Agent": [
        b"Mozilla/5.0 Chrome/999999.0",
        b"Mozilla/5.0 Chrome/\xd9\xa1.",
        b"\xff",
    ],
    b"Accept-Encoding": [b"identity;q=1, *;q=0", b"gzip"],
    b"Authorization": [b"Basic \xff", b"tahoe-lafs x"],
    b"Transfer-Encoding": [b"chunked", b"identity", b"gzip, chunked"],
    b"Content-Length": [b"5", b"-5", b"5, 5", b"9" * 400],
    b"Connection": [b"close", b"keep-alive, Upgrade", b"\xff"],
    b"Upgrade": [b"websocket", b"h2c"],
    b"Referer": [b"http://evil/", b"\xff"],
    b"Forwarded": [b"for=x;host=evil"],
    b"X-Forwarded-Host": [b"evil"],
    b"Host": [b"evil", b"localhost", b"127.0.0.1:99999"],
}
ODD = [
    b"\xff",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    b"a\x01b",
    b"x" * 5000,
    b"",
    b"\t",
    b"%",
    b"{0}",
]
# Which few that are sent alone end in a refusal of the whole connection.
_RARE = (b"Transfer-Encoding", b"Content-Length", b"Host", b"Service-Worker")
FORMS = [
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello'
    b"\r\n--b--\r\n",
    b'--b\r\nContent-Disposition: form-data; name="t"\r\n\r\nupload\r\n--b\r\n'
    b'Content-Disposition: form-data; name="file"\r\n\r\n' + b"x" * 100 + b"\r\n--b--",
    b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n\xff\r\n--b--\r\n',
    b'--b\r\nContent-Disposition: form-data; name="when_done"\r\n\r\n\r\n\n/x\r\n--b\r\n'
    b'Content-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
    b"--b\r\n\xff: \xff\r\n\r\nx\r\n--b--\r\n",
    b'--b\r\nContent-Disposition: form-data; name="fi\xffle"\r\n\r\nx',
    b"--b--",
    b"--b\r\n" * 100,
    b'<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><x:a xmlns:x="\xc3\xa9"/></D:prop>'
    b"</D:propfind>",
    b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><a>1</a><D:lastmodified>5'
    b"</D:lastmodified></D:prop></D:set></D:propertyupdate>",
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:shared/></D:lockscope><D:locktype>'
    b"<D:write/></D:locktype><D:owner>\xc3\xa9</D:owner></D:lockinfo>",
]


@define(eq=False)
class Fuzz:
    """Requests, and what became of them."""

    _url: str
    _random: random.Random
    caps: list[bytes]
    places: list[bytes] = field(factory=list, init=False)  # of open uploads and tasks
    statuses: Counter[str] = field(factory=Counter, init=False)
    failures: list[bytes] = field(factory=list, init=False)  # requests answered with 500

    @classmethod
    def begin(cls, url: str, seed: int) -> Fuzz:
        """Return a fuzz of the node at *url*, which has some files and open uploads."""
        caps = [curl("-T", "-", f"{url}uri", data=b"x" * size) for size in (9, 60, 300_000)]
        verify = caps[-1].split(b":")
        caps += [b"URI:CHK-Verifier:" + b":".join(verify[2:]), *TEXTS[-12:-5]]
        done = cls(url, random.Random(seed), caps)
        done.open()
        return done

    def open(self) -> None:
        """Open some uploads, in place of those before, and make a task."""
        for place in self.places:
            if place.startswith(b"upload/"):
                self._ask("DELETE", place.decode())
        self.places = [b"static/upload.js", b"status/events", b"operations/" + b"x" * 20]
        for query in ("", "?size=9", "?key=" + "1" * 32, "?size-limit=5", ""):
            handle = self._ask("POST", f"upload/open{query}")
            # There may be too many that requests have opened, until they expire.
            if handle:
                self.places += [b"upload/" + handle, b"tus/" + handle]
        self._ask("PUT", f"uri?ophandle={'x' * 20}", b"x" * 100)
        directory = self._ask("POST", "uri?t=mkdir")
        names = (b"", b"/", b"/a", b"/b", b"/a/b", b"/%c3%a9", b"/%2e%2e", b"/%ff")
        self.places += [b"dav/" + directory + name for name in names]

    def _ask(self, method: str, path: str, data: bytes = b"") -> bytes:
        """Return the body of the answer, nothing where that is an error."""
        with (
            suppress(HTTPError),
            urlopen(
                Request(self._url + path, data, method=method), timeout=TIMEOUT
            ) as answer,
        ):
            body: bytes = answer.read()
            return body
        return b""

    def request(self) -> bytes:
        """Return the next request."""
        pick, chance = self._random.choice, self._random.random
        body, headers = self._body()
        method = pick(METHODS if chance() < 0.96 else ODD_METHODS)
        target = self._target()
        if target.startswith(b"/dav/") and chance() < 0.9:
            method = pick(DAV_METHODS)
        lines = [b"%s %s HTTP/1.%d" % (method, target, chance() > 0.05)]
        if chance() < 0.97:
            lines.append(b"Host: " + (b"127.0.0.1" if chance() < 0.97 else pick(TEXTS)))
        for _ in range(pick((0, 0, 0, 1, 1, 2, 2, 3, 5))):
            name = pick(list(HEADERS))
            if name not in _RARE or chance() < 0.1:
                value = pick(HEADERS[name] if chance() < 0.9 else [*ODD, self._text()])
                lines.append(name + b": " + value)
        if chance() < 0.5:
            lines.append(b"Tus-Resumable: 1.0.0")
        lines += headers
        return b"\r\n".join([*lines, b"", b""]) + body

    def _target(self) -> bytes:
        pick, chance = self._random.choice, self._random.random
        choice = chance()
        if choice < 0.4:
            path = pick((b"uri", b"uri", b"cap", b"file", b"named")) + b"/" + self._cap()
            path += b"".join(
                b"/" + self._quoted(self._text()) for _ in range(chance() > 0.8)
            )
        elif choice < 0.7:
            path = pick(self.places)
        elif choice < 0.98:
            path = pick(TOPS)
        else:
            path = b"/".join(self._quoted(self._text()) for _ in range(3))
        if chance() < 0.03:
            path += b"/" + self._quoted(self._text())
        arguments = []
        for _ in range(pick((0, 0, 0, 1, 1, 2, 3))):
            name = pick(list(NAMES))
            value = self._text() if chance() < 0.2 else pick(NAMES[name])
            text = self._quoted(name) + b"=" + self._quoted(value)
            arguments.append(text if chance() < 0.95 else self._quoted(name))
        query = pick((b"&", b"&", b"&", b";")).join(arguments)
        target = b"/" + path + (b"?" + query if arguments else b"")
        return b"http://localhost" + target if chance() < 0.03 else target

    def _cap(self) -> bytes:
        cap = self._random.choice(self.caps)
        if self._random.random() < 0.15:
            at = self._random.randrange(len(cap) + 1)
            cap = cap[:at] + self._random.choice(TEXTS) + cap[at + 1 :]
        return self._quoted(cap)

    def _text(self) -> bytes:
        choice = self._random.random()
        if choice < 0.1:
            return self._random.randbytes(self._random.randrange(12))
        return self._random.choice(self.caps if choice < 0.15 else TEXTS)

    def _quoted(self, text: bytes) -> bytes:
        if self._random.random() < 0.005:
            return text.translate(None, b" \r\n")  # as no client writes it
        return quote_from_bytes(text, safe=":").encode()

    def _body(self) -> tuple[bytes, list[bytes]]:
        choice = self._random.random()
        if choice < 0.35:
            return b"", []
        body = self._random.choice(
            [*FORMS, b"hello", b"", b"x" * 60, self._random.randbytes(5000), bytes(200_000)]
        )
        kind = []
        if self._random.random() < 0.6 and body in FORMS:
            kind = [b"Content-Type: multipart/form-data; boundary=b"]
        if choice < 0.5:
            return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n", [
                b"Transfer-Encoding: chunked",
                *kind,
            ]
        wrong = self._random.choice((-1, 1, 10**9, 10**17)) if choice > 0.95 else 0
        return body, [b"Content-Length: %d" % max(0, len(body) + wrong), *kind]

    def run(self, count: int, tell: Callable[[int], None] = lambda _: None) -> None:
        """Send so many requests, each on a connection of its own."""
        for number in range(count):
            if number and number % 100 == 0:
                self.open()
            request = self.request()
            status = self._send(request)
            self.statuses[status] += 1
            if status.startswith("500"):
                self.failures.append(request)
            tell(number + 1)

    def _send(self, request: bytes) -> str:
        """Return the status of the answer, or what came instead."""
        address = urlsplit(self._url)
        with socket.create_connection((address.hostname, address.port), TIMEOUT) as wire:
            with suppress(OSError):
                wire.sendall(request)
            answer = b""
            with suppress(OSError):
                wire.shutdown(socket.SHUT_WR)
            try:
                while more := wire.recv(65536):
                    answer += more
                    if len(answer) > _ENOUGH or b"text/event-stream" in answer:
                        break
            except TimeoutError:
                return "nothing in time"
            except OSError:
                pass
        while answer.startswith(b"HTTP/1.1 1"):
            answer = answer.partition(b"\r\n\r\n")[2]
        first = answer.partition(b"\r\n")[0].split(b" ")
        return first[1].decode("latin-1") if len(first) > 1 else "closed"


def tracebacks(log: str) -> int:
    """Return how many there are in the log of a node."""
    return log.count("Traceback") + log.count("Unhandled")


def fuzz(grid: GridProcess, count: int, seed: int, say: bool = False) -> Fuzz:
    """Send *count* requests to *grid*, which runs."""
    done = Fuzz.begin(grid.url, seed)

    def tell(number: int) -> None:
        if say and number % 1000 == 0:
            print(f"{number} requests, {tracebacks(grid.log())} tracebacks", flush=True)

    done.run(count, tell)
    return done


def make_node(place: Path) -> GridProcess:
    """Return a node that forgets open uploads soon."""
    return GridProcess.create(
        place / "node",
        needed=2,
        happy=2,
        total=3,
        storage_dirs=3,
        config="\n[client]\nupload.expire-after = 0.0003\n",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Send requests, and exit with 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        grid = make_node(Path(place))
        with running(grid):
            done = fuzz(grid, options.requests, options.seed, say=True)
        log = grid.log()
    for request in done.failures[:20]:
        print(request[:600])
    if tracebacks(log):
        print(log[-20_000:])
    rows = [{"answer": each, "count": n} for each, n in sorted(done.statuses.items())]
    report("answers", [*rows, {"answer": "tracebacks", "count": tracebacks(log)}])
    raise SystemExit(bool(done.failures or tracebacks(log)))


if __name__ == "__main__":
    main()
