"""One object of a tree checked, or checked and repaired, of whichever kind it is."""

from __future__ import annotations

from attrs import define, frozen

from truckee.codec.caps import ChkReadCap, ChkVerifyCap, LiteralCap, MutableCap
from truckee.errors import Misuse
from truckee.immutable.check import CheckReport
from truckee.immutable.repair import Repairer, RepairReport
from truckee.mutable.check import MutableReport
from truckee.mutable.repair import MutableRepairer, MutableRepairReport

Checkable = ChkReadCap | ChkVerifyCap | LiteralCap | MutableCap
# None: the file is in its cap, and on no server.
Report = CheckReport | RepairReport | MutableReport | MutableRepairReport | None


@define
class OnlyImmutable(Misuse):
    """This gateway checks immutable files only."""


@frozen
class Wish:
    """What is to be done with an object."""

    verify: bool  # every byte of its shares is read
    repair: bool  # if it is not healthy
    add_lease: bool  # the leases of its shares are renewed


@frozen(eq=False)
class ObjectChecker:
    """Checks files, and the files that directories are in."""

    _repairer: Repairer
    _mutable: MutableRepairer | None = None

    async def check(self, cap: Checkable, wish: Wish) -> Report:
        """
        Return what was found of the file of *cap*, and what became of it.

        :raises OnlyImmutable: :raises NotEnoughShares: when a repair cannot read it.
        :raises TruckeeError: when it could not be checked.
        """
        if isinstance(cap, MutableCap):
            mutable = self._mutable
            if mutable is None:
                raise OnlyImmutable
            look = mutable.check_and_repair if wish.repair else mutable.checker.check
            return await look(cap, wish.verify, add_lease=wish.add_lease)
        verify_cap = cap.verify_cap()
        if verify_cap is None:
            return None
        work = self._repairer
        ask = work.check_and_repair if wish.repair else work.checker.check
        return await ask(verify_cap, wish.verify, add_lease=wish.add_lease)
