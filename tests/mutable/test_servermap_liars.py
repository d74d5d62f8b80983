"""Maps and reads with a server over foolscap that lies, beside honest ones."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import TestCase

from tests.contracts.test_slot_server import foolscap_server
from tests.grids import REACTOR
from tests.mutable.share_grid import SlotGrid, make_shares, read
from tests.storage.liars import SERVER, Lair, Liar, raises
from truckee.flow.limits import Budget
from truckee.immutable.download.memory_budget import Holdings
from truckee.mutable.opened import OpenVersion
from truckee.mutable.servermap import Mapper, Purpose
from truckee.mutable.versions import Versions, numbers_of
from truckee.storage.interfaces import IStorageServer
from truckee.storage.limited import LimitedServer

TEXT = os.urandom(20_000)
# Shares in its answers: in part good ones, of which the honest servers have all but 0.
SHARES = make_shares(TEXT)


def cut(share: bytes, reads: Any) -> list[bytes]:
    """Return what an honest server answers to *reads*."""
    return [share[offset : offset + length] for offset, length in reads]


class LiarTests(TestCase):
    """Nothing that one server says keeps a file from being read, or changes it."""

    async def look(self, answer: Any) -> tuple[IStorageServer, Versions]:
        """Map and read a file, with a liar as one of ten servers."""
        grid = SlotGrid.new(self, servers=9)
        await grid.put_all(0, {1: SHARES[1], 2: SHARES[2]})
        for number in range(3, 10):
            await grid.put(number - 2, number, SHARES[number])
        lair = Lair.new(self)
        honest = {"advise_corrupt_share": None}
        furl = lair.furl(Liar(SERVER, {"slot_readv": answer, **honest}))
        liar = LimitedServer(await foolscap_server(self, furl), REACTOR)
        servers: list[IStorageServer] = [liar, *grid.servers]
        mapper = Mapper(lambda: servers, 3, 10, grid.cpu, REACTOR)
        found = await mapper.map(grid.cap, Purpose.CHECK)
        self.assertTrue(found.asked_all)
        self.assertLessEqual(set(range(1, 10)), numbers_of(found.shares))
        cap, holdings = grid.cap.read_cap(), Holdings(Budget(1 << 20), REACTOR)
        opened = OpenVersion.best_of(cap, found, grid.cpu, REACTOR, holdings)
        self.assertTrue(await read(opened) == TEXT)
        return liar, found

    async def test_no_answers(self) -> None:
        """What is no answer at all counts as none."""
        answers: list[Any] = [
            None,
            [],
            {0: b"no list"},
            {0: []},
            {0: [b"one", b"more"]},
            {0: [b"x" * 5000]},
            {b"0": [b"x"]},
            {-1: [b"x"]},
            {256: [b"x"]},
            {number: [b""] for number in range(257)},
        ]
        for answer in answers:
            liar, found = await self.look(lambda *_, answer=answer: answer)
            self.assertIn(liar, found.failed, answer)

    async def test_refusal(self) -> None:
        liar, found = await self.look(raises)
        self.assertIn(liar, found.failed)

    async def test_other_shares(self) -> None:
        """Shares under wrong numbers, and rubbish under all that there are."""
        old = make_shares(b"old", 0)

        def answer(index: bytes, numbers: Any, reads: Any) -> Any:
            return {0: cut(SHARES[4], reads), 1: cut(old[1], reads), 2: [b"", b""][:1]}

        liar, found = await self.look(answer)
        damaged = {place.number for place in found.damaged if place.server is liar}
        self.assertEqual(damaged, {0, 2})
        # An old version is one: its owner signed it.
        self.assertEqual([prefix.sequence for prefix in found.unrecoverable], [0])

    async def test_honest_at_first(self) -> None:
        """A share that is good in the map has other blocks when they are read."""
        asked = []

        def answer(index: bytes, numbers: Any, reads: Any) -> Any:
            asked.append(reads)
            parts = cut(SHARES[0], reads)
            if len(asked) > 1:
                parts[-1] = bytes(len(parts[-1]))
            return {0: parts}

        await self.look(answer)
        self.assertGreater(len(asked), 1)

    async def test_another_version_later(self) -> None:
        """One that says the file was overwritten is not believed while others have it."""
        newer = make_shares(TEXT, 2)
        asked = []

        def answer(index: bytes, numbers: Any, reads: Any) -> Any:
            asked.append(reads)
            return {0: cut(newer[0] if len(asked) > 1 else SHARES[0], reads)}

        await self.look(answer)
        self.assertEqual(len(asked), 2)
