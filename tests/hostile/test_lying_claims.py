"""A server that claims shares it does not have, or drops what it accepts."""

from __future__ import annotations

import random

from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, in_chunks
from tests.hostile.lying_mixtures import (
    SIZE,
    Mixture,
    dropping,
    of_another_file,
)
from tests.hostile.test_lying_servers import Lie, claiming
from truckee.codec.caps import ChkReadCap
from truckee.codec.geometry import Encoding
from truckee.immutable.check import Checker
from truckee.immutable.repair import Repairer
from truckee.immutable.upload.keys import ConvergentKey, GivenKey, KeyChoice, RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.status import UploadStatus

DATA = random.Random(4).randbytes(SIZE)
ALL = claiming(b"", *range(10))


class ClaimTests(TestCase):
    timeout = 120

    async def lied_to(
        self, lie: Lie, needed: int = 7, happy: int = 9, choice: KeyChoice | None = None
    ) -> tuple[Mixture, ChkReadCap, UploadStatus]:
        """Store a file on ten servers, of which one lies; read it from the others."""
        mixture = Mixture(self, 1)
        mixture.encoding, mixture.happy = Encoding(needed, 10, 3000), happy
        await mixture.set_up()
        liar = mixture.members[3]
        mixture.liars.append(liar)
        liar.tell(lie)
        status = UploadStatus()
        cap = await mixture.grid.uploader.upload(
            in_chunks(DATA, 5000), UploadOptions(choice or RandomKey(), SIZE), status
        )
        assert isinstance(cap, ChkReadCap)
        others = list(mixture.grid.servers)
        mixture.leave()
        self.assertTrue(await mixture.grid.read(cap) == DATA)
        mixture.grid.servers[:] = others
        return mixture, cap, status

    async def test_all_shares(self) -> None:
        """Who claims all shares keeps none from the others, whatever the key."""
        for choice in (RandomKey(), ConvergentKey(), GivenKey(b"k" * 16)):
            mixture, _cap, status = await self.lied_to(ALL, choice=choice)
            name = mixture.liars[0].disk.name
            self.assertEqual({lost.server for lost in status.lost}, {name})
            self.assertEqual(status.happiness, 9)

    async def test_dropped(self) -> None:
        """Who accepts a share and keeps nothing is named, and the share is unplaced."""
        mixture, cap, status = await self.lied_to(dropping)
        [lost] = status.lost
        self.assertEqual(lost.server, mixture.liars[0].disk.name)
        self.assertEqual(status.unplaced(cap), [lost.share])

    async def test_another_file(self) -> None:
        """Whole shares of another file are found out, and all shares are stored then."""
        lie = of_another_file(Encoding(7, 10, 3000), 5)
        _mixture, cap, status = await self.lied_to(lie, choice=ConvergentKey())
        self.assertGreaterEqual(len(status.shares), 9)
        self.assertLessEqual(len(status.unplaced(cap)), 1)

    async def test_repair(self) -> None:
        """A repair makes the shares that a server only claims to have."""
        mixture, cap, _status = await self.lied_to(dropping)
        mixture.liars[0].tell(ALL)
        grid = mixture.grid
        repairer = Repairer(
            Checker(grid.selector, grid.cpu, grid.budget),
            grid.selector,
            grid.journal,
            grid.cpu,
            grid.budget,
            REACTOR,
        )
        report = await repairer.check_and_repair(cap.verify_cap())
        self.assertEqual(len(report.before.missing), 1)
        self.assertTrue(report.successful)
