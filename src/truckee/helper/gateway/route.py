"""
How the ciphertext of one file leaves: the one decision, in one place.

Source: ``docs/architecture.md``, "Routes".
"""

from __future__ import annotations

from attrs import define
from twisted.logger import Logger
from zope.interface import implementer

from truckee.grid.selection import Selector
from truckee.helper.errors import (
    HelperBusy,
    HelperFailed,
    HelperFull,
    HelperRefuses,
    HelperSilent,
)
from truckee.helper.gateway.connection import HelperConnection, NoHelper
from truckee.immutable.upload.sinks import (
    ICiphertextSink,
    ICiphertextSinks,
    NewFile,
    NotThroughHelper,
)

log = Logger()

# What a helper may answer to a file that is begun, after which it goes to the servers.
_REFUSALS = (
    NoHelper,
    HelperBusy,
    HelperFull,
    HelperRefuses,
    HelperFailed,
    HelperSilent,
    NotThroughHelper,
)


@implementer(ICiphertextSinks)
@define(eq=False)
class Routes:
    """
    To the helper while it is connected, else from here to the servers.

    A file whose client chose the key goes from here if anything is stored under that key:
    here it is compared, segment by segment, before any of it leaves.  So does one whose
    helper is lost before it took the file, refuses it, or claims what is not so.
    """

    _direct: ICiphertextSinks
    _pushed: ICiphertextSinks
    _pulled: ICiphertextSinks  # by a stock helper, which must know the size
    _helper: HelperConnection
    _selector: Selector
    _needed: int  # k

    @property
    def needs_known_size(self) -> bool:
        """See ``ICiphertextSinks``."""
        return not self._pushes and self._direct.needs_known_size

    @property
    def _pushes(self) -> bool:
        return self._helper.connected and self._helper.pushes

    async def open(self, file: NewFile) -> ICiphertextSink:
        """See ``ICiphertextSinks``."""
        helped = self._helper.connected and not file.direct
        if helped and not self._pushes and file.size is None:
            helped = False
        if helped and file.guarded:
            helped = not await self._selector.find(file.storage_index, self._needed)
        if helped:
            sinks = self._pushed if self._pushes else self._pulled
            try:
                return await _opened(sinks, file)
            except _REFUSALS as error:
                if file.size is None and self._direct.needs_known_size:
                    raise
                log.info("The helper takes no part in a file: {why}", why=str(error))
        return await _opened(self._direct, file)

    async def forget(self, file: NewFile) -> None:
        """See ``ICiphertextSinks``."""
        if self._pushes and not file.direct:
            await self._pushed.forget(file)


async def _opened(sinks: ICiphertextSinks, file: NewFile) -> ICiphertextSink:
    sink: ICiphertextSink = await sinks.open(file)
    return sink
