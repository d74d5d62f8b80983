"""
The power goes at any moment: what was promised before is there afterwards.

``python -m tests.soak.power_cuts`` makes more cuts, and some on a real file system.
"""

from __future__ import annotations

import random
from functools import partial

from twisted.trial.unittest import TestCase

from tests.grids import new_directory
from tests.powercut import node, storage
from tests.powercut.replay import cut_at
from tests.soak import WHOLE

CUTS = 200 if WHOLE else 20


class NodeTests(TestCase):
    timeout = 600

    async def test_cuts(self) -> None:
        """Files, leases, open uploads and the node itself outlive a cut at any moment."""
        recorder = await node.record(new_directory(self), seed=3, count=14)
        chance, steps = random.Random(4), len(recorder.steps)
        broken = []
        for number in range(CUTS):
            step = int(steps * (number + chance.random()) / CUTS)
            check = partial(node.broken, boot=b"second")
            broken.append(await cut_at(recorder, step, chance.randrange(1 << 32), check))
        self.assertEqual([each for each in broken if each], [])

    async def test_identity(self) -> None:
        """A storage server and helper is the same after a cut, to all that know it."""
        recorder = await storage.record(new_directory(self), starts=2)
        chance, steps = random.Random(5), len(recorder.steps)
        broken = []
        for number in range(CUTS // 4):
            step = int(steps * (number + 1) / (CUTS // 4))
            seed = chance.randrange(1 << 32)
            broken.append(await cut_at(recorder, step, seed, storage.broken))
        self.assertEqual([each for each in broken if each], [])
