"""
A proxy before us and we read the same requests in the same bytes.

The proxy marks each request that it forwards with a secret.  One that we see without the
mark is one that the proxy took for something else.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import SkipTest

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource

from tests.net.http.wire import Served
from tests.ports import free_ports
from tests.processes import eventually
from truckee.net.http.request import StreamingRequest

HIDDEN = b"GET /seen?hidden HTTP/1.1\r\nHost: h\r\n\r\n"

CONFIG = """
global
    maxconn 200
defaults
    mode http
    timeout connect 5s
    timeout client 1s
    timeout server 5s
    http-reuse always
    {option}
frontend front
    bind 127.0.0.1:{front}
    http-request set-header X-Mark {mark}
    default_backend back
backend back
    server one 127.0.0.1:{back}
"""


def sequences() -> list[bytes]:
    """Return what could be read in two ways, each with a request hidden in it."""
    found = []
    lengths = (b"", b"Content-Length: %d\r\n" % len(HIDDEN), b"Content-Length: 0\r\n")
    codings = (
        b"chunked",
        b"chunked\r\nTransfer-Encoding: identity",
        b"identity",
        b"identity, chunked",
        b"chunked, identity",
        b"xchunked",
        b"Chunked",
        b" chunked",
        b"\tchunked",
        b"chunked ",
        b"\x0bchunked",
        b"chunked\x00",
        b"\r\n chunked",
        b"chunked;a=b",
        b'"chunked"',
        b"chunked\rX: y",
        b"chunked\nX: y",
        b"",
    )
    names = (b"Transfer-Encoding:", b"Transfer-Encoding :", b"Transfer_Encoding:")
    bodies = (
        b"0\r\n\r\n" + HIDDEN,
        HIDDEN,
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    )
    for length, name, coding, body in product(lengths, names, codings, bodies):
        head = b"POST /seen HTTP/1.1\r\nHost: h\r\n" + length
        found.append(head + name + b" " + coding + b"\r\n\r\n" + body)
    sizes = [b"0", b"00", b"0;a", b"0 ", b" 0", b"0x0", b"-0", b"+0", b"0\n", b"0\r"]
    sizes += [b"0;\n", b"1" + b"0" * 16, b"f" * 16, b"1_0", b'0;a="\r\nx"', b""]
    for size in sizes:
        head = b"POST /seen HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        for end in (b"\r\n\r\n", b"\n\n", b"\r\n", b"\r\n \r\n\r\n", b"\r\nX: y\n\r\n"):
            found.append(head + size + end + HIDDEN)
    values = (
        b"+0",
        b"-0",
        b"0x0",
        b"00",
        b"0 0",
        b"0,0",
        b"0, 38",
        b"0\r\n 8",
        b"",
        b"\x000",
    )
    for value in values:
        head = b"POST /seen HTTP/1.1\r\nHost: h\r\nContent-Length: "
        found.append(head + value + b"\r\n\r\n" + HIDDEN)
        found.append(head + b"0\r\nContent-Length: " + value + b"\r\n\r\n" + HIDDEN)
    for first in (
        b"GET /seen HTTP/1.1\r\nHost: h\r\nX: y\n\r\n",
        b"GET /seen HTTP/1.1\r\nHost: h\r\nX: y\r\r\n",
        b"GET /seen HTTP/1.1\r\nHost: h\r\nX: y\n\n",
        b"GET /seen HTTP/1.0\r\nHost: h\r\nContent-Length: 99\r\n\r\n",
        b"GET /seen\r\n",
        b"GET /seen HTTP/1.1\x00\r\nHost: h\r\n\r\n",
        b"GET http://a/seen HTTP/1.1\r\nHost: b\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n",
        b"HEAD /seen HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345",
        b"\r\n\r\n\r\n",
    ):
        found.append(first + HIDDEN)
    return found


class Seen(Resource):
    """Notes what it is asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[str | None] = []

    def render(self, request: StreamingRequest) -> bytes:
        self.marks.append(request.getHeader("x-mark"))
        return b"seen"


class SmugglingTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.program = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
        if self.program is None:
            raise SkipTest("needs haproxy: apt-get install haproxy")

    async def test_strict_proxy(self) -> None:
        """As it is installed."""
        await self.check("")

    async def test_lax_proxy(self) -> None:
        """One that lets pass what it does not understand."""
        await self.check("option accept-invalid-http-request")

    async def check(self, option: str) -> None:
        """Fail if we see a request that the proxy did not forward."""
        served, seen, mark = Served(self), Seen(), secrets.token_hex(16)
        served.root.putChild(b"seen", seen)
        [front] = free_ports(1)
        place = Path(self.enterContext(TemporaryDirectory()))
        config = place / "haproxy.cfg"
        back = served.port.getHost().port
        config.write_text(CONFIG.format(option=option, front=front, back=back, mark=mark))
        assert self.program is not None
        proxy = subprocess.Popen(
            [self.program, "-db", "-q", "-f", str(config)], stderr=subprocess.DEVNULL
        )
        self.addCleanup(proxy.wait)
        self.addCleanup(proxy.kill)
        count = await deferToThread(send_all, front, sequences())
        self.assertGreater(count, 300)
        self.assertGreater(len(seen.marks), 50)
        self.assertEqual(set(seen.marks), {mark})


def send_all(port: int, all_of_them: list[bytes]) -> int:
    """Send each on a connection of its own; return on how many something came back."""
    eventually(lambda: can_connect(port))
    return sum(bool(answer(port, each)) for each in all_of_them)


def can_connect(port: int) -> bool:
    """Tell whether the proxy listens."""
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def answer(port: int, data: bytes) -> bytes:
    """Return what comes back for *data* until the end."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while more := sock.recv(65536):
                found += more
        except ConnectionError:
            pass
    return found
