"""Bytes at any place that nobody else can read."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import files_below, new_directory, new_small_disk, new_workers
from truckee.flow import scratch_file
from truckee.flow.scratch_file import BLOCK, ScratchFile, TooScattered
from truckee.flow.spool import SpoolDiskFull

# Places around the edges of blocks, where all that can go wrong does.
PLACES = st.integers(0, 3).flatmap(
    lambda block: st.integers(-20, 20).map(lambda near: max(0, block * BLOCK + near))
)
WRITES = st.lists(
    st.tuples(st.sampled_from(["write", "write", "cut"]), PLACES, st.integers(0, 40_000)),
    max_size=12,
)


class DirectWorkers:
    """Threads without threads."""

    async def run(self, work, *args):  # type: ignore[no-untyped-def]
        """Do it now."""
        return work(*args)


class ContentTests(SynchronousTestCase):
    @given(WRITES, st.randoms(use_true_random=False))
    @settings(max_examples=60)
    def test_as_in_memory(self, writes: list[tuple[str, int, int]], random: Random) -> None:
        """What is read is what was written last, wherever and how often that was."""
        directory = new_directory(self)
        file = ScratchFile(DirectWorkers(), str(directory))  # type: ignore[arg-type]
        expected = bytearray(200_000)

        async def work() -> None:
            for kind, offset, length in writes:
                if kind == "cut":
                    file.cut(offset)
                    continue
                data = random.randbytes(length)
                expected[offset : offset + length] = data
                await file.write([(offset, data)])
            for start, end in file.written:
                found = await file.read(start, end - start)
                self.assertEqual(found, bytes(expected[start:end]))
            await file.close()

        self.successResultOf(Deferred.fromCoroutine(work()))


class KeyStreamTests(SynchronousTestCase):
    def test_no_stream_is_used_twice(self) -> None:
        """Two contents of a place never share a key stream: their difference is noise."""
        directory = new_directory(self)
        file = ScratchFile(DirectWorkers(), str(directory))  # type: ignore[arg-type]

        async def stored() -> bytes:
            return os.pread(file._descriptor, 4 * BLOCK, 0)

        async def work() -> None:
            first, second = bytes(3 * BLOCK), b"\xff" * (3 * BLOCK)
            await file.write([(0, first)])
            before = await stored()
            file.cut(0)
            await file.write([(100, second[:-200])])
            after = await stored()
            mixed = bytes(a ^ b for a, b in zip(before, after, strict=True))
            self.assertNotIn(b"\xff" * 16, mixed)
            self.assertNotIn(bytes(16), mixed[: 3 * BLOCK])
            # Nor do neighbours, one of which was written twice.
            self.assertNotEqual(after[:BLOCK], after[BLOCK : 2 * BLOCK])
            await file.close()

        self.successResultOf(Deferred.fromCoroutine(work()))


class FileTests(TestCase):
    timeout = 120

    async def test_no_name_and_no_plaintext(self) -> None:
        """The directory shows nothing; a descriptor shows noise; closing frees it."""
        directory = new_directory(self)
        file = ScratchFile(new_workers(self), str(directory))
        content = b"nobody may read this " * 5000
        await file.write([(0, content), (1 << 20, content)])
        self.assertEqual(list(files_below(directory)), [])
        stored = os.pread(file._descriptor, 2 << 20, 0)
        self.assertNotIn(content[:20], stored)
        self.assertEqual(await file.read(1 << 20, len(content)), content)
        await file.close()
        with self.assertRaises(OSError):
            await file.write([(0, b"x")])

    async def test_full_disk(self) -> None:
        """A full disk is said, and what was written before is still there."""
        file = ScratchFile(new_workers(self), str(new_small_disk(self, 4 << 20)))
        await file.write([(0, b"a" * 1000)])
        with self.assertRaises(SpoolDiskFull):
            for number in range(1000):
                await file.write([((number + 1) << 20, os.urandom(1 << 20))])
        self.assertEqual(await file.read(0, 1000), b"a" * 1000)
        await file.close()

    async def test_bounded_memory(self) -> None:
        """Whoever writes single bytes everywhere is refused at some point."""
        self.patch(scratch_file, "MOST_RANGES", 10)
        file = ScratchFile(new_workers(self), str(Path(new_directory(self))))
        with self.assertRaises(TooScattered):
            await file.write([(2 * number, b"x") for number in range(12)])
        await file.close()
