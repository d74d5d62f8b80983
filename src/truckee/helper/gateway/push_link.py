"""
One upload at a helper, over one connection after another.

Source: ``docs/formats/helper-push.md``, "Pushing".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.flow.changes import Changes
from truckee.helper import wire
from truckee.helper.errors import HelperFailed, HelperLied, error_of
from truckee.helper.gateway.push_observer import PushObserver
from truckee.helper.gateway.push_opening import PushOpening
from truckee.helper.gateway.push_session import Message, PushSession
from truckee.helper.gateway.push_state import PushEvent, PushState, after
from truckee.helper.gateway.push_way import PushWay
from truckee.helper.protocol import RIPushUpload
from truckee.helper.wire import Finished, Opened, Pushed
from truckee.net.foolscap.call_failures import is_lost, reason_of
from truckee.net.foolscap.checked_calls import call

log = Logger()


@define(eq=False)
class PushLink:
    """
    Sends what ``session`` is fed, and goes on after a cut.

    ``open`` it, ``pump`` whenever the session was fed, ``finish``, and ``stop`` it in the
    end.  Whoever waits for more waits for ``changes``.
    """

    _opening: PushOpening
    _observer: PushObserver
    _clock: IReactorTime
    # What the helper says that it holds when it is opened again: bytes, and their digest.
    _resumed: Callable[[int, bytes], None]
    state: PushState = field(default=PushState.NEW, init=False)
    session: PushSession = field(factory=PushSession, init=False)
    ueb: bytes = field(default=b"", init=False, repr=False)  # once the file is stored
    changes: Changes = field(factory=Changes, init=False, repr=False)
    _upload: Any = field(default=None, init=False, repr=False)  # of this connection
    _way: PushWay | None = field(default=None, init=False, repr=False)  # to it
    _marker: Any = field(default=None, init=False, repr=False)  # of who hears of its loss
    _flying: dict[Message, None] = field(factory=dict, init=False, repr=False)
    _refused_at: int = field(default=0, init=False)  # offset of the first one, if any
    _reopening: Deferred[None] | None = field(default=None, init=False)

    async def open(self, remote: Any) -> Opened:
        """Tell the helper of the file; see ``PushOpening.open``."""
        opened = await self._opening.open(remote)
        self._take(opened)
        self.session = PushSession(opened.held)
        return opened

    def _take(self, opened: Opened) -> None:
        if opened.state == wire.PRESENT:
            self.ueb = opened.ueb
            self._go(PushEvent.STORED)
            return
        self._upload = upload = opened.upload
        self._way = self._opening.way(upload)
        self._marker = upload.notifyOnDisconnect(self._lost, upload)
        self._observer.opened()
        self._go(PushEvent.OPENED)

    def _go(self, event: PushEvent) -> None:
        self.state = after(self.state, event)

    # Pushing

    def pump(self) -> None:
        """Send what may be sent now."""
        while self.state is PushState.PUSHING:
            way, upload = self._way, self._upload
            if way is None or not way.choose(bool(self._flying)):
                return
            message = self.session.next(self._clock.seconds())
            if message is None:
                return
            self._flying[message] = None
            pushed = Deferred.fromCoroutine(way.push(message))
            pushed.addCallbacks(
                self._pushed, self._not_pushed, (upload, message), {}, (upload,)
            )

    def _pushed(self, answer: Pushed, upload: Any, message: Message) -> None:
        if upload is not self._upload:
            return  # of a connection that is given up
        del self._flying[message]
        if self.state not in (PushState.PUSHING, PushState.REWINDING):
            return  # what was sent behind a refusal says nothing new
        if answer.code in wire.OPEN_AGAIN:
            if self.state is PushState.PUSHING or message.offset < self._refused_at:
                self._refused_at = message.offset
            self._go(PushEvent.REFUSED)
        elif answer.code:
            self.fail(error_of(answer.code))
            return
        else:
            before = self.session.held
            self.session.acknowledged(message, answer.held, self._clock.seconds())
            self._observer.acknowledged(self.session.held)
            if self._way is not None:
                self._way.carried(self.session.line)
            if self.session.held > before:
                self._observer.sign()
        first = next(iter(self._flying), None)
        if self.state is not PushState.REWINDING:
            self.pump()
        elif first is None or first.offset > self._refused_at:
            # None that was sent before it can tell why any more.
            self._give_up(upload)

    def _not_pushed(self, failure: Failure, upload: Any) -> None:
        if upload is not self._upload:
            return
        error = error_in(failure)
        if is_lost(error):
            self._lost(upload)
        else:
            self.fail(HelperFailed(reason_of(error)))

    # Connections

    def _give_up(self, upload: Any) -> None:
        """Begin again at the helper, which does not know what we know."""
        if upload is self._upload:
            parting = call(upload, RIPushUpload, "abort", False)
            parting.addErrback(lambda _: None)
            self._lost(upload)

    def _lost(self, upload: Any) -> None:
        """Go on over the next connection."""
        if upload is not self._upload:
            return
        self.let_go()
        self.session.lost()
        self._go(PushEvent.LOST)
        if self.state is PushState.REOPENING:
            held = self.session.held
            log.info("The line to the helper broke after {held} bytes", held=held)
            self._reopening = Deferred.fromCoroutine(self._open_again())
            self._reopening.addErrback(self._not_opened)

    async def _open_again(self) -> None:
        """Find out what the helper holds, as soon as it can be asked."""
        opened = await self._opening.again()
        self._reopening = None  # what follows is done at once, and cannot be cancelled
        self._take(opened)
        if not self.ueb:
            self._resumed(opened.held, opened.digest)
            self.session.resume(opened.held)
        self.changes.wake()
        self.pump()

    def _not_opened(self, failure: Failure) -> None:
        self.fail(error_in(failure))

    def let_go(self) -> Any:
        """Return the upload, which is not ours any more; None: there is none."""
        upload, self._upload = self._upload, None
        self._flying.clear()
        if upload is not None:
            upload.dontNotifyOnDisconnect(self._marker)
        return upload

    # The end

    async def finish(self, size: int, root: bytes) -> None:
        """
        Have the helper store the file of *size* bytes, whose hash tree has this *root*.

        Without a UEB after it, it must be told again.
        """
        await self.changes.until(lambda: self.ueb or (self._upload and self.session.done))
        upload = self._upload
        if upload is None:
            return
        finishing = call(upload, RIPushUpload, "finish", size, root)
        answers: list[Any] = []
        finishing.addBoth(answers.append)
        finishing.addCallback(lambda _: self.changes.wake())
        await self.changes.until(lambda: answers or upload is not self._upload)
        answer = answers[0] if answers else None
        if isinstance(answer, Failure):
            error = error_in(answer)
            if not is_lost(error):
                raise HelperFailed(reason_of(error))
            self._lost(upload)
        elif answer is not None:
            self._finished(Finished.from_wire(answer), upload)

    def _finished(self, finished: Finished, upload: Any) -> None:
        if finished.code in wire.OPEN_AGAIN:
            self._give_up(upload)
        elif finished.code:
            raise error_of(finished.code, finished.detail)
        elif not finished.ueb:
            raise HelperLied
        else:
            self.ueb = finished.ueb
            self._go(PushEvent.STORED)
            self._observer.report(finished.shares)

    async def landed(self) -> None:
        """Return when no byte is on its way that a call now would overtake."""
        if self._way is not None:
            await self._way.landed()

    def fail(self, error: Exception) -> None:
        """Send no more, and tell whoever waits why; the first reason counts."""
        self._go(PushEvent.FAILED)
        self.changes.fail(error)

    def stop(self) -> bool:
        """Open and send nothing more; return whether this is new."""
        was, self.state = self.state, after(self.state, PushEvent.STOPPED)
        if self._reopening is not None:
            self._reopening.cancel()
        return was is not PushState.OVER


def error_in(failure: Failure) -> Exception:
    """Return the error of a failed call, which may be anything."""
    error = failure.value
    return error if isinstance(error, Exception) else HelperFailed(str(error))
