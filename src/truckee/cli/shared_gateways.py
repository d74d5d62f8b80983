"""One gateway or several that share requests, also while some of them are away."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from truckee.cli.gateway import Gateway
from truckee.cli.problems import Problem, Unreachable
from truckee.flow.changes import Changes
from truckee.flow.together import Group, together

# A gateway that answered nothing for so long is asked whether it is still there.
_SILENT = 15.0  # seconds
_PROBE = 30.0  # seconds in which it says so
_MOST = 16 << 20  # bytes of an answer
_ATTEMPTS = 10  # at one request that no gateway answers
_TRIES, _LONGEST_WAIT = 10, 30.0  # to reach a gateway again; seconds between two
# After a restart a gateway reaches its servers one after the other.
_SERVER_TRIES = 5  # after which fewer of them than before are enough


@define(eq=False)
class Member:
    """One of the gateways, and what it is asked."""

    gateway: Gateway
    is_up: bool = field(default=True, init=False)
    is_given_up: bool = field(default=False, init=False)
    active: int = field(default=0, init=False)  # requests that have a slot
    servers: int = field(default=0, init=False)  # that it was connected to
    heard: float = field(default=0.0, init=False)  # when it last answered
    _running: set[Deferred[Any]] = field(factory=set, init=False, repr=False)
    _cut: set[Deferred[Any]] = field(factory=set, init=False, repr=False)

    async def exchange(
        self, method: str, place: str, body: bytes | None
    ) -> tuple[int, bytes]:
        """Return the answer.  :raises Unreachable: also when others find it silent."""
        if not self._running:
            self.heard = self._now()
        asking = Deferred.fromCoroutine(
            self.gateway.exchange(method, place, body, _MOST, None)
        )
        self._running.add(asking)
        try:
            answer = await asking
        except (CancelledError, Unreachable):
            if asking in self._cut:
                raise Unreachable("it is silent", self.gateway.url) from None
            raise
        finally:
            self._running.discard(asking)
            self._cut.discard(asking)
        self.heard = self._now()
        return answer

    async def probe(self) -> int:
        """Return to how many servers it is connected.  :raises Unreachable:"""
        status, body = await self.gateway.exchange("GET", "?t=json", None, _MOST, _PROBE)
        self.heard = self._now()
        if status in (502, 503, 504):
            raise Unreachable("it is too busy, or the proxy in front does not reach it")
        try:
            servers = json.loads(body)["servers"]
            return sum(map(_is_connected, servers))
        except (ValueError, KeyError, TypeError, RecursionError):
            return 0

    @property
    def is_silent(self) -> bool:
        """Whether it has answered nothing of what it was asked for some time."""
        return bool(self._running) and self._now() >= self.heard + _SILENT

    def cut(self) -> None:
        """End what it is asked."""
        self._cut |= self._running
        for asking in list(self._running):
            asking.cancel()

    def _now(self) -> float:
        now: float = self.gateway.reactor.seconds()
        return now


def _is_connected(server: Any) -> bool:
    status = server["connection_status"]
    return isinstance(status, str) and status.lower().startswith("connected")


@define(eq=False)
class SharedGateways:
    """
    Gives each request to the gateway that has the fewest.

    A gateway that does not answer is left out, and what it was asked goes to the others;
    it is tried again for some minutes.  Requests wait while all are away.  ``start`` comes
    first, ``stop`` last.
    """

    _members: Sequence[Member]
    _each: int  # requests in flight at each
    _reactor: Any
    _tell: Callable[[str], None]
    _changes: Changes = field(factory=Changes, init=False)
    _group: Group = field(factory=Group, init=False)

    async def start(self) -> None:
        """Look which gateways are there.  :raises Unreachable: when none is."""
        problems = await together(map(self._look, self._members))
        for member, problem in zip(self._members, problems, strict=True):
            if problem is None:
                continue
            if all(problems):
                raise problem
            self._lose(member, problem)
        self._group.start(self._watch())

    async def stop(self) -> None:
        """End all that is under way."""
        await self._group.stop()

    async def exchange(
        self, method: str, place: str, body: bytes | None, most: int
    ) -> tuple[int, bytes]:
        """Return the answer of a gateway.  :raises Unreachable: when none has one."""
        for attempt in range(1, _ATTEMPTS + 1):
            member = await self._free()
            try:
                return await member.exchange(method, place, body)
            except Unreachable as problem:
                self._lose(member, problem)
                if attempt == _ATTEMPTS:
                    raise
            finally:
                member.active -= 1
                self._changes.wake()
        raise AssertionError("unreachable")

    async def _free(self) -> Member:
        """Return a gateway of which one may ask something more."""
        await self._changes.until(self._candidates)
        member = min(self._candidates(), key=lambda each: each.active)
        member.active += 1
        return member

    def _candidates(self) -> list[Member]:
        return [each for each in self._members if each.is_up and each.active < self._each]

    async def _look(self, member: Member) -> Unreachable | None:
        try:
            member.servers = await member.probe()
        except Unreachable as problem:
            return problem
        return None

    def _lose(self, member: Member, problem: Unreachable) -> None:
        """Leave a gateway out until it answers again."""
        if not member.is_up:
            return
        member.is_up = False
        others = any(each.is_up for each in self._members)
        then = "the others do its part" if others else "trying it again"
        self._tell(f"{self._name(member)} does not answer ({problem.reason}); {then}")
        self._group.start(self._find_again(member, problem))

    def _name(self, member: Member) -> str:
        return f"The gateway at {member.gateway.url}"

    async def _find_again(self, member: Member, problem: Problem) -> None:
        for attempt in range(_TRIES):
            await deferLater(self._reactor, min(_LONGEST_WAIT, 2.0**attempt))
            try:
                servers = await member.probe()
            except Problem as again:
                problem = again
                continue
            if servers >= member.servers or attempt >= _SERVER_TRIES:
                member.is_up = True
                self._tell(f"{self._name(member)} answers again")
                self._changes.wake()
                return
        member.is_given_up = True
        if all(each.is_given_up for each in self._members):
            self._changes.fail(problem)
        else:
            self._tell(f"{self._name(member)} does not come back; it is left out")

    async def _watch(self) -> None:
        """Look whether gateways that say nothing are still there."""
        while True:
            await deferLater(self._reactor, _SILENT / 3)
            silent = [each for each in self._members if each.is_up and each.is_silent]
            await together(map(self._check, silent))

    async def _check(self, member: Member) -> None:
        try:
            await member.probe()
        except Unreachable as problem:
            self._lose(member, problem)
            member.cut()
        except Problem:
            return  # it said something
