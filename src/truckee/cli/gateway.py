"""Finding a gateway and talking to it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Coroutine
from io import FileIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import treq
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import deferLater, react
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from truckee.node.layout import DEFAULT_NODEDIR

# Exit codes, as docs/reference/commands.md has them.
FAILED, UNREACHABLE, NOT_FOUND, REFUSED = 1, 3, 4, 5
STOPPED = 130

_CONNECT = 15.0  # seconds
_MOST_TEXT = 4096  # bytes of an error
_PIECE = 256 * 1024  # bytes that are read at once


class Problem(click.ClickException):
    """What a command ends with: a sentence, and its exit code."""

    exit_code: int  # type: ignore[misc]

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.exit_code = code


class Unreachable(Problem):
    """The gateway did not answer, or stopped answering; it may be tried again."""

    def __init__(self, reason: object) -> None:
        text = f"the gateway does not answer ({reason}). Does it run?"
        super().__init__(text, UNREACHABLE)


def find_gateway(url: str | None, nodedir: str | None) -> str:
    """Return the address of the web API, with a slash at its end.  :raises Problem:"""
    if url:
        return _checked_url(url, "--node-url")
    # Without a home directory expanduser leaves the ~, and nothing is found there.
    usual = (Path(DEFAULT_NODEDIR), Path(os.path.expanduser("~")) / ".tahoe")
    places = [Path(nodedir)] if nodedir else usual
    for place in places:
        file = place / "node.url"
        try:
            return _checked_url(file.read_text("ascii").strip(), str(file))
        except (OSError, UnicodeDecodeError):
            continue
    named = " or ".join(str(place) for place in places)
    raise Problem(
        f"no gateway: there is no node.url in {named}; name the gateway with --node-url "
        "or its node directory with --node-directory"
    )


def _checked_url(url: str, where: str) -> str:
    """Return *url* with a slash at its end.  :raises Problem: when it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
        good = (
            url.isascii()
            and url.isprintable()
            and " " not in url
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and port != 0
            and not (parts.query or parts.fragment or parts.username)
        )
    except ValueError:  # a port that is no number, a bracket that is not closed
        good = False
    if not good:
        raise Problem(
            f"{where}: {url!r} is no address of a gateway; one looks like "
            "http://127.0.0.1:3456/"
        )
    return url.rstrip("/") + "/"


node_url = click.option(
    "-u", "--node-url", metavar="URL", envvar="TRUCKEE_NODE_URL", help="The gateway."
)
node_directory = click.option(
    "-d",
    "--node-directory",
    metavar="NODEDIR",
    type=click.Path(file_okay=False),
    help="Use the gateway of this node, instead of ./truckee-node or else ~/.tahoe.",
)


def run(
    work: Callable[[Any], Coroutine[Deferred[Any], Any, None]], endless: bool = False
) -> None:
    """
    Run *work* with the reactor, and end with the exit code of its problem.

    A signal stops it, which is the usual end of what is *endless*.
    """
    problems: list[Exception] = []
    ended = endless
    stopping = False

    def stopped() -> None:
        nonlocal stopping
        stopping = True

    async def main(reactor: Any) -> None:
        nonlocal ended
        reactor.addSystemEventTrigger("before", "shutdown", stopped)
        try:
            await work(reactor)
        except (click.ClickException, OSError) as problem:
            if stopping:  # it is but what the signal cut off
                return
            problems.append(problem)
        ended = True

    try:
        react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
    except SystemExit as end:
        if end.code:
            raise
    for problem in problems:
        if isinstance(problem, (click.ClickException, BrokenPipeError)):
            raise problem  # of a reader that has enough click makes no words
        raise Problem(_sentence(problem))
    if not ended:
        raise SystemExit(STOPPED)


@define(eq=False)
class Gateway:
    """One gateway's web API."""

    url: str
    reactor: Any
    _agent: Any = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        pool = HTTPConnectionPool(self.reactor, persistent=False)
        self._agent = Agent(self.reactor, pool=pool, connectTimeout=_CONNECT)

    async def ask(
        self,
        method: str,
        path: str,
        body: IBodyProducer | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Return the response.  :raises Unreachable: if there is none."""
        # Twisted's own agent: hyperlink, and so treq, takes [::1] for a name.
        sent = Headers({name: [value] for name, value in (headers or {}).items()})
        url = (self.url + path).encode("ascii")
        try:
            return await self._agent.request(method.encode("ascii"), url, sent, body)
        except Exception as error:
            told = _problem_within(error)
            raise told or Unreachable(reason_of(error)) from None

    async def text(
        self, method: str, path: str, data: IBodyProducer | None = None, most: int = 1 << 20
    ) -> str:
        """Return the body of a good answer.  :raises Problem: of any other."""
        response = await self.ask(method, path, data)
        body = await read(response, most)
        if response.code != 200:
            raise problem_of(response.code, body)
        return body.decode("utf-8", "replace")

    async def is_truckee(self) -> bool:
        """Tell whether it takes uploads in pieces."""
        try:
            told = json.loads(await self.text("GET", "?t=json"))
        except (ValueError, Problem) as error:
            if isinstance(error, Unreachable):
                raise
            return False
        return isinstance(told, dict) and "truckee" in told

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await deferLater(self.reactor, seconds)


def _sentence(error: Exception) -> str:
    """Return an error of the system in words."""
    if isinstance(error, OSError) and error.strerror:
        named = f"{error.filename}: " if error.filename else ""
        return f"{named}{error.strerror}"
    return str(error)


def _problem_within(error: Exception) -> Problem | None:
    """Return what our own side found wrong while it made the body of a request."""
    for inner in getattr(error, "reasons", ()):
        found = getattr(inner, "value", inner)
        if isinstance(found, Problem):
            return found
        if isinstance(found, OSError) and found.errno is not None:
            return Problem(f"cannot read: {found.strerror}")
    return error if isinstance(error, Problem) else None


async def read(response: Any, most: int = _MOST_TEXT) -> bytes:
    """Return the start of a body.  :raises Unreachable: if it breaks off."""
    pieces: list[bytes] = []

    def collect(piece: bytes) -> None:
        if sum(map(len, pieces)) < most:
            pieces.append(piece)

    try:
        await treq.collect(response, collect)
    except Exception as error:
        raise Unreachable(reason_of(error)) from None
    return b"".join(pieces)[:most]


def problem_of(status: int, body: bytes) -> Problem:
    """Return what an answer that is no good one means."""
    text = body[:_MOST_TEXT].decode("utf-8", "replace").strip()
    kinds = {404: NOT_FOUND, 410: NOT_FOUND, 507: REFUSED, 413: REFUSED, 403: REFUSED}
    kinds[409] = REFUSED
    told = text.splitlines()[0] if text else "it gave no reason"
    return Problem(f"the gateway said {status}: {told}", kinds.get(status, FAILED))


def reason_of(error: BaseException) -> str:
    """Return why a request broke, without its address."""
    reasons = getattr(error, "reasons", None)
    if reasons:
        inner = reasons[0]
        error = getattr(inner, "value", inner)
    return str(error).splitlines()[0] if str(error) else type(error).__name__


@implementer(IBodyProducer, IReadDescriptor)
@define(eq=False)
class FileBody:
    """
    The rest of a file, as the body of a request; reads only what was asked for.

    It waits for what is not there yet as for the network, so that a pipe in which nothing
    comes holds up nothing else.  Of a known length it gives that many bytes, or fails when
    the file has fewer.  The file has no buffer, and is left open.
    """

    _file: FileIO
    length: object  # bytes, or UNKNOWN_LENGTH
    _sent: Callable[[int], None]
    _reactor: Any
    _consumer: Any = field(default=None, init=False)
    _done: Deferred[None] = field(factory=Deferred, init=False)
    _ended: bool = field(default=False, init=False)
    _left: int | None = field(init=False)  # bytes; None: until the file ends

    def __attrs_post_init__(self) -> None:
        self._left = self.length if isinstance(self.length, int) else None

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self._consumer = consumer
        self._reactor.addReader(self)
        return self._done

    def pauseProducing(self) -> None:
        self._reactor.removeReader(self)

    def resumeProducing(self) -> None:
        if not self._ended:
            self._reactor.addReader(self)

    def stopProducing(self) -> None:
        self._ended = True
        self._reactor.removeReader(self)

    def fileno(self) -> int:
        return -1 if self._file.closed else self._file.fileno()

    def logPrefix(self) -> str:
        return "file"

    def doRead(self) -> None:
        left = self._left
        try:
            piece = self._file.read(_PIECE if left is None else min(_PIECE, left))
        except OSError as error:
            self.stopProducing()
            self._done.errback(Problem(f"cannot read: {error.strerror}"))
            return
        if piece:
            if left is not None:
                self._left = left - len(piece)
            self._sent(len(piece))
            self._consumer.write(piece)
        if piece == b"" and left:
            self.stopProducing()
            self._done.errback(
                Problem(
                    f"the file ended {left} bytes before its size: it became shorter, or "
                    "says another size than it has; then pipe it: truckee put < FILE"
                )
            )
        elif piece == b"" or self._left == 0:
            self.stopProducing()
            self._done.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        # A pipe that was closed at its other end; at the end of the process something else.
        if not self._ended and reason.check(ConnectionDone):
            self.doRead()
