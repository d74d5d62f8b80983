"""Mixtures of lies; ``tests.soak.lying_mixtures`` has many of them."""

from __future__ import annotations

import os

from twisted.trial.unittest import TestCase

from tests.hostile.lying_mixtures import Mixture

FIRST = int(os.environ.get("TRUCKEE_SEED", "6"))
COUNT = int(os.environ.get("TRUCKEE_MIXTURES", "3"))


class MixtureTests(TestCase):
    timeout = 60 * max(2, COUNT)

    async def test_mixtures(self) -> None:
        """No cap is given out of which the honest servers do not have the file."""
        for seed in range(FIRST, FIRST + COUNT):
            mixture = Mixture(self, seed)
            print(f"{seed}: {await mixture.run()} ({'; '.join(mixture.lies)})", flush=True)
