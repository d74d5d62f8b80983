"""
Ciphertext to a helper, pushed over a line that may break.

Source: ``docs/formats/helper-push.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen
from foolscap.api import Referenceable
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import Buffer
from truckee.errors import Corrupt, Unavailable
from truckee.flow.cpu import Workers
from truckee.grid.placement import happiness
from truckee.grid.selection import NotEnoughServers
from truckee.helper import schema
from truckee.helper.calls import is_lost, reason_of
from truckee.helper.checked import call
from truckee.helper.ciphertext_file import HelperFull
from truckee.helper.connection import HelperConnection, NoHelper
from truckee.helper.proof import CiphertextProof
from truckee.helper.schema import RIHelper, RIPushObserver, RIPushUpload
from truckee.helper.session import HelperForgot, Message, PushSession
from truckee.helper.upload import ContentDiffers
from truckee.helper.uploads import HelperBusy, HelperRefuses
from truckee.immutable.sinks import (
    ICiphertextSink,
    ICiphertextSinks,
    KeyReused,
    NewFile,
    WrongSize,
)
from truckee.storage.foolscap_schema import serves
from truckee.storage.interfaces import NoSpace

log = Logger()

_LONGEST = 500  # characters of what it says of an error
_FAREWELL = 15.0  # seconds that it has to take note of the end


@define
class HelperFailed(Unavailable):
    """
    The helper could not store the file: {reason}. Try again, or upload with helper=no.
    """

    reason: str


@define
class HelperSilent(Unavailable):
    """
    The helper said nothing of this file for {seconds:.0f} seconds. Try again, or upload
    with helper=no.
    """

    seconds: float


@define
class HelperLied(Corrupt):
    """
    The helper stored something else than this file, so there is no cap. Use another
    helper, or upload with helper=no.
    """


@frozen
class HelperPatience:
    """Seconds that a gateway waits for its helper."""

    absent: float = 600.0  # without a connection, or with such as bring nothing
    silent: float = 300.0  # without any sign of progress while it is connected
    again: float = 1.0  # after it was asked for an upload, before it is asked again


def error_of(code: bytes, detail: bytes = b"") -> Exception:
    """Return the error that a helper's *code* means."""
    text = detail.decode("utf-8", "replace")
    simple: dict[bytes, type[Exception]] = {
        schema.FULL: HelperFull,
        schema.BUSY: HelperBusy,
        schema.TOO_LARGE: HelperRefuses,
        schema.DIFFERS: ContentDiffers,
    }
    if code in simple:
        return simple[code]()
    if code == schema.NO_SPACE:
        return NoSpace(_harmless(text))
    numbers = text.split()
    if code == schema.NO_SERVERS and len(numbers) == 2 and all(map(_is_number, numbers)):
        return NotEnoughServers(int(numbers[0][:9]), int(numbers[1][:9]))
    return HelperFailed(_harmless(text or code.decode("ascii", "replace")))


@implementer(ICiphertextSinks)
@define(eq=False)
class HelperSinks:
    """Opens sinks that push to one helper."""

    encoding: Encoding
    _happy: int
    _connection: HelperConnection
    _cpu: Workers
    _clock: IReactorTime
    patience: HelperPatience = field(factory=HelperPatience)
    needs_known_size: bool = field(default=False, init=False)

    async def open(self, file: NewFile) -> HelperSink:
        """
        See ``ICiphertextSinks``.

        :raises NoHelper: when it is not connected.  :raises HelperFull: :raises HelperBusy:
        """
        sink = HelperSink(
            file,
            self.encoding,
            self._happy,
            self._connection,
            self._cpu,
            self._clock,
            self.patience,
        )
        file.status.route = "helper"
        await sink.begin()
        return sink


@serves(RIPushObserver)
@define(eq=False)
class _Observer(Referenceable):
    """Hears of progress, and where a file is that need not be sent."""

    _heard: Callable[[int, int], None]
    _placed: Callable[[dict[int, list[bytes]]], None]

    def remote_progress(self, held: int, stored: int) -> None:
        self._heard(held, stored)

    def remote_placed(self, shares: dict[int, list[bytes]]) -> None:
        self._placed(shares)


@implementer(ICiphertextSink)
@define(eq=False)
class HelperSink:
    """One file on its way to a helper."""

    _file: NewFile
    _encoding: Encoding
    _happy: int
    _connection: HelperConnection
    _cpu: Workers
    _clock: IReactorTime
    _patience: HelperPatience
    segment_size: int = field(init=False)  # bytes
    session: PushSession = field(factory=PushSession, init=False)
    _proof: CiphertextProof = field(init=False)
    _observer: _Observer = field(init=False)
    _upload: Any = field(default=None, init=False, repr=False)  # of this connection
    _marker: Any = field(default=None, init=False, repr=False)  # of who hears of its loss
    _flying: dict[Message, None] = field(factory=dict, init=False, repr=False)
    _refused: int | None = field(default=None, init=False)  # offset of the first one
    _ueb: bytes = field(default=b"", init=False, repr=False)  # once the file is stored
    _error: Exception | None = field(default=None, init=False)
    _opening: Deferred[None] | None = field(default=None, init=False)
    _told: tuple[int, bytes] | None = field(default=None, init=False)  # when opened again
    _opened_at: float = field(default=0.0, init=False)  # seconds, the last time
    _waiting: list[Deferred[None]] = field(factory=list, init=False, repr=False)
    # Seconds since the helper showed that it works, with and without a connection.
    _silent: float = field(default=0.0, init=False)
    _absent: float = field(default=0.0, init=False)
    _heard_of: int = field(default=0, init=False)  # bytes stored, as it last said
    _looked_at: float = field(init=False)  # seconds
    _look: IDelayedCall | None = field(default=None, init=False)
    _over: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        size = self._file.size
        self.segment_size = (
            self._encoding.streaming_segment_size
            if size is None
            else self._encoding.geometry(size).segment_size
        )
        self._observer = _Observer(self._heard, self._report)
        self._proof = CiphertextProof(self.segment_size)
        self._looked_at = self._clock.seconds()

    @property
    def chunk_size(self) -> int:
        """See ``ICiphertextSink``: what the line takes in a moment."""
        return self.session.line.piece

    async def begin(self) -> None:
        """Tell the helper of the file; if this raises, it was told to forget it."""
        remote = self._connection.remote
        if remote is None:
            raise NoHelper(0.0)
        try:
            held, digest = await self._open(remote)
        except Exception as error:
            if is_lost(error):
                raise NoHelper(0.0) from None
            raise
        self.session = PushSession(held)
        self._proof = CiphertextProof(self.segment_size, held, digest)
        if self._file.size is not None and held > self._file.size:
            await self._refuse_prefix()
        self._looked_at = self._clock.seconds()
        self._watch()

    async def write(self, chunk: Buffer) -> None:
        """See ``ICiphertextSink``."""
        view = memoryview(chunk)
        while view:
            await self._take(view[: self.segment_size])
            view = view[self.segment_size :]

    async def close(self) -> ChkVerifyCap:
        """See ``ICiphertextSink``."""
        size = self._proof.size
        if self._file.size not in (None, size):
            raise WrongSize(size, self._file.size or 0)
        await self._absorb(b"")
        if size < self._proof.prefix:
            await self._refuse_prefix()
        root = await self._cpu.run(self._proof.root)
        await self._until(lambda: self._ueb or self.session.done)
        while not self._ueb:
            await self._finish(size, root)
        needed, total = self._encoding.needed, self._encoding.total
        try:
            cap = self._proof.check(
                self._ueb, root, self._file.storage_index, needed, total
            )
        except ValueError:
            raise HelperLied from None
        self._stop()
        self._let_go()
        return cap

    async def abort(self) -> None:
        """See ``ICiphertextSink``; what nobody can bring again is forgotten over there."""
        over = self._over
        self._stop()
        if self._opening is not None:
            self._opening.cancel()
        if not over:
            await self._part(forget=not self._file.resumable)

    def _let_go(self) -> Any:
        """Return the upload, which is not ours any more."""
        upload, self._upload = self._upload, None
        self._flying.clear()
        self._refused = None
        if upload is not None:
            upload.dontNotifyOnDisconnect(self._marker)
        return upload

    async def _part(self, forget: bool) -> None:
        """Take leave of the helper."""
        upload = self._let_go()
        if upload is None:
            return
        parting = call(upload, RIPushUpload, "abort", forget)
        parting.addTimeout(min(_FAREWELL, self._patience.silent), self._clock)
        try:
            await parting
        except Exception as error:
            log.info("The helper was not told: {error}", error=reason_of(error))

    async def _take(self, piece: Buffer) -> None:
        """Take some bytes; wait while too many have not left yet."""
        if self._error is not None:
            raise self._error
        size = self._proof.size + len(piece)
        if size > (self._file.size or self._file.most):
            raise WrongSize(size, self._file.size or 0)
        await self._absorb(piece)
        if self._ueb:
            return  # it is all there
        self.session.feed(piece)
        self._pump()
        await self._until(lambda: self._ueb or self.session.waiting <= self.chunk_size)

    async def _absorb(self, piece: Buffer) -> None:
        """Compare with what the helper says that it holds."""
        told, self._told = self._told, None
        try:
            if told is not None:
                self._proof.expect(*told)
            if piece:
                await self._cpu.run(self._proof.absorb, piece)
        except ValueError:
            await self._refuse_prefix()

    async def _refuse_prefix(self) -> None:
        """The helper holds the start of another file under this storage index."""
        await self._part(forget=not self._file.guarded)
        raise KeyReused if self._file.guarded else ContentDiffers

    # Pushing

    def _pump(self) -> None:
        """Send what may be sent now."""
        while self._upload is not None and self._error is None and self._refused is None:
            message = self.session.next(self._clock.seconds())
            if message is None:
                return
            upload = self._upload
            self._flying[message] = None
            pushed = call(upload, RIPushUpload, "push", message.offset, message.data)
            pushed.addCallbacks(
                self._pushed, self._not_pushed, (upload, message), {}, (upload,)
            )

    def _pushed(self, answer: tuple[int, bytes], upload: Any, message: Message) -> None:
        if upload is not self._upload:
            return  # of a connection that is given up
        del self._flying[message]
        held, code = answer
        if code in (schema.GAP, schema.CLOSED):
            if self._refused is None or message.offset < self._refused:
                self._refused = message.offset
        elif code:
            self._fail(error_of(code))
            return
        else:
            before = self.session.held
            self.session.acknowledged(message, held, self._clock.seconds())
            self._file.status.held = max(self._file.status.held, self.session.held)
            if self.session.held > before:
                self._sign()
        first = next(iter(self._flying), None)
        if self._refused is None:
            self._pump()
        elif first is None or first.offset > self._refused:
            # None that was sent before it can tell why any more.
            self._give_up(upload)

    def _not_pushed(self, failure: Failure, upload: Any) -> None:
        if upload is not self._upload:
            return
        error = _error_in(failure)
        if is_lost(error):
            self._lost(upload)
        else:
            self._fail(HelperFailed(reason_of(error)))

    def _heard(self, held: int, stored: int) -> None:
        status = self._file.status
        status.held, status.stored = max(status.held, held), max(status.stored, stored)
        # An attempt that failed is made again from the first byte.
        if stored > self._heard_of:
            self._sign()
        self._heard_of = stored

    def _report(self, shares: dict[int, list[bytes]]) -> None:
        """Take note of where the helper says that the shares are."""
        status, total = self._file.status, self._encoding.total
        status.shares = {
            number: [name.decode("utf-8", "replace") for name in names]
            for number, names in sorted(shares.items())
            if 0 <= number < total
        }
        holders = {number: set(on) for number, on in status.shares.items()}
        status.happiness = happiness(holders)

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
        self._let_go()
        self.session.lost()
        if self._opening is None:
            held = self.session.held
            log.info("The line to the helper broke after {held} bytes", held=held)
            self._reopen()

    def _reopen(self) -> None:
        if not self._over and self._error is None:
            opening = self._opening = Deferred.fromCoroutine(self._open_again())
            opening.addCallbacks(self._opened, self._not_opened)

    def _opened(self, _: object) -> None:
        self._opening = None
        self._wake()
        if self._upload is None and not self._ueb:
            self._reopen()  # it broke again meanwhile
        self._pump()

    def _not_opened(self, failure: Failure) -> None:
        self._opening = None
        self._fail(_error_in(failure))

    async def _open_again(self) -> None:
        """Find out what the helper holds, as soon as it can be asked."""
        while True:
            # One that lets itself be opened and nothing else is not asked all the time.
            soon = self._opened_at + self._patience.again - self._clock.seconds()
            if soon > 0:
                await deferLater(self._clock, soon)
            # It is the watch that ends this.
            remote = await self._connection.get(2 * self._patience.absent)
            try:
                held, digest = await self._open(remote)
            except Exception as error:
                if is_lost(error) or isinstance(error, HelperBusy):
                    self._opened_at = self._clock.seconds()
                    continue
                raise
            if not self._ueb:
                if held < self.session.fed < self._proof.prefix:
                    # None of this was compared with what the helper held before.
                    raise HelperForgot(held, self.session.fed)
                self._told = held, digest
                self.session.resume(held)
            return

    async def _open(self, remote: Any) -> tuple[int, bytes]:
        """Return how many bytes the helper holds, and their digest."""
        encoding = self._encoding
        parameters = (encoding.needed, self._happy, encoding.total, self.segment_size)
        index, size = self._file.storage_index, self._file.size
        asked = index, parameters, size, self._observer
        try:
            answer = await self._or_part(call(remote, RIHelper, "open_push", *asked))
        except TimeoutError:
            raise HelperSilent(self._patience.silent) from None
        except Exception as error:
            if is_lost(error) or isinstance(error, CancelledError):
                raise
            raise HelperFailed(reason_of(error)) from None
        state, code, held, digest, upload, ueb = answer
        self._opened_at = self._clock.seconds()
        if state == schema.PRESENT and ueb:
            self._ueb = ueb
            return 0, b""
        if state != schema.RECEIVE or upload is None or held < 0:
            raise error_of(code)
        self._upload = upload
        self._marker = upload.notifyOnDisconnect(self._lost, upload)
        self._heard_of = 0
        return held, digest

    async def _or_part(self, opening: Deferred[Any]) -> Any:
        """Wait for an upload to be opened; one that nobody waits for any more is left."""
        opened: Deferred[Any] = Deferred()

        def came(answer: Any) -> None:
            if not opened.called:
                opened.callback(answer)
            elif not isinstance(answer, Failure) and answer[4] is not None:
                forget = not self._file.resumable
                parting = call(answer[4], RIPushUpload, "abort", forget)
                parting.addErrback(lambda _: None)

        opening.addBoth(came)
        opened.addTimeout(self._patience.silent, self._clock)
        return await opened

    async def _finish(self, size: int, root: bytes) -> None:
        """Have the helper store the file; without a UEB after it, it must be told again."""
        await self._until(lambda: self._ueb or (self._upload and self.session.done))
        upload = self._upload
        if upload is None:
            return
        finishing = call(upload, RIPushUpload, "finish", size, root)
        answers: list[Any] = []
        finishing.addBoth(answers.append)
        finishing.addCallback(lambda _: self._wake())
        await self._until(lambda: answers or upload is not self._upload)
        answer = answers[0] if answers else None
        if isinstance(answer, Failure):
            error = _error_in(answer)
            if not is_lost(error):
                raise HelperFailed(reason_of(error))
            self._lost(upload)
        elif answer is not None:
            code, detail, ueb, shares = answer
            if code in (schema.GAP, schema.CLOSED):
                self._give_up(upload)
            elif code:
                raise error_of(code, detail)
            elif not ueb:
                raise HelperLied
            else:
                self._ueb = ueb
                self._report(shares)

    # Waiting

    def _sign(self) -> None:
        """The helper showed that it works."""
        self._silent = self._absent = 0.0
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            if not change.called:
                change.callback(None)

    async def _until(self, condition: Callable[[], object]) -> None:
        """Wait until *condition* holds.  :raises Exception: when the upload failed."""
        while not condition():
            if self._error is not None:
                raise self._error
            change: Deferred[None] = Deferred()
            self._waiting.append(change)
            await change

    def _watch(self) -> None:
        """Give a helper up that is not there, or is there and does nothing."""
        patience, now = self._patience, self._clock.seconds()
        self._look = self._clock.callLater(patience.silent / 10, self._watch)
        passed, self._looked_at = now - self._looked_at, now
        if self._upload is None and not self._ueb:
            self._absent += passed
        elif self.session.in_flight or self._waiting:
            # It need not say anything while the client is slow.
            self._silent += passed
        if self._absent > patience.absent:
            self._fail(NoHelper(patience.absent))
        elif self._silent > patience.silent:
            self._fail(HelperSilent(patience.silent))

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._wake()

    def _stop(self) -> None:
        self._over = True
        look, self._look = self._look, None
        if look is not None and look.active():
            look.cancel()


def _error_in(failure: Failure) -> Exception:
    error = failure.value
    return error if isinstance(error, Exception) else HelperFailed(str(error))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _harmless(text: str) -> str:
    return ascii(text)[1:-1][:_LONGEST]
