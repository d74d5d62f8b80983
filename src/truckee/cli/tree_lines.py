"""The lines that a gateway sends of a whole tree, also when something breaks meanwhile."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from itertools import takewhile
from typing import Any
from urllib.parse import urlencode

from attrs import define, field
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

from truckee.cli.broken import problem_within
from truckee.cli.finding import NO_GATEWAY
from truckee.cli.gateway import BytesBody, Gateway, read
from truckee.cli.grid import problem_at
from truckee.cli.grid_path import GridPath
from truckee.cli.problems import Problem, Unreachable, printable
from truckee.flow.changes import Changes

_DONE = Failure(ResponseDone())
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_ERROR = "ERROR: "
_LATER = (410, 503)  # a gateway that was restarted may not have its servers yet
_MOST = 256 << 10  # bytes that wait to be taken
_LONGEST = 4 << 20  # bytes of one line
_TRIES, _LONGEST_WAIT = 10, 30.0  # without a line; seconds between two


@define(eq=False)
class TreeLines:
    """Asks for a walk and, after a break, for the rest of it."""

    _gateway: Gateway
    _place: GridPath
    _args: Mapping[str, str]
    _tell: Callable[[str], None]
    cursor: str = ""  # of the last line that was given

    async def batches(self) -> AsyncGenerator[list[dict[str, Any]], None]:
        """
        Give the objects in the lines, some at a time; the last one has the statistics.

        *cursor* is that of a batch once the next one is asked for.

        :raises Problem: when the gateway refuses, or ends it.  :raises Unreachable: when it
            does not come back.
        """
        tries = 0
        while True:
            try:
                body = await self._ask()
                while some := await body.take():
                    good = list(takewhile(_is_unit, some))
                    found = [self._read(line) for line in good]
                    if found:
                        yield found
                        tries, self.cursor = 0, found[-1]["cursor"]
                        if found[-1]["type"] == "stats":
                            return
                    if len(good) < len(some):
                        text = some[len(good)].decode("utf-8", "replace")
                        told = printable(text.removeprefix(_ERROR))
                        raise Problem(f"{self._place.shown}: {told}")
                raise Unreachable("its answer broke off", self._gateway.url)
            except Unreachable as problem:
                tries += 1
                if tries > _TRIES or not self.cursor:
                    raise
                wait = min(_LONGEST_WAIT, 2.0 ** (tries - 1))
                self._tell(f"{problem.reason}; continuing in {wait:.0f} s")
                await self._gateway.sleep(wait)

    async def _ask(self) -> _Body:
        place = f"{self._place.url}?{urlencode(self._args)}"
        form = urlencode({"cursor": self.cursor} if self.cursor else {}).encode()
        asked = await self._gateway.ask("POST", place, BytesBody(form), _FORM)
        if asked.code in _LATER and self.cursor:
            told = problem_at(self._place.shown, asked.code, await read(asked))
            raise Unreachable(told.message, self._gateway.url)
        if asked.code != 200:
            raise problem_at(self._place.shown, asked.code, await read(asked))
        body = _Body()
        asked.deliverBody(body)
        return body

    def _read(self, line: bytes) -> dict[str, Any]:
        """Return what is in a line.  :raises Problem: if it is none of a gateway."""
        try:
            told = json.loads(line)
            told["type"], told["cursor"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Problem(NO_GATEWAY) from None
        return dict(told)


def _is_unit(line: bytes) -> bool:
    return not line.startswith(_ERROR.encode())


@define(eq=False)
class _Body(Protocol):
    """Takes a body as whole lines, no faster than they are taken."""

    _lines: list[bytes] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)  # bytes of these
    _rest: bytes = field(default=b"", init=False)
    _ended: BaseException | None = field(default=None, init=False)
    _changes: Changes = field(factory=Changes, init=False, repr=False)

    async def take(self) -> list[bytes]:
        """Return the lines that came, at least one; none: it has ended, well or not."""
        while not self._lines:
            if self._ended is not None:
                if isinstance(self._ended, ResponseDone | PotentialDataLoss):
                    return []
                raise problem_within(self._ended)
            await self._changes.once()
        lines, self._lines, self._size = self._lines, [], 0
        if self._ended is None:
            self._producer.resumeProducing()
        return lines

    def dataReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines += lines
        self._size += len(data)
        if self._size > _MOST:
            self._producer.pauseProducing()
        if len(self._rest) > _LONGEST:
            self._producer.loseConnection()
        if lines:
            self._changes.wake()

    def connectionLost(self, reason: Failure = _DONE) -> None:
        self._ended = reason.value
        self._changes.wake()

    @property
    def _producer(self) -> Any:
        return self.transport
