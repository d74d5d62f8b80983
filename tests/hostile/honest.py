"""A client that does small requests all the time, and how long it waits for each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException
from urllib.parse import quote, urlsplit

from attrs import frozen

from tests.hostile.attack import Stop

# Between two requests, in seconds.
EVERY = 0.05
# A request that is not answered is given up after so many seconds and sent again.
GIVE_UP = 60.0
_SIZE = 8 * 1024


@frozen
class Wait:
    """What one request took, from the moment it was due."""

    due: float  # by the monotonic clock
    seconds: float
    failures: int  # times that it had to be sent again


@frozen
class _Work:
    method: str
    target: str
    body: bytes | None = None


def be_honest(url: str, stop: Stop, tell: Callable[[Wait], None]) -> None:
    """
    Store a file, read it, ask for the status, and so on, until *stop* is set.

    Each is a connection of its own.  One that is refused is sent again until it works.
    While a request takes longer than the time to the next one, those that were due
    meanwhile count too: their users would have waited as well.
    """
    address = urlsplit(url)
    cap = ""
    number, due = 0, time.monotonic()
    while not stop.is_set():
        work = (
            _Work("PUT", "/uri", os.urandom(_SIZE)),
            _Work("GET", f"/uri/{quote(cap, safe='')}"),
            _Work("GET", "/?t=json"),
        )[number % 3]
        failures = 0
        while (body := _ask(address.netloc, work)) is None and not stop.is_set():
            failures += 1
            time.sleep(0.05)
        if body is None:
            tell(Wait(due, time.monotonic() - due, failures))
            return
        if work.method == "PUT":
            cap = body.decode("ascii")
        elif cap and work.target.startswith("/uri") and len(body) != _SIZE:
            raise AssertionError("a file did not come back")
        number += 1
        now = time.monotonic()
        tell(Wait(due, now - due, failures))
        due += EVERY
        while due < now:
            tell(Wait(due, now - due, 0))
            due += EVERY
        stop.wait(max(0.0, due - time.monotonic()))


def _ask(place: str, work: _Work) -> bytes | None:
    """Return the body of the answer; None if it was refused."""
    connection = HTTPConnection(place, timeout=GIVE_UP)
    try:
        connection.request(work.method, work.target, work.body)
        answer = connection.getresponse()
        body = answer.read()
        return body if answer.status == 200 else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def at_most(waits: Sequence[Wait], part: float) -> float:
    """Return the seconds within which *part* of *waits* were over; 0 without any."""
    ordered = sorted(wait.seconds for wait in waits)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
