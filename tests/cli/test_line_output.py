"""What is written to files and to pipes whose readers are slow, or gone."""

from __future__ import annotations

import os

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, new_directory
from truckee.cli.line_output import LineOutput

DATA = b"0123456789abcdef" * 40_000  # more than a pipe takes


class LineOutputTests(TestCase):
    def test_file(self) -> None:
        """A file takes all at once."""
        path = new_directory(self) / "file"
        with path.open("wb") as file:
            writing = Deferred.fromCoroutine(LineOutput(file.fileno(), REACTOR).write(DATA))
            self.successResultOf(writing)
        self.assertEqual(path.read_bytes(), DATA)

    async def test_pipe(self) -> None:
        """A slow reader blocks nothing else, and gets all."""
        reader, writer = os.pipe()
        writing = Deferred.fromCoroutine(LineOutput(writer, REACTOR).write(DATA))
        self.assertNoResult(writing)
        got = bytearray()
        while not writing.called:
            got += os.read(reader, 10_000)
            turned: Deferred[None] = Deferred()
            REACTOR.callLater(0, turned.callback, None)
            await turned
        await writing
        os.close(writer)
        while more := os.read(reader, 1 << 20):
            got += more
        os.close(reader)
        self.assertEqual(bytes(got), DATA)

    async def test_cancelled(self) -> None:
        """Whoever waits for a reader can be cancelled."""
        reader, writer = os.pipe()
        writing = Deferred.fromCoroutine(LineOutput(writer, REACTOR).write(DATA))
        writing.cancel()
        await self.assertFailure(writing, CancelledError)
        os.close(reader)
        os.close(writer)

    async def test_gone(self) -> None:
        """A reader that goes away is noticed, also while it is waited for."""
        reader, writer = os.pipe()
        writing = Deferred.fromCoroutine(LineOutput(writer, REACTOR).write(DATA))
        self.assertNoResult(writing)
        os.close(reader)
        await self.assertFailure(writing, BrokenPipeError)
        writing = Deferred.fromCoroutine(LineOutput(writer, REACTOR).write(b"x"))
        await self.assertFailure(writing, BrokenPipeError)
        os.close(writer)
