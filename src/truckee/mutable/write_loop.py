"""
Writing a file that others write too: above what they wrote, a bounded number of times.

Source: ``docs/mutable-files.md``, "Two writers at once".
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from truckee.codec.caps import MutableWriteCap
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.rsa_keys import SigningKey
from truckee.mutable.errors import UncoordinatedWrite, VersionGone
from truckee.mutable.opened import not_enough
from truckee.mutable.servermap import Mapper, Purpose
from truckee.mutable.versions import Versions

# So often is a change tried in all.  The waits between grow by a factor of 2 from the
# first, with a jitter that lets one of two go before.
_ATTEMPTS = 8
_FIRST_WAIT = 0.25  # seconds

# Looks at the version that is to be replaced, None if there is none, and may raise.
Check = Callable[[Prefix | None], None]
# Writes above the versions that are known, with the key, again or for the first time.
Write = Callable[[Versions, SigningKey, bool], Coroutine[Deferred[Any], Any, None]]


def any_version(_: Prefix | None) -> None:
    """Let any version be replaced."""


@define(eq=False)
class WriteLoop:
    """Maps, lets somebody write, and maps again, until nobody else wrote meanwhile."""

    _mapper: Mapper
    _clock: IReactorTime
    _random: Callable[[int], bytes]

    async def map(
        self, cap: MutableWriteCap, before: Versions | None = None
    ) -> tuple[Versions, SigningKey]:
        """
        Return what the servers have of a file, and its private key.

        What was known *before* helps to find it.

        :raises NotEnoughMutableShares: when no share has a good key.
        """
        known = await self._mapper.map(
            cap.verify_cap(), Purpose.WRITE, write_cap=cap, before=before
        )
        if known.private_key is None:
            raise not_enough(known)
        return known, known.private_key

    async def run(
        self,
        cap: MutableWriteCap,
        write: Write,
        check: Check = any_version,
        before: Versions | None = None,
    ) -> None:
        """
        Let *write* write, once more after each conflict; *check* looks before that.

        What was known *before* helps to find out what there is.

        :raises NotEnoughMutableShares: :raises UncoordinatedWrite: :raises VersionGone:
            when others wrote at the same time, each time it was tried.
        """
        known, key = await self.map(cap, before)
        for attempt in range(1, _ATTEMPTS + 1):
            check(known.best)
            try:
                await write(known, key, attempt > 1)
            except (UncoordinatedWrite, VersionGone):
                if attempt == _ATTEMPTS:
                    raise
            else:
                return
            await self._wait(attempt)
            known = await self._mapper.map(cap.verify_cap(), Purpose.CHECK)

    async def _wait(self, attempt: int) -> None:
        jitter = 0.5 + int.from_bytes(self._random(2), "big") / (1 << 16)
        await deferLater(self._clock, _FIRST_WAIT * 2 ** (attempt - 1) * jitter)
