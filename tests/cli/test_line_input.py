"""Lines from files and pipes, and where one is in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, new_directory, until
from truckee.cli import line_input
from truckee.cli.line_input import LineInput, Place

TEXT = b"one\ntwo\r\n\nfour"
LINES = [b"one", b"two", b"", b"four"]


async def lines_of(source: LineInput) -> list[bytes | None]:
    """Return all lines that are left."""
    lines = []
    while (read := await source.next()) is not None:
        lines.append(read[0])
    return lines


class LineInputTests(TestCase):
    def file(self, data: bytes) -> BinaryIO:
        """Return an open file."""
        path: Path = new_directory(self) / "file"
        path.write_bytes(data)
        file = path.open("rb", buffering=0)
        self.addCleanup(file.close)
        return file

    def pipe(self) -> tuple[int, int]:
        """Return the ends of a pipe; the one to write is closed by the test."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        return reader, writer

    async def test_file(self) -> None:
        """Lines come without their ends, the last one without any too."""
        source = LineInput(self.file(TEXT).fileno(), REACTOR)
        self.assertEqual(source.total, len(TEXT))
        self.assertEqual(await lines_of(source), LINES)
        self.assertEqual(source.place.offset, len(TEXT))
        self.assertEqual(source.place.number, 4)
        self.assertIsNone(await source.next())

    async def test_from_here(self) -> None:
        """A file that was read in part goes on where it stands."""
        file = self.file(TEXT)
        os.read(file.fileno(), 4)
        source = LineInput(file.fileno(), REACTOR)
        self.assertEqual(source.total, len(TEXT) - 4)
        self.assertEqual(await lines_of(source), LINES[1:])

    async def test_pipe(self) -> None:
        """Byte by byte they are the same, and how many there are is not known."""
        reader, writer = self.pipe()
        source = LineInput(reader, REACTOR)
        self.assertIsNone(source.total)
        reading = Deferred.fromCoroutine(lines_of(source))
        for byte in TEXT:
            self.assertNoResult(reading)
            os.write(writer, bytes([byte]))
            turned: Deferred[None] = Deferred()
            REACTOR.callLater(0, turned.callback, None)
            await turned
        os.close(writer)
        self.assertEqual(await reading, LINES)

    async def test_cancelled(self) -> None:
        """Whoever waits for a line can be cancelled, and nothing is watched any more."""
        reader, writer = self.pipe()
        reading = Deferred.fromCoroutine(LineInput(reader, REACTOR).next())
        reading.cancel()
        await self.assertFailure(reading, CancelledError)
        os.close(writer)

    async def test_too_long(self) -> None:
        """A line that is too long is passed over and counted; it is never stored."""
        self.patch(line_input, "_LONGEST", 100_000)
        data = b"a" * 100_000 + b"\n" + b"b" * 400_000 + b"\nc\n" + b"d" * 100_001
        source = LineInput(self.file(data).fileno(), REACTOR)
        self.assertEqual(await lines_of(source), [b"a" * 100_000, None, b"c", None])
        self.assertEqual(source.place.offset, len(data))

    async def test_skip(self) -> None:
        """What is behind a place is found again; other lines in front of it are noticed."""
        source = LineInput(self.file(TEXT).fileno(), REACTOR)
        places = [Place()]
        while (read := await source.next()) is not None:
            places.append(read[1])
        for number, place in enumerate(places):
            again = LineInput(self.file(TEXT + b"\nmore").fileno(), REACTOR)
            same = await again.skip_to(place)
            self.assertEqual(same, number < 4)  # that line has an end now
            other = LineInput(self.file(TEXT.replace(b"n", b"m")).fileno(), REACTOR)
            self.assertEqual(await other.skip_to(place), number == 0)
            if same:
                self.assertEqual(await lines_of(again), [*LINES, b"more"][number:])
        self.assertFalse(
            await LineInput(self.file(b"one\n").fileno(), REACTOR).skip_to(places[2])
        )

    async def test_turns(self) -> None:
        """However many lines there are at once, the reactor gets its turn."""
        source = LineInput(self.file(b"\n" * 10_000).fileno(), REACTOR)
        reading = Deferred.fromCoroutine(lines_of(source))
        self.assertNoResult(reading)
        await until(lambda: source.place.number == 10_000)
        await reading
