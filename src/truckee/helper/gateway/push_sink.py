"""
Ciphertext to a helper, pushed over a line that may break.

Source: ``docs/formats/helper-push.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, evolve, field
from foolscap.api import Referenceable
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import Buffer
from truckee.flow.changes import Changes
from truckee.flow.cpu import Workers
from truckee.grid.placement import happiness
from truckee.helper import wire
from truckee.helper.errors import (
    ContentDiffers,
    HelperBusy,
    HelperFailed,
    HelperLied,
    HelperSilent,
    error_of,
)
from truckee.helper.gateway.connection import HelperConnection, NoHelper
from truckee.helper.gateway.integrity import CiphertextProof
from truckee.helper.gateway.push_session import HelperForgot, Message, PushSession
from truckee.helper.gateway.timeouts import HelperPatience, Watch
from truckee.helper.ownership import SECRET_SIZE
from truckee.helper.protocol import RIHelper, RIPushObserver, RIPushUpload
from truckee.helper.wire import Finished, Opened, Parameters, Pushed, Shares
from truckee.immutable.upload.sinks import (
    ICiphertextSink,
    ICiphertextSinks,
    KeyReused,
    NewFile,
    WrongSize,
)
from truckee.net.foolscap.call_failures import is_lost, reason_of, tub_of
from truckee.net.foolscap.checked_calls import call
from truckee.storage.foolscap_schema import serves

log = Logger()

UploadSecret = Callable[[bytes, bytes], bytes]

_FAREWELL = 15.0  # seconds that it has to take note of the end


def no_secret(helper: bytes, storage_index: bytes) -> bytes:
    """Return what a gateway without a secret of its own shows: it is nobody's."""
    return bytes(SECRET_SIZE)


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
    # Given a helper's tub id and a storage index: what only this gateway can show.
    _secret: UploadSecret = field(default=no_secret, repr=False)
    needs_known_size: bool = field(default=False, init=False)

    async def open(self, file: NewFile) -> HelperSink:
        """
        See ``ICiphertextSinks``.

        :raises NoHelper: when it is not connected.  :raises HelperFull: :raises HelperBusy:
        """
        sink = self._sink(file)
        file.status.route = "helper"
        await sink.begin()
        return sink

    async def forget(self, file: NewFile) -> None:
        """See ``ICiphertextSinks``."""
        sink = self._sink(evolve(file, resumable=False))
        try:
            await sink.begin()
        except Exception as error:
            log.info("The helper was not told to forget: {error}", error=str(error))
        else:
            await sink.abort()

    def _sink(self, file: NewFile) -> HelperSink:
        return HelperSink(
            file,
            self.encoding,
            self._happy,
            self._connection,
            self._cpu,
            self._clock,
            self.patience,
            self._secret,
        )


@serves(RIPushObserver)
@define(eq=False)
class _Observer(Referenceable):
    """Hears of progress, and where a file is that need not be sent."""

    _heard: Callable[[int, int], None]
    _placed: Callable[[Shares], None]

    def remote_progress(self, held: int, stored: int) -> None:
        self._heard(held, stored)

    def remote_placed(self, shares: Shares) -> None:
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
    _secret: UploadSecret = field(repr=False)
    segment_size: int = field(init=False)  # bytes
    session: PushSession = field(factory=PushSession, init=False)
    _proof: CiphertextProof = field(init=False)
    _observer: _Observer = field(init=False)
    _upload: Any = field(default=None, init=False, repr=False)  # of this connection
    _marker: Any = field(default=None, init=False, repr=False)  # of who hears of its loss
    _flying: dict[Message, None] = field(factory=dict, init=False, repr=False)
    _refused: int | None = field(default=None, init=False)  # offset of the first one
    _ueb: bytes = field(default=b"", init=False, repr=False)  # once the file is stored
    _changes: Changes = field(factory=Changes, init=False, repr=False)
    _opening: Deferred[None] | None = field(default=None, init=False)
    _told: tuple[int, bytes] | None = field(default=None, init=False)  # when opened again
    _opened_at: float = field(default=0.0, init=False)  # seconds, the last time
    _watch: Watch = field(init=False, repr=False)
    _heard_of: int = field(default=0, init=False)  # bytes stored, as it last said
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
        self._watch = Watch(
            self._patience,
            self._clock,
            lambda: self._upload is None and not self._ueb,
            lambda: bool(self.session.in_flight or self._changes.waited_for),
            self._changes.fail,
        )

    @property
    def chunk_size(self) -> int:
        """See ``ICiphertextSink``: what the line takes in a moment."""
        return self.session.line.piece

    @property
    def claimed_ueb(self) -> bytes:
        """See ``IHelperSink``."""
        return self._ueb

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
        self._watch.start()

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
        await self._changes.until(lambda: self._ueb or self.session.done)
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
        if self._changes.error is not None:
            raise self._changes.error
        size = self._proof.size + len(piece)
        if size > (self._file.size or self._file.most):
            raise WrongSize(size, self._file.size or 0)
        await self._absorb(piece)
        if self._ueb:
            return  # it is all there
        self.session.feed(piece)
        self._pump()
        await self._changes.until(
            lambda: self._ueb or self.session.waiting <= self.chunk_size
        )

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
        while (
            self._upload is not None
            and self._changes.error is None
            and self._refused is None
        ):
            message = self.session.next(self._clock.seconds())
            if message is None:
                return
            upload = self._upload
            self._flying[message] = None
            pushed = call(upload, RIPushUpload, "push", message.offset, message.data)
            pushed.addCallbacks(
                self._pushed, self._not_pushed, (upload, message), {}, (upload,)
            )

    def _pushed(self, told: tuple[int, bytes], upload: Any, message: Message) -> None:
        if upload is not self._upload:
            return  # of a connection that is given up
        del self._flying[message]
        if self._changes.error is not None:
            return  # what was sent behind a refusal says nothing new
        answer = Pushed.from_wire(told)
        if answer.code in wire.OPEN_AGAIN:
            if self._refused is None or message.offset < self._refused:
                self._refused = message.offset
        elif answer.code:
            self._changes.fail(error_of(answer.code))
            return
        else:
            before = self.session.held
            self.session.acknowledged(message, answer.held, self._clock.seconds())
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
            self._changes.fail(HelperFailed(reason_of(error)))

    def _heard(self, held: int, stored: int) -> None:
        status = self._file.status
        status.held, status.stored = max(status.held, held), max(status.stored, stored)
        # An attempt that failed is made again from the first byte.
        if stored > self._heard_of:
            self._sign()
        self._heard_of = stored

    def _report(self, shares: Shares) -> None:
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
        if not self._over and self._changes.error is None:
            opening = self._opening = Deferred.fromCoroutine(self._open_again())
            opening.addCallbacks(self._opened, self._not_opened)

    def _opened(self, _: object) -> None:
        self._opening = None
        self._changes.wake()
        if self._upload is None and not self._ueb:
            self._reopen()  # it broke again meanwhile
        self._pump()

    def _not_opened(self, failure: Failure) -> None:
        self._opening = None
        self._changes.fail(_error_in(failure))

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
        parameters = Parameters(
            encoding.needed, self._happy, encoding.total, self.segment_size
        )
        index, size = self._file.storage_index, self._file.size
        asked: tuple[Any, ...] = index, parameters.to_wire(), size, self._observer
        method = "open_push"
        if self._connection.owns:
            method, asked = "open_push_v2", (*asked, self._secret(tub_of(remote), index))
        try:
            opened = Opened.from_wire(
                await self._or_part(call(remote, RIHelper, method, *asked))
            )
        except TimeoutError:
            raise HelperSilent(self._patience.silent) from None
        except Exception as error:
            if is_lost(error) or isinstance(error, CancelledError):
                raise
            raise HelperFailed(reason_of(error)) from None
        self._opened_at = self._clock.seconds()
        if opened.state == wire.PRESENT and opened.ueb:
            self._ueb = opened.ueb
            return 0, b""
        upload = opened.upload
        if opened.state != wire.RECEIVE or upload is None or opened.held < 0:
            raise error_of(opened.code)
        self._upload = upload
        self._marker = upload.notifyOnDisconnect(self._lost, upload)
        self._heard_of = 0
        return opened.held, opened.digest

    async def _or_part(self, opening: Deferred[Any]) -> Any:
        """Wait for an upload to be opened; one that nobody waits for any more is left."""
        opened: Deferred[Any] = Deferred()

        def came(answer: Any) -> None:
            if not opened.called:
                opened.callback(answer)
            elif not isinstance(answer, Failure):
                upload = Opened.from_wire(answer).upload
                if upload is not None:
                    forget = not self._file.resumable
                    parting = call(upload, RIPushUpload, "abort", forget)
                    parting.addErrback(lambda _: None)

        opening.addBoth(came)
        opened.addTimeout(self._patience.silent, self._clock)
        return await opened

    async def _finish(self, size: int, root: bytes) -> None:
        """Have the helper store the file; without a UEB after it, it must be told again."""
        await self._changes.until(lambda: self._ueb or (self._upload and self.session.done))
        upload = self._upload
        if upload is None:
            return
        finishing = call(upload, RIPushUpload, "finish", size, root)
        answers: list[Any] = []
        finishing.addBoth(answers.append)
        finishing.addCallback(lambda _: self._changes.wake())
        await self._changes.until(lambda: answers or upload is not self._upload)
        answer = answers[0] if answers else None
        if isinstance(answer, Failure):
            error = _error_in(answer)
            if not is_lost(error):
                raise HelperFailed(reason_of(error))
            self._lost(upload)
        elif answer is not None:
            finished = Finished.from_wire(answer)
            if finished.code in wire.OPEN_AGAIN:
                self._give_up(upload)
            elif finished.code:
                raise error_of(finished.code, finished.detail)
            elif not finished.ueb:
                raise HelperLied
            else:
                self._ueb = finished.ueb
                self._report(finished.shares)

    # The end

    def _sign(self) -> None:
        """The helper showed that it works."""
        self._watch.sign()
        self._changes.wake()

    def _stop(self) -> None:
        self._over = True
        self._watch.stop()


def _error_in(failure: Failure) -> Exception:
    error = failure.value
    return error if isinstance(error, Exception) else HelperFailed(str(error))
