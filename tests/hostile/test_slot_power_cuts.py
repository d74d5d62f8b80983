"""The power goes while slots are written: each share is as it was, or as it was to be."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path

from attrs import define, evolve, frozen
from twisted.trial.unittest import TestCase

from tests.contracts.slot_server import other_lease, writes
from tests.contracts.test_slot_server import NODE_ID, new_disk
from tests.grids import new_directory
from tests.powercut.recorder import Recorder
from tests.powercut.replay import cut_at
from tests.soak import WHOLE
from truckee.codec import base32
from truckee.storage.interfaces import SlotChange, SlotRead
from truckee.storage.slots import DiskSlots

CUTS = 600 if WHOLE else 30
REQUESTS = 16
INDEX = b"i" * 16

Shares = Mapping[int, bytes]


@frozen
class Begun:
    """A request was sent that makes the slot this."""

    shares: Shares


@frozen
class Done:
    """The client was told that the slot is this."""

    shares: Shares


@define
class Writer:
    """Writes at random, and knows what must come of it."""

    slots: DiskSlots
    recorder: Recorder
    chance: random.Random
    grows: bool  # most requests add to the end of a share

    async def run(self) -> None:
        """Make requests, and note what was promised."""
        shares: dict[int, bytes] = {}
        self.recorder.mark(Done({}))
        for _ in range(REQUESTS):
            changes = {share: self.change() for share in self.chance.sample(range(4), 2)}
            if self.grows and shares and self.chance.random() < 0.8:
                share = self.chance.choice(list(shares))
                changes = {share: self.growth(len(shares[share]))}
            for share, change in changes.items():
                data = applied(shares.get(share, b""), change)
                shares.pop(share, None)
                if change.new_length != 0:
                    shares[share] = data
            self.recorder.mark(Begun(dict(shares)))
            secrets = other_lease(self.chance.randrange(8))
            answer = await self.slots.test_and_write(INDEX, secrets, changes, [])
            assert answer.success
            self.recorder.mark(Done(dict(shares)))

    def growth(self, end: int) -> SlotChange:
        """Return what adds to a share of *end* bytes, perhaps behind a gap."""
        at = end + self.chance.choice([0, 0, 0, 700])
        pieces = [self.chance.randbytes(self.chance.randrange(3000)) for _ in range(2)]
        return writes((at, pieces[0]), (at + len(pieces[0]), pieces[1]))

    def change(self) -> SlotChange:
        """Return any change; most write a whole share, as clients do."""
        if self.chance.random() < 0.6:
            return writes((0, self.chance.randbytes(self.chance.randrange(9000))))
        length = self.chance.choice([None, None, None, 0, 0, 3000])
        pairs = [
            (self.chance.randrange(12_000), self.chance.randbytes(2000))
            for _ in range(self.chance.randrange(3))
        ]
        return writes(*pairs, new_length=length)


def applied(data: bytes, change: SlotChange) -> bytes:
    """Return what a change makes of a share."""
    for each in change.writes:
        data = data.ljust(each.offset, b"\0")
        data = data[: each.offset] + bytes(each.data) + data[each.offset + len(each.data) :]
    return data if change.new_length is None else data[: change.new_length]


class SlotPowerCutTests(TestCase):
    timeout = 600

    async def test_cuts(self) -> None:
        """Whenever the power goes, no share is torn, and none that was answered is lost."""
        await self.cut(grows=False)

    async def test_growing(self) -> None:
        """The same holds for shares that grow where they are."""
        await self.cut(grows=True)

    async def cut(self, *, grows: bool) -> None:
        """Cut the power at many moments, and look at what is left."""
        root = new_directory(self)
        recorder, chance = Recorder(root), random.Random(5)
        with recorder.recording():
            (root / "shares" / "incoming").mkdir(parents=True)
            for path in (root / "shares", root):
                self.sync(path)
            _, slots = new_disk(self, root=root)
            if grows:
                slots._slots = evolve(slots._slots, append_from=1, append_room=2000)
            await Writer(slots, recorder, chance, grows).run()
        steps, broken = len(recorder.steps), []
        # Growing takes more steps, which are shorter.
        cuts = 5 * CUTS if grows else CUTS
        for number in range(cuts):
            step = int(steps * (number + chance.random()) / cuts)
            seed = chance.randrange(1 << 32)
            broken.append(await cut_at(recorder, step, seed, self.check))
        self.assertEqual([each for each in broken if each], [])

    @staticmethod
    def sync(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    async def check(self, left: Path, promises: list[object]) -> list[str]:
        """Return which shares are neither old nor new."""
        done = [each.shares for each in promises if isinstance(each, Done)]
        if not done:
            return []
        begun = promises[-1].shares if isinstance(promises[-1], Begun) else done[-1]
        left.mkdir(exist_ok=True)
        _, slots = new_disk(self, root=left)
        whole = await slots.read(INDEX, frozenset(), [SlotRead(0, 1 << 20)])
        found = [
            f"share {share}: {len(whole[share][0]) if share in whole else None} bytes"
            for share in range(4)
            if (bytes(whole[share][0]) if share in whole else None)
            not in (done[-1].get(share), begun.get(share))
        ]
        # The leases are there too, and none is made up.
        for share, file in slots._slots.slot(INDEX).shares.items():
            with file.opened() as opened:
                leases = opened.leases().in_use
            if not 1 <= len(leases) <= 8 or {each.node_id for each in leases} != {NODE_ID}:
                found.append(f"share {share} has other leases")
        name = base32.encode(INDEX)
        home = left / "shares" / name[:2] / name
        names = set(os.listdir(home)) if home.exists() else set()
        if names != set(map(str, whole)):
            found.append(f"{names} is there, of which {set(whole)} can be read")
        return found
