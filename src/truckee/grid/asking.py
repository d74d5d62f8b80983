"""Asking many servers at once, without waiting for the last few for long."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.flow.descriptors import TooManyOpenFiles, ended
from truckee.flow.timer import Timer
from truckee.storage.limited import TooSlow

log = Logger()

S = TypeVar("S", bound=Hashable)
T = TypeVar("T")

# What the last ones have at least, in seconds; else as long as the others took.
GRACE = 0.5


@define(eq=False)
class Round(Generic[S]):
    """
    One question to each of *servers*.

    When *enough* says so of the answers, those who are still silent have as long again.
    Then an allocation is cancelled, and cleans up behind itself; a question that does no
    *harm* may go on, so that a server that is well again is noticed.  Nobody waits for
    those alone who were *silent* the last time.  Without *grace* all others are waited for,
    up to the timeouts of their calls.
    """

    servers: Sequence[S]
    _clock: IReactorTime
    _enough: Callable[[Mapping[S, Any]], bool]
    _silent: set[S] = field(factory=set)
    _harm: bool = False
    _grace: bool = True
    answers: dict[S, Any] = field(factory=dict, init=False)
    failures: list[Exception] = field(factory=list, init=False)  # of those that failed
    _running: dict[S, Deferred[None]] = field(factory=dict, init=False, repr=False)
    _over: bool = field(default=False, init=False)
    _timer: Timer = field(factory=Timer, init=False)
    _waiting: Deferred[None] = field(factory=Deferred, init=False)

    async def ask(
        self, question: Callable[[S], Coroutine[Deferred[Any], Any, T]]
    ) -> dict[S, T]:
        """
        Return the answers that came in time; a server that failed has none.

        Cancelling this cancels all questions and waits for their ends.
        """
        began = self._clock.seconds()
        for server in self.servers:
            running: Deferred[None] = Deferred.fromCoroutine(self._one(server, question))
            self._running[server] = running
        for server, running in list(self._running.items()):
            running.addCallback(self._ended, server, began)
        try:
            if self._running:
                await self._waiting
        except CancelledError:
            await self._end_all()
            raise
        finally:
            self._over = True
            self._timer.cancel()
        for server, running in list(self._running.items()):
            if server not in self._silent:
                log.warn("{server} was not waited for", server=_name(server))
            self._silent.add(server)
            if self._harm:
                running.cancel()
        return self.answers

    async def _one(
        self, server: S, question: Callable[[S], Coroutine[Deferred[Any], Any, object]]
    ) -> None:
        try:
            answer = await question(server)
        except CancelledError:
            return
        except Exception as error:
            self.failures.append(error)
            if isinstance(error, TooSlow):
                self._silent.add(server)
            log.warn(
                "{server} did not answer: {error}", server=_name(server), error=str(error)
            )
        else:
            self._silent.discard(server)
            if not self._over:
                self.answers[server] = answer

    def _ended(self, _: None, server: S, began: float) -> None:
        del self._running[server]
        if self._waiting.called:
            return
        enough = self._enough(self.answers)
        if not self._running or (enough and self._running.keys() <= self._silent):
            self._waiting.callback(None)
        elif not self._timer.running and enough and self._grace:
            grace = max(GRACE, self._clock.seconds() - began)
            self._timer.start(self._clock.callLater, grace, self._be_over)

    def look_again(self) -> None:
        """Somebody else has found a server silent."""
        alone = self._running and self._running.keys() <= self._silent
        if alone and not self._waiting.called and self._enough(self.answers):
            self._waiting.callback(None)

    def _be_over(self) -> None:
        if not self._waiting.called:
            self._waiting.callback(None)

    async def _end_all(self) -> None:
        self._over = True
        for running in list(self._running.values()):
            running.cancel()
        while self._running:
            self._waiting = Deferred()
            try:
                await self._waiting
            except CancelledError:
                continue


def _name(server: object) -> object:
    return getattr(server, "name", server)


def check_descriptors(failures: Iterable[Exception]) -> None:
    """
    Call this when too few servers answered.

    :raises TooManyOpenFiles: when that is the reason, and not the servers.
    """
    if any(map(ended, failures)):
        raise TooManyOpenFiles


def most(servers: Sequence[S], least: int = 0) -> Callable[[Mapping[S, Any]], bool]:
    """
    Return whether two thirds of *servers* have answered.

    Where there are *least* of them, so many must have; where there are not, no waiting
    for the last ones gives as many.
    """
    demanded = least if least <= len(servers) else 0
    return lambda answers: 3 * len(answers) >= 2 * len(servers) and len(answers) >= demanded
