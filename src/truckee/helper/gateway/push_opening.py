"""
A helper is asked to open an upload, once or until it does.

Source: ``docs/formats/helper-push.md``, "Opening".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from truckee.helper import wire
from truckee.helper.errors import HelperBusy, HelperFailed, HelperSilent, error_of
from truckee.helper.gateway.connection import HelperConnection
from truckee.helper.gateway.push_observer import PushObserver
from truckee.helper.gateway.push_way import PushWay
from truckee.helper.gateway.timeouts import HelperPatience
from truckee.helper.ownership import SECRET_SIZE
from truckee.helper.protocol import RIHelper, RIPushUpload
from truckee.helper.wire import Opened, Parameters
from truckee.immutable.upload.sinks import NewFile
from truckee.net.foolscap.call_failures import is_lost, reason_of, tub_of
from truckee.net.foolscap.checked_calls import call

# Given a helper's tub id and a storage index: 32 bytes that only this gateway can show.
UploadSecret = Callable[[bytes, bytes], bytes]


def no_secret(helper: bytes, storage_index: bytes) -> bytes:
    """Return what a gateway without a secret of its own shows: it is nobody's."""
    return bytes(SECRET_SIZE)


@define(eq=False)
class PushOpening:
    """Opens uploads of one file, one after another."""

    _file: NewFile
    _parameters: Parameters
    _connection: HelperConnection
    _clock: IReactorTime
    _patience: HelperPatience
    _secret: UploadSecret = field(repr=False)
    _observer: PushObserver
    _asked_at: float = field(default=0.0, init=False)  # seconds, the last time

    async def open(self, remote: Any) -> Opened:
        """
        Return an upload at the helper *remote*, or the UEB of the file that is there.

        :raises HelperSilent: :raises HelperFailed: or what the helper's refusal means;
            the errors of a lost connection are foolscap's.
        """
        index, size = self._file.storage_index, self._file.size
        asked: tuple[Any, ...] = index, self._parameters.to_wire(), size, self._observer
        method = "open_push"
        if self._connection.owns:
            method, asked = "open_push_v2", (*asked, self._secret(tub_of(remote), index))
        try:
            answer = await self._or_part(call(remote, RIHelper, method, *asked))
        except TimeoutError:
            raise HelperSilent(self._patience.silent) from None
        except Exception as error:
            if is_lost(error) or isinstance(error, CancelledError):
                raise
            raise HelperFailed(reason_of(error)) from None
        opened = Opened.from_wire(answer)
        self._asked_at = self._clock.seconds()
        if opened.state == wire.PRESENT and opened.ueb:
            return Opened.present(opened.ueb)
        if opened.state != wire.RECEIVE or opened.upload is None or opened.held < 0:
            raise error_of(opened.code)
        return opened

    def way(self, upload: Any) -> PushWay:
        """Return the way to an *upload* that was opened."""
        return PushWay(upload, self._file.storage_index, self._connection.channels)

    async def again(self) -> Opened:
        """Return the same as soon as there is a helper, and a place there."""
        while True:
            # One that lets itself be opened and nothing else is not asked all the time.
            soon = self._asked_at + self._patience.again - self._clock.seconds()
            if soon > 0:
                await deferLater(self._clock, soon)
            # It is the watch that ends this.
            remote = await self._connection.get(2 * self._patience.absent)
            try:
                return await self.open(remote)
            except Exception as error:
                if not is_lost(error) and not isinstance(error, HelperBusy):
                    raise
                self._asked_at = self._clock.seconds()

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
