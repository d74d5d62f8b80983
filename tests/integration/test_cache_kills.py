"""A gateway that dies in the middle of anything has a cache that is never wrong."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import ask
from tests.soak.cache_kills import LIMIT, Kills


class CacheKillTests(SynchronousTestCase):
    def test_kills(self) -> None:
        """After each kill, and with torn entries: right bytes, no leak, no surplus."""
        with tempfile.TemporaryDirectory() as place:
            kills = Kills.create(Path(place), 3)
            seen = kills.run(3)
            self.assertEqual((seen.kills, seen.wrong, seen.leaks), (3, 0, 0))
            self.assertGreater(seen.ranges, 5)
            self.assertGreater(seen.torn, 5)
            self.assertLessEqual(seen.largest, LIMIT)
            kills.grid.start()
            try:
                document = json.loads(ask(f"{kills.grid.url}?t=json").body)
                self.assertEqual(document["truckee"]["cache"]["limit"], LIMIT)
            finally:
                kills.grid.kill()
