"""Where ciphertext goes.  ``tests/contracts`` has the suite that every sink passes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.hashes import Buffer
from truckee.errors import Misuse, Refused


@define
class KeyReused(Refused):
    """
    Another file is already stored under this key. Two files under one key could be read
    without it, so nothing was stored: use another key, or key=random.
    """


@define
class WrongSize(Misuse):
    """The body has {found} bytes or more, and {promised} were promised."""

    found: int
    promised: int


class ICiphertextSink(Interface):
    """Takes the ciphertext of one file, whose key is not its business."""

    chunk_size: int = Attribute("Bytes; chunks of exactly this size cost the least.")

    async def write(chunk: Buffer) -> None:
        """
        Take the next bytes; returns when more can be taken.

        *chunk* may have any size and must stay unchanged from now on.
        """

    async def close() -> ChkVerifyCap:
        """
        The file is complete: return the cap that checks it, once it is stored for good.

        If this raises, ``abort`` follows.
        """

    async def abort() -> None:
        """Forget the file and free its space.  May be called at any time, and twice."""


# Opens a sink for a storage index and a size in bytes, None if that is not known yet.
OpenSink = Callable[[bytes, int | None], Coroutine[Deferred[Any], Any, ICiphertextSink]]
