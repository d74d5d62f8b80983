"""
The helper, for whoever has its furl.

Source: ``docs/formats/helper-push.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from foolscap.api import DeadReferenceError, Referenceable
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from truckee import __version__
from truckee.codec.hashes import Buffer
from truckee.errors import TruckeeError
from truckee.helper import wire
from truckee.helper.errors import Gap, UploadOver, code_of
from truckee.helper.ownership import Owner
from truckee.helper.protocol import RIHelper, RIPushUpload
from truckee.helper.server.push_handles import NoPushChannels, PushHandles
from truckee.helper.server.registry import Uploads
from truckee.helper.server.stored import Stored
from truckee.helper.server.upload import HelperUpload
from truckee.helper.wire import (
    LARGEST_WINDOW,
    Finished,
    Opened,
    Parameters,
    Pushed,
    Shares,
    Version,
)
from truckee.net.foolscap.call_failures import tub_of
from truckee.net.foolscap.peer_safe_failures import answered
from truckee.storage.foolscap_schema import serves

log = Logger()

# How long a gateway that was lost is waited for, as if it were slow: what it comes back to
# need not be coded again.
LINGER = 60.0  # seconds
# How often a gateway is told how far its upload is.
PROGRESS = 0.5  # seconds
# Of one gateway in memory: a whole window on one connection, and one on that before it.
_MOST_PENDING = 2 * LARGEST_WINDOW  # bytes


def _tell_error(error: Exception) -> tuple[bytes, bytes]:
    """Return what a gateway is told of *error*, and the log what it is not."""
    if not isinstance(error, TruckeeError):
        log.error("An upload failed: {error}", error=repr(error))
    return code_of(error)


@serves(RIHelper)
@define(eq=False)
class Helper(Referenceable):
    """What the furl of a helper leads to: both protocols begin here."""

    _uploads: Uploads
    _clock: IReactorTime
    _pull: Any  # begins an upload of a stock client: storage index -> (results, upload)
    _linger: float = LINGER
    handles: PushHandles = field(factory=PushHandles, init=False)

    def remote_get_version(self) -> dict[bytes, object]:
        return Version.ours(__version__, self.handles.channels is not None).to_wire()

    def remote_truckee_share_channel(self, canary: Any) -> tuple[bytes, bytes]:
        if self.handles.channels is None:
            raise NoPushChannels
        return self.handles.channels.door(tub_of(canary).decode("ascii"))

    def remote_upload_chk(self, si: bytes) -> Deferred[tuple[Any, Any]]:
        return answered(self._pull(si))

    def remote_open_push(
        self,
        storage_index: bytes,
        parameters: tuple[int, int, int, int],
        size: int | None,
        observer: Any,
    ) -> Deferred[tuple[bytes, bytes, int, bytes, Any, bytes]]:
        # A gateway of before has no secrets.
        owner = Owner.by_tub(tub_of(observer))
        return self._answer(storage_index, parameters, size, observer, owner)

    def remote_open_push_v2(
        self,
        storage_index: bytes,
        parameters: tuple[int, int, int, int],
        size: int | None,
        observer: Any,
        secret: bytes,
    ) -> Deferred[tuple[bytes, bytes, int, bytes, Any, bytes]]:
        owner = Owner.by_secret(secret, tub_of(observer))
        return self._answer(storage_index, parameters, size, observer, owner)

    def _answer(
        self,
        storage_index: bytes,
        parameters: tuple[int, int, int, int],
        size: int | None,
        observer: Any,
        owner: Owner,
    ) -> Deferred[tuple[bytes, bytes, int, bytes, Any, bytes]]:
        opening = self._open(storage_index, parameters, size, observer, owner)
        return Deferred.fromCoroutine(opening).addCallback(Opened.to_wire)

    async def _open(
        self,
        storage_index: bytes,
        parameters: tuple[int, int, int, int],
        size: int | None,
        observer: Any,
        owner: Owner,
    ) -> Opened:
        if len(storage_index) != 16 or (size is not None and size < 1):
            raise ValueError("a storage index has 16 bytes, and a file at least one")
        wanted = Parameters.from_wire(parameters)
        while True:
            try:
                # Whose file it is that is here, if it is longer, only the gateway can tell.
                upload = await self._uploads.open(
                    storage_index, wanted, size, longer=True, owner=owner
                )
            except Exception as error:
                return Opened.refused(_tell_error(error)[0])
            if isinstance(upload, Stored):
                _tell(observer, "placed", _shares(upload))
                return Opened.present(upload.ueb)
            push = PushUpload(
                upload,
                observer,
                self._clock,
                self._uploads.later,
                self._linger,
                self.handles,
            )
            push.begin()
            try:
                held, digest = await upload.digest()
            except UploadOver:
                push.end()  # it ended in between: it is stored now, or begins again
            except Exception as error:
                push.end()
                return Opened.refused(_tell_error(error)[0])
            else:
                return Opened.receive(held, digest, push)


# Foolscap makes a text of it to say that it is not None, of all that it leads to.
@serves(RIPushUpload)
@define(eq=False, repr=False)
class PushUpload(Referenceable):
    """One gateway's part in an upload, which ends soon after its connection."""

    _upload: HelperUpload
    _observer: Any
    _clock: IReactorTime
    _later: Callable[[float, Callable[[], None]], None]
    _linger: float  # seconds
    _handles: PushHandles
    _handle: bytes = field(default=b"", init=False, repr=False)  # on share channels
    _open: bool = field(default=True, init=False)
    _lingers: bool = field(default=False, init=False)  # its gateway was lost just now
    _telling: LoopingCall = field(init=False)
    _told: tuple[int, int] = field(default=(-1, -1), init=False)
    _marker: Any = field(default=None, init=False)
    _pending: int = field(default=0, init=False)  # bytes that wait for the disk

    def begin(self) -> None:
        """Take part until the gateway is gone."""
        self._marker = self._observer.notifyOnDisconnect(self._lost)
        self._telling = LoopingCall(self._tell)
        self._telling.clock = self._clock
        self._telling.start(PROGRESS, now=False)

    def end(self, forget: bool = False) -> None:
        """Take no part any more; may be called twice."""
        self._handles.forget(self._handle)
        if self._stop():
            self._upload.leave(forget)

    def _stop(self) -> bool:
        """Hear and tell nothing more; return whether this is new."""
        was, self._open = self._open, False
        if was:
            self._telling.stop()
            self._observer.dontNotifyOnDisconnect(self._marker)
        return was

    def _lost(self) -> None:
        """The gateway may come back."""
        if self._stop():
            # Of what is on a channel the last bytes may come later than this.
            self._lingers = True
            self._upload.lingering += 1
            self._later(self._linger, self._gone)

    def _gone(self) -> None:
        self._lingers = False
        self._handles.forget(self._handle)
        self._upload.lingering -= 1
        self._upload.leave()

    def remote_push(self, offset: int, data: bytes) -> Deferred[tuple[int, bytes]]:
        pushing = Deferred.fromCoroutine(self.push(offset, data))
        return pushing.addCallback(Pushed.to_wire)

    def remote_handle(self) -> bytes:
        if not self._open:
            raise UploadOver
        self._handles.forget(self._handle)
        self._handle = self._handles.new(self)
        return self._handle

    async def push(self, offset: int, data: Buffer) -> Pushed:
        """See ``Push``."""
        try:
            self._check(offset)
            if self._pending + len(data) > _MOST_PENDING:
                raise Gap(self._upload.held)
            self._pending += len(data)
            try:
                return Pushed(await self._upload.append(offset, data))
            finally:
                self._pending -= len(data)
        except Exception as error:
            self._end_with(error)
            return Pushed(self._upload.held, _tell_error(error)[0])

    def remote_finish(
        self, size: int, root: bytes
    ) -> Deferred[tuple[bytes, bytes, bytes, Shares]]:
        finishing = Deferred.fromCoroutine(self._finish(size, root))
        return finishing.addCallback(Finished.to_wire)

    async def _finish(self, size: int, root: bytes) -> Finished:
        try:
            self._check(size)
            stored = await self._upload.finish(size, root)
        except Exception as error:
            self._end_with(error)
            return Finished(*_tell_error(error))
        self.end()
        return Finished(wire.OK, b"", stored.ueb, _shares(stored))

    def remote_abort(self, forget: bool) -> Deferred[None]:
        return Deferred.fromCoroutine(self._abort(forget))

    async def _abort(self, forget: bool) -> None:
        self.end(forget)
        await self._upload.settled()

    def _end_with(self, error: Exception) -> None:
        """Take no part in what is over."""
        if isinstance(error, UploadOver):
            self.end()

    def _check(self, number: int) -> None:
        if not (self._open or self._lingers):
            raise UploadOver
        if number < 0:
            raise Gap(self._upload.held)

    def _tell(self) -> None:
        if self._upload.closed:
            self.end()
            return
        now = self._upload.held, self._upload.stored
        if now != self._told:
            self._told = now
            _tell(self._observer, "progress", *now)


def _tell(observer: Any, what: str, *told: object) -> None:
    """Tell a gateway something, if it is there."""
    try:
        observer.callRemoteOnly(what, *told)
    except DeadReferenceError:
        return


def _shares(stored: Stored) -> Shares:
    return {
        number: [name.encode("utf-8")[:200] for name in names]
        for number, names in stored.labels().items()
    }
