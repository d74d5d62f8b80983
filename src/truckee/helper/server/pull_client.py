"""
The ciphertext of a stock client, asked for piece by piece, with an end to every wait.

Source: ``docs/formats/helper-stock.md``, "How a stock client answers".
"""

from __future__ import annotations

from typing import Any

from attrs import define, field, frozen
from foolscap.api import DeadReferenceError
from twisted.internet.defer import TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from truckee.errors import Misuse, Unavailable
from truckee.helper.ownership import Owner
from truckee.helper.protocol import RIEncryptedUploadable
from truckee.helper.wire import Parameters
from truckee.net.foolscap.call_failures import is_lost, reason_of, tub_of
from truckee.net.foolscap.checked_calls import call


@define
class ClientGone(Unavailable):
    """The client went away."""


@define
class ClientSilent(Unavailable):
    """The client brought no more of its file for {seconds:.0f} seconds."""

    seconds: float


@define
class ClientFailed(Misuse):
    """The client could not bring its file: {reason}"""

    reason: str


@frozen
class ClientPatience:
    """Seconds that are waited for a stock client."""

    silent: float = 600.0  # without one more byte
    # Between questions to one who answers with nothing; longer and longer.
    shortest: float = 0.05
    longest: float = 5.0


@define(eq=False)
class StockClient:
    """One client's reader.  Whoever has it closes it."""

    _reader: Any = field(repr=False)  # foolscap's reference
    _clock: IReactorTime
    _patience: ClientPatience

    @property
    def owner(self) -> Owner:
        """Whose the upload is."""
        return Owner.by_tub(tub_of(self._reader))

    async def size(self) -> int:
        """Return the bytes of ciphertext.  :raises ClientFailed: when there are none."""
        size: int = await self._ask(self._patience.silent, "get_size")
        if size < 1:
            raise ClientFailed(f"a file of {size} bytes")
        return size

    async def parameters(self, size: int) -> Parameters:
        """
        Return how the file is to be stored, that has *size* bytes.

        :raises ClientFailed: when nobody stores it like that.
        """
        told = await self._ask(self._patience.silent, "get_all_encoding_parameters")
        try:
            parameters = Parameters.from_wire(told)
        except ValueError as error:
            raise ClientFailed(str(error)) from None
        if parameters.encoding.geometry(size).segment_size != parameters.segment_size:
            # The client would not know the UEB that comes of it.
            raise ClientFailed(
                f"a segment of {parameters.segment_size} bytes is not one of this file"
            )
        return parameters

    async def read(self, offset: int, length: int) -> bytes:
        """
        Return bytes at *offset*: *length*, or fewer but not none.

        :raises ClientGone: :raises ClientSilent: :raises ClientFailed:
        """
        silent, pause = self._patience.silent, self._patience.shortest
        deadline = self._clock.seconds() + silent
        while (left := deadline - self._clock.seconds()) > 0:
            pieces = await self._ask(left, "read_encrypted", offset, length)
            data = b"".join(pieces)
            if len(data) > length:
                raise ClientFailed(f"{len(data)} bytes where {length} were asked for")
            if data:
                return data
            await deferLater(self._clock, pause)
            pause = min(2 * pause, self._patience.longest)
        raise ClientSilent(silent)

    def close(self) -> None:
        """Tell the client that it is asked for nothing more; may be called twice."""
        try:
            closing = self._reader.callRemote("close")
        except DeadReferenceError:
            return
        # Whatever it says: what happened to its file is told elsewhere.
        closing.addErrback(lambda _: None)

    async def _ask(self, seconds: float, method: str, *arguments: int) -> Any:
        answer = call(self._reader, RIEncryptedUploadable, method, *arguments)
        answer.addTimeout(seconds, self._clock)
        try:
            return await answer
        except TimeoutError:
            raise ClientSilent(self._patience.silent) from None
        except Exception as error:
            if is_lost(error):
                raise ClientGone from None
            raise ClientFailed(reason_of(error)) from None
