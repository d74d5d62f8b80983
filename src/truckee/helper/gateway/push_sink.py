"""
Ciphertext to a helper, pushed over a line that may break.

Source: ``docs/formats/helper-push.md``.
"""

from __future__ import annotations

from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import Buffer
from truckee.flow.cpu import Workers
from truckee.helper.errors import ContentDiffers, HelperLied
from truckee.helper.gateway.connection import HelperConnection, NoHelper
from truckee.helper.gateway.integrity import CiphertextProof
from truckee.helper.gateway.push_link import PushLink
from truckee.helper.gateway.push_observer import PushObserver
from truckee.helper.gateway.push_opening import PushOpening, UploadSecret, no_secret
from truckee.helper.gateway.push_session import HelperForgot, PushSession
from truckee.helper.gateway.push_state import PushState
from truckee.helper.gateway.timeouts import HelperPatience, Watch
from truckee.helper.protocol import RIPushUpload
from truckee.helper.wire import Parameters
from truckee.immutable.upload.sinks import (
    ICiphertextSink,
    ICiphertextSinks,
    KeyReused,
    NewFile,
    WrongSize,
)
from truckee.net.foolscap.call_failures import is_lost, reason_of
from truckee.net.foolscap.checked_calls import call

log = Logger()

_FAREWELL = 15.0  # seconds that it has to take note of the end


@implementer(ICiphertextSinks)
@define(eq=False)
class HelperSinks:
    """Opens sinks that push to one helper."""

    encoding: Encoding
    happy: int
    connection: HelperConnection
    cpu: Workers
    clock: IReactorTime
    patience: HelperPatience = field(factory=HelperPatience)
    secret: UploadSecret = field(default=no_secret, repr=False)
    needs_known_size: bool = field(default=False, init=False)

    async def open(self, file: NewFile) -> HelperSink:
        """
        See ``ICiphertextSinks``.

        :raises NoHelper: when it is not connected.  :raises HelperFull: :raises HelperBusy:
        """
        sink = HelperSink(self, file)
        file.status.route = "helper"
        await sink.begin()
        return sink

    async def forget(self, file: NewFile) -> None:
        """See ``ICiphertextSinks``."""
        sink = HelperSink(self, evolve(file, resumable=False))
        try:
            await sink.begin()
        except Exception as error:
            log.info(
                "The helper could not be asked to forget it: {error}", error=str(error)
            )
        else:
            await sink.abort()


@implementer(ICiphertextSink)
@define(eq=False)
class HelperSink:
    """One file on its way to a helper."""

    _sinks: HelperSinks
    _file: NewFile
    segment_size: int = field(init=False)  # bytes
    _link: PushLink = field(init=False)
    _proof: CiphertextProof = field(init=False)
    # What the helper said that it holds when it was opened again, not compared yet.
    _told: tuple[int, bytes] | None = field(default=None, init=False)
    _watch: Watch = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        sinks, size, encoding = self._sinks, self._file.size, self._sinks.encoding
        self.segment_size = (
            encoding.streaming_segment_size
            if size is None
            else encoding.geometry(size).segment_size
        )
        observer = PushObserver(self._file.status, encoding.total, self._sign)
        opening = PushOpening(
            self._file,
            Parameters(encoding.needed, sinks.happy, encoding.total, self.segment_size),
            sinks.connection,
            sinks.clock,
            sinks.patience,
            sinks.secret,
            observer,
        )
        self._link = link = PushLink(opening, observer, sinks.clock, self._resumed)
        self._proof = CiphertextProof(self.segment_size)
        self._watch = Watch(
            sinks.patience,
            sinks.clock,
            lambda: link.state is PushState.REOPENING,
            lambda: bool(link.session.in_flight or link.changes.waited_for),
            link.fail,
        )

    @property
    def chunk_size(self) -> int:
        """See ``ICiphertextSink``: what the line takes in a moment."""
        return self.session.line.piece

    @property
    def session(self) -> PushSession:
        """The bytes between the client and the helper's disk."""
        return self._link.session

    @property
    def claimed_ueb(self) -> bytes:
        """See ``IHelperSink``."""
        return self._link.ueb

    async def begin(self) -> None:
        """Tell the helper of the file; if this raises, it was told to forget it."""
        remote = self._sinks.connection.remote
        if remote is None:
            raise NoHelper(0.0)
        try:
            opened = await self._link.open(remote)
        except Exception as error:
            if is_lost(error):
                raise NoHelper(0.0) from None
            raise
        self._proof = CiphertextProof(self.segment_size, opened.held, opened.digest)
        if self._file.size is not None and opened.held > self._file.size:
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
        link, size = self._link, self._proof.size
        if self._file.size not in (None, size):
            raise WrongSize(size, self._file.size or 0)
        await self._absorb(b"")
        if size < self._proof.prefix:
            await self._refuse_prefix()
        root = await self._sinks.cpu.run(self._proof.root)
        await link.changes.until(lambda: link.ueb or link.session.done)
        while not link.ueb:
            await link.finish(size, root)
        needed, total = self._sinks.encoding.needed, self._sinks.encoding.total
        try:
            cap = self._proof.check(link.ueb, root, self._file.storage_index, needed, total)
        except ValueError:
            raise HelperLied from None
        self._stop()
        link.let_go()
        return cap

    async def abort(self) -> None:
        """See ``ICiphertextSink``; what nobody can bring again is forgotten over there."""
        if self._stop():
            await self._part(forget=not self._file.resumable)

    def _stop(self) -> bool:
        """Watch and push no more; return whether this is new."""
        self._watch.stop()
        return self._link.stop()

    async def _part(self, forget: bool) -> None:
        """Take leave of the helper."""
        upload = self._link.let_go()
        if upload is None:
            return
        parting = Deferred.fromCoroutine(self._abort(upload, forget))
        seconds = min(_FAREWELL, self._sinks.patience.silent)
        parting.addTimeout(seconds, self._sinks.clock)
        try:
            await parting
        except Exception as error:
            log.info("The helper was not told: {error}", error=reason_of(error))

    async def _abort(self, upload: Any, forget: bool) -> None:
        if not forget:
            # What is on its way need not be sent again.
            await self._link.landed()
        await call(upload, RIPushUpload, "abort", forget)

    async def _take(self, piece: Buffer) -> None:
        """Take some bytes; wait while too many have not left yet."""
        link = self._link
        if link.changes.error is not None:
            raise link.changes.error
        size = self._proof.size + len(piece)
        if size > (self._file.size or self._file.most):
            raise WrongSize(size, self._file.size or 0)
        await self._absorb(piece)
        if link.ueb:
            return  # it is all there
        link.session.feed(piece)
        link.pump()
        await link.changes.until(
            lambda: link.ueb or link.session.waiting <= self.chunk_size
        )

    async def _absorb(self, piece: Buffer) -> None:
        """Compare with what the helper says that it holds."""
        told, self._told = self._told, None
        try:
            if told is not None:
                self._proof.expect(*told)
            if piece:
                await self._sinks.cpu.run(self._proof.absorb, piece)
        except ValueError:
            await self._refuse_prefix()

    async def _refuse_prefix(self) -> None:
        """The helper holds the start of another file under this storage index."""
        self._stop()
        await self._part(forget=not self._file.guarded)
        raise KeyReused if self._file.guarded else ContentDiffers

    def _resumed(self, held: int, digest: bytes) -> None:
        """
        Note what the helper holds of a file that is opened again.

        :raises HelperForgot: when none of it was compared with what it held before.
        """
        if held < self.session.fed < self._proof.prefix:
            raise HelperForgot(held, self.session.fed)
        self._told = held, digest

    def _sign(self) -> None:
        """The helper showed that it works."""
        self._watch.sign()
        self._link.changes.wake()
