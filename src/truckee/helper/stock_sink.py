"""Ciphertext to a stock helper, which pulls it."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from truckee.codec.geometry import Encoding
from truckee.flow.cpu import Workers
from truckee.helper.connection import HelperConnection
from truckee.immutable.sinks import ICiphertextSink, ICiphertextSinks, NewFile


@implementer(ICiphertextSinks)
@define(eq=False)
class StockHelperSinks:
    """Opens sinks from which one stock helper pulls."""

    encoding: Encoding
    _happy: int
    _connection: HelperConnection
    _cpu: Workers
    _clock: IReactorTime
    needs_known_size: bool = field(default=True, init=False)

    async def open(self, file: NewFile) -> ICiphertextSink:
        """See ``ICiphertextSinks``."""
        raise NotImplementedError
