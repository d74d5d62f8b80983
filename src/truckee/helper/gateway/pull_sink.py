"""
Ciphertext to a stock helper, which pulls it.

Source: ``docs/formats/helper-stock.md``.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import Buffer
from truckee.codec.segments import Segmenter
from truckee.flow.changes import Changes
from truckee.flow.cpu import Workers
from truckee.flow.timer import Timer
from truckee.grid.placement import happiness
from truckee.helper.errors import HelperFailed, HelperLied, HelperSilent
from truckee.helper.gateway.connection import HelperConnection, NoHelper
from truckee.helper.gateway.integrity import CiphertextProof
from truckee.helper.gateway.pull_reader import PulledFile
from truckee.helper.gateway.pull_results import check_results, found_in, holders_in, ueb_in
from truckee.helper.gateway.pull_window import PullWindow
from truckee.helper.gateway.timeouts import HelperPatience
from truckee.helper.protocol import RIHelper
from truckee.helper.wire import Parameters, PullOpened
from truckee.immutable.upload.sinks import (
    ICiphertextSink,
    ICiphertextSinks,
    NewFile,
    WrongSize,
)
from truckee.net.foolscap.call_failures import is_lost, reason_of
from truckee.net.foolscap.checked_calls import call

log = Logger()

_AGAIN = 1.0  # seconds until a helper that is just gone is asked again
# Bytes that a helper codes and stores in a second, at the least.  Stock helpers code some
# 18 MB, but the line from them to the servers may be thin.
SLOWEST = 100_000
# How long a helper that is told of the end is waited for.
CLEANUP = 5.0  # seconds


@implementer(ICiphertextSinks)
@define(eq=False)
class StockHelperSinks:
    """Opens sinks from which one stock helper pulls."""

    encoding: Encoding
    happy: int
    connection: HelperConnection
    cpu: Workers
    clock: IReactorTime
    patience: HelperPatience = field(factory=HelperPatience)
    needs_known_size: bool = field(default=True, init=False)

    async def open(self, file: NewFile) -> StockHelperSink:
        """
        See ``ICiphertextSinks``.

        :raises NoHelper: when it is not connected.  :raises HelperFailed: :raises
        HelperSilent:
        """
        sink = StockHelperSink(self, file)
        file.status.route = "helper"
        await sink.begin()
        return sink

    async def forget(self, file: NewFile) -> None:
        """See ``ICiphertextSinks``: a stock helper cannot be told."""


@implementer(ICiphertextSink)
@define(eq=False)
class StockHelperSink:
    """One file on its way to a stock helper."""

    _sinks: StockHelperSinks
    _file: NewFile
    size: int = field(init=False)  # bytes
    chunk_size: int = field(init=False)
    window: PullWindow = field(init=False)
    _segmenter: Segmenter = field(init=False)
    _proof: CiphertextProof = field(init=False)
    _reader: PulledFile | None = field(default=None, init=False)  # of this connection
    _results: list[Any] = field(factory=list, init=False, repr=False)  # one, in the end
    _working: Deferred[None] | None = field(default=None, init=False)
    _changes: Changes = field(factory=Changes, init=False, repr=False)
    _last_sign: float = field(init=False)  # when the helper showed that it works
    _look: Timer = field(factory=Timer, init=False)
    _over: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        if self._file.size is None:
            raise ValueError("a stock helper must know the size")
        self.size = self._file.size
        self.chunk_size = self._sinks.encoding.geometry(self.size).segment_size
        self.window = PullWindow(self.size)
        self._segmenter = Segmenter(self.chunk_size)
        self._proof = CiphertextProof(self.chunk_size)
        self._last_sign = self._sinks.clock.seconds()

    @property
    def claimed_ueb(self) -> bytes:
        """See ``IHelperSink``; results that make no UEB are found out in the end."""
        return ueb_in(self._results[0]) if self._results else b""

    async def begin(self) -> None:
        """Tell the helper of the file."""
        remote = self._sinks.connection.remote
        if remote is None:
            raise NoHelper(0.0)
        upload = await self._open(remote)
        if upload is None and not self._results:
            raise NoHelper(0.0)
        self._watch()
        if upload is not None:
            self._working = Deferred.fromCoroutine(self._bring(upload))
            self._working.addErrback(self._failed)

    async def write(self, chunk: Buffer) -> None:
        """See ``ICiphertextSink``."""
        for segment in self._segmenter.feed(chunk):
            await self._take(segment)

    async def close(self) -> ChkVerifyCap:
        """See ``ICiphertextSink``."""
        rest = self._segmenter.finish()
        if rest:
            await self._take(rest)
        if self._proof.size != self.size:
            raise WrongSize(self._proof.size, self.size)
        root = await self._sinks.cpu.run(self._proof.root)
        await self._changes.until(lambda: self._results)
        results = self._results[0]
        needed, total = self._sinks.encoding.needed, self._sinks.encoding.total
        try:
            cap = check_results(
                results, self._proof, root, self._file.storage_index, needed, total
            )
        except ValueError as error:
            log.warn("The helper's results are not of this file: {error}", error=error)
            raise HelperLied from None
        self._report(results)
        self._stop()
        return cap

    async def abort(self) -> None:
        """See ``ICiphertextSink``; what a stock helper holds stays there."""
        self._stop()
        working = self._working
        if working is None or working.called:
            return
        if self._reader is not None:
            # It lets go of the file, unless it has all of it and stores it.
            self._reader.stop()
            ended: Deferred[None] = Deferred()
            working.addBoth(lambda _: _fire(ended))
            ended.addTimeout(CLEANUP, self._sinks.clock)
            try:
                await ended
            except TimeoutError:
                log.info("The helper did not say that it let go of a file")
            finally:
                working.cancel()
        working.cancel()

    async def _take(self, segment: Buffer) -> None:
        """Take one segment; wait while another one has not left yet."""
        if self._changes.error is not None:
            raise self._changes.error
        if self._proof.size + len(segment) > self.size:
            raise WrongSize(self._proof.size + len(segment), self.size)
        await self._sinks.cpu.run(self._proof.absorb, segment)
        if self._results:
            return  # it is all there
        self.window.feed(segment)
        if self._reader is not None:
            self._reader.answer()
        await self._changes.until(
            lambda: self._results or self.window.waiting <= self.chunk_size
        )

    # The helper

    async def _bring(self, upload: Any) -> None:
        """Let the helper pull, over as many connections as it takes."""
        sinks, encoding = self._sinks, self._sinks.encoding
        parameters = Parameters(
            encoding.needed, sinks.happy, encoding.total, self.chunk_size
        )
        most = -1  # bytes that were sent on any connection
        moved = sinks.clock.seconds()  # when that grew
        failed = False  # since then
        while upload is not None and not self._over:
            self._reader = PulledFile(
                self.window,
                parameters,
                self._sign,
                self._changes.fail,
            )
            self._sign()
            try:
                self._got(await upload.callRemote("upload", self._reader))
                return
            except Exception as error:
                if self._over:
                    return
                reason = reason_of(error)
                held = self.window.arrived
                if self.window.sent > most:
                    most, moved, failed = self.window.sent, sinks.clock.seconds(), False
                if is_lost(error):
                    log.info("The line to the helper broke after {held} bytes", held=held)
                    if sinks.clock.seconds() - moved > sinks.patience.absent:
                        raise NoHelper(sinks.patience.absent) from None
                elif failed:
                    raise HelperFailed(reason) from None
                else:
                    # It may have placed all shares in spite of what it says.
                    failed = True
                    log.warn("The helper failed and is asked again: {why}", why=reason)
            finally:
                reader, self._reader = self._reader, None
                if reader is not None:
                    reader.stop()
            upload = await self._open_again()

    async def _open_again(self) -> Any:
        """Ask again as soon as there is somebody to ask."""
        sinks = self._sinks
        deadline = sinks.clock.seconds() + sinks.patience.absent
        while True:
            remote = await sinks.connection.get(deadline - sinks.clock.seconds())
            upload = await self._open(remote)
            if upload is not None or self._results:
                return upload
            if sinks.clock.seconds() > deadline:
                raise NoHelper(sinks.patience.absent)
            await deferLater(sinks.clock, _AGAIN)

    async def _open(self, remote: Any) -> Any:
        """Return a way to bring the file; None: it is there, or the connection is gone."""
        index, silent = self._file.storage_index, self._sinks.patience.silent
        asking: Deferred[Any] = call(remote, RIHelper, "upload_chk", index)
        asking.addTimeout(silent, self._sinks.clock)
        try:
            opened = PullOpened.from_wire(await asking)
        except TimeoutError:
            raise HelperSilent(silent) from None
        except Exception as error:
            if is_lost(error):
                return None
            raise HelperFailed(reason_of(error)) from None
        if opened.upload is None:
            self._got(opened.results)
        return opened.upload

    def _got(self, results: Any) -> None:
        self._results.append(results)
        self._sign()

    def _report(self, results: Any) -> None:
        status = self._file.status
        status.held = status.stored = self.size
        status.found = found_in(results)
        status.shares = holders_in(results)
        status.happiness = happiness({n: set(on) for n, on in status.shares.items()})

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        self._changes.fail(
            error if isinstance(error, Exception) else HelperFailed(str(error))
        )

    # Waiting

    def _sign(self) -> None:
        self._last_sign = self._sinks.clock.seconds()
        status = self._file.status
        status.held = max(status.held, self.window.arrived)
        self._changes.wake()

    def _watch(self) -> None:
        """Give a helper up that is there and does nothing."""
        patience = self._sinks.patience.silent
        self._look.start(self._sinks.clock.callLater, patience / 10, self._watch)
        if self._reader is None or self._reader.waits:
            # It is our move, or there is nobody.
            self._last_sign = self._sinks.clock.seconds()
        if self.window.sent >= self.size:
            # It codes the file and stores it, and says nothing until that is done.
            patience += self.size / SLOWEST
        if self._sinks.clock.seconds() - self._last_sign > patience:
            self._changes.fail(HelperSilent(patience))

    def _stop(self) -> None:
        self._over = True
        self._look.cancel()


def _fire(change: Deferred[None]) -> None:
    if not change.called:
        change.callback(None)
