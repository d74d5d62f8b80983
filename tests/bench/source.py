"""A client that sends a body at a steady rate over a plain socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from attrs import frozen

_STEP = 64 * 1024  # bytes in one send


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
    segment: int = 1048578,
    meanwhile: Callable[[], None] = lambda: None,
) -> Sent:
    """
    PUT *size* random bytes to *url* at *rate* bytes a second (0: as fast as it goes).

    *meanwhile* is called between two sends.
    """
    parts = urlsplit(url)
    data = os.urandom(_STEP)
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
            meanwhile()
            ahead = started + sent / rate - time.perf_counter() if rate else 0
            while ahead > 0:
                time.sleep(min(ahead, 0.002))
                meanwhile()
                ahead = started + sent / rate - time.perf_counter()
        if chunked:
            connection.sendall(b"0\r\n\r\n")
        last_byte = time.perf_counter()
        answer = b""
        while more := connection.recv(65536):
            answer += more
    head_bytes, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head_bytes.split(b"\r\n")[0]:
        raise AssertionError(answer.decode(errors="replace"))
    return Sent(first_segment, last_byte, time.perf_counter(), body)
