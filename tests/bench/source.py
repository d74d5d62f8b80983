"""Clients that send a body at a steady rate, over a plain socket and by SFTP."""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from tests.integration.sftp_clients import Account, logged_in
from tests.processes import GridProcess, opened

_STEP = 64 * 1024  # bytes in one send
_SFTP_STEP = 32 * 1024  # bytes in one WRITE
_CLOSE = 4  # the type of the packet
_SEGMENT = 1048578  # bytes, as a multiple of 3
# What is sent has it in many places; no file of a node may have it anywhere.
MARK = b"what-the-benchmark-sends"


@frozen
class Sent:
    """When what happened, in seconds of ``time.perf_counter``."""

    first_segment: float  # the first full segment was handed to the system
    last_byte: float
    answer: float
    body: bytes  # of the answer


def put(
    url: str,
    size: int,
    rate: float,
    *,
    chunked: bool,
    segment: int = _SEGMENT,
    meanwhile: Callable[[], None] = lambda: None,
) -> Sent:
    """
    PUT *size* random bytes to *url* at *rate* bytes a second (0: as fast as it goes).

    *meanwhile* is called between two sends.
    """
    parts = urlsplit(url)
    data = _random(_STEP)
    first_segment = 0.0
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        head = f"PUT {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{length}\r\n"
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        started = time.perf_counter()
        sent = 0
        while sent < size:
            piece = data[: min(_STEP, size - sent)]
            if chunked:
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                connection.sendall(piece)
            sent += len(piece)
            if not first_segment and sent >= segment:
                first_segment = time.perf_counter()
            _wait(started, sent, rate, meanwhile)
        if chunked:
            connection.sendall(b"0\r\n\r\n")
        last_byte = time.perf_counter()
        answer = b""
        while more := connection.recv(65536):
            answer += more
    head_bytes, _, body = answer.partition(b"\r\n\r\n")
    if head_bytes.split(b" ", 2)[1] not in (b"200", b"201"):
        raise AssertionError(answer.decode(errors="replace"))
    return Sent(first_segment, last_byte, time.perf_counter(), body)


def write(
    account: Account, name: str, size: int, rate: float, meanwhile: Callable[[], None]
) -> Sent:
    """The same by SFTP; its answer is that to CLOSE."""
    data = _random(_SFTP_STEP)
    first_segment = 0.0
    with logged_in(account) as client:
        file = client.open(f"/{name}", "wb")
        file.set_pipelined(True)
        started, sent = time.perf_counter(), 0
        while sent < size:
            piece = data[: min(_SFTP_STEP, size - sent)]
            file.write(piece)
            sent += len(piece)
            if not first_segment and sent >= _SEGMENT:
                first_segment = time.perf_counter()
            _wait(started, sent, rate, meanwhile)
        last_byte = time.perf_counter()
        client._request(_CLOSE, file.handle)
        answer = time.perf_counter()
        file._closed = True
    return Sent(first_segment, last_byte, answer, b"")


def _random(size: int) -> bytes:
    return b"".join(MARK + os.urandom(4096 - len(MARK)) for _ in range(size // 4096))


def readable(node: GridProcess) -> list[Path]:
    """Return the files of a node, open ones without a name too, that have the mark."""
    named = (each for each in node.directory.rglob("*") if each.is_file())
    nameless = (each for each, _ in opened(node.process.pid))
    return [each for each in (*named, *nameless) if _has_mark(each)]


def _has_mark(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return False
        while piece := file.read(16 << 20):
            if MARK in piece:
                return True
    return False


def _wait(started: float, sent: int, rate: float, meanwhile: Callable[[], None]) -> None:
    """Return when so many bytes may have been sent."""
    meanwhile()
    ahead = started + sent / rate - time.perf_counter() if rate else 0
    while ahead > 0:
        time.sleep(min(ahead, 0.002))
        meanwhile()
        ahead = started + sent / rate - time.perf_counter()
