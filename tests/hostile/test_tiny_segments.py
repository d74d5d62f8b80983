"""A cap whose file is cut into very many very small segments: each costs little."""

from __future__ import annotations

import time

from twisted.trial.unittest import TestCase

from tests.grids import Grid, make_file, put_share
from truckee.codec.geometry import Encoding

KEY = b"k" * 16
SIZE = 6000


class TinySegmentTests(TestCase):
    timeout = 120

    async def test_cost(self) -> None:
        """Segments of 1 and of 3 bytes are read in runs, and handed out in few pieces."""
        for encoding in (Encoding(1, 1, 1), Encoding(3, 10, 3)):
            grid = Grid.new(self, encoding)
            plaintext = bytes(n % 251 for n in range(SIZE))
            made = make_file(plaintext, KEY, encoding)
            for number, share in enumerate(made.shares):
                put_share(grid.servers[number % 3], made.cap.storage_index, number, share)
            segments = made.layout.geometry.segments
            began = time.process_time()
            download = (await grid.downloader.open(made.cap)).read(0, SIZE)
            pieces = [piece async for piece in download]
            download.stop()
            self.assertEqual(b"".join(pieces), plaintext)
            self.assertLess(len(pieces), segments // 4)
            reads = sum(server.reads for server in grid.servers)
            self.assertLess(reads, segments * encoding.needed // 4)
            # 0.35 ms for each before: 2 s.
            self.assertLess(time.process_time() - began, 1.5)

    async def test_ranges(self) -> None:
        """Any range of them is what it must be."""
        for size in (1, 7, 30):
            encoding = Encoding(1, 2, size)
            grid = Grid.new(self, encoding)
            plaintext = bytes(n % 251 for n in range(500))
            made = make_file(plaintext, KEY, encoding)
            for number, share in enumerate(made.shares):
                put_share(grid.servers[number], made.cap.storage_index, number, share)
            for start, end in ((0, 500), (0, 1), (499, 500), (3, 64), (13, 333), (29, 31)):
                found = await grid.read(made.cap, start, end)
                self.assertEqual(found, plaintext[start:end], (size, start, end))
            self.assertEqual(grid.downloader._holdings.budget.used, 0)
