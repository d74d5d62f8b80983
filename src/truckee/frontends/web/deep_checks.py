"""One object of a tree checked, in the words of stock gateways."""

from __future__ import annotations

from typing import cast

from attrs import evolve, frozen

from truckee.codec.caps import DirectoryCap, LiteralCap
from truckee.codec.children import Child
from truckee.errors import TruckeeError
from truckee.frontends.web.checking import Checks
from truckee.tree.ahead import Settling
from truckee.tree.object_check import Checkable, Wish

# Objects that are checked at once, of one tree.
CHECKS = 16
# And that wait for one in front of them, which takes long.
AHEAD = 48

# Of what has no shares: the same for all.
_CHECKED: dict[str, object] = {"storage-index": "", "results": {"healthy": True}}
_REPAIRED: dict[str, object] = {"storage-index": "", "repair-attempted": False}


_LOOK = Wish(verify=False, repair=False, add_lease=False)


@frozen(eq=False)
class DeepChecks:
    """Checks what a walk meets."""

    _checks: Checks
    _settling: Settling

    async def check(self, child: Child, wish: Wish) -> dict[str, object]:
        """
        Return what the line of *child* has more than that of a manifest.

        A repair that cannot be is told in it, as ``error``.
        """
        key = "check-and-repair-results" if wish.repair else "check-results"
        cap = child.cap.inner if isinstance(child.cap, DirectoryCap) else child.cap
        if cap is None or isinstance(cap, LiteralCap):
            return {key: _REPAIRED if wish.repair else _CHECKED}
        if not self._settling.is_over:
            await self._settle(cap)
        try:
            return {key: await self._checks.document(cap, wish)}
        except TruckeeError as error:
            if not wish.repair:
                raise
            return {key: await self._as_it_is(cap, wish), "error": str(error)}

    async def _settle(self, cap: Checkable) -> None:
        """
        Return when a file is healthy, or the gateway must have found its servers.

        Shares on servers that are not connected yet would be missing, and made again.
        """
        while True:
            try:
                found = await self._checks.document(cap, _LOOK)
                healthy = cast(dict[str, object], found["results"])["healthy"]
            except TruckeeError:
                healthy = False
            if healthy or not await self._settling.again():
                return

    async def _as_it_is(self, cap: Checkable, wish: Wish) -> dict[str, object]:
        """Return what is said of what cannot be repaired."""
        found = await self._checks.document(cap, evolve(wish, repair=False))
        return {
            "storage-index": found["storage-index"],
            "repair-attempted": True,
            "repair-successful": False,
            "pre-repair-results": found,
            "post-repair-results": found,
        }
