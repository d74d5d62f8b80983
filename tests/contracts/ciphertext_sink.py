"""What every ``ICiphertextSink`` does."""

from __future__ import annotations

import random

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from tests.grids import make_file, pause
from truckee.codec.caps import ChkVerifyCap
from truckee.codec.cipher import crypt
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of
from truckee.immutable.upload.sinks import ICiphertextSink, WrongSize

KEY = b"k" * 16
INDEX = storage_index_of(KEY)
ENCODING = Encoding(2, 3, 64)


class CiphertextSinkContract(TestCase):
    """Derive from this, and say how a sink is opened and what it left."""

    timeout = 120

    async def open(self, size: int | None) -> ICiphertextSink:
        """Return a sink for a file under KEY with ENCODING."""
        raise NotImplementedError

    async def read(self, cap: ChkVerifyCap) -> bytes:
        """Return the ciphertext that was stored."""
        raise NotImplementedError

    def assert_nothing_left(self) -> None:
        """Nothing of the file is anywhere, and no memory is in use."""
        raise NotImplementedError

    async def forget(self) -> None:
        """Remove the file that was stored."""
        raise NotImplementedError

    def ciphertext(self, size: int) -> tuple[bytes, ChkVerifyCap, ChkVerifyCap]:
        """Return a file, and its caps when its size is known and when it is not."""
        plaintext = random.Random(size).randbytes(size)
        caps = [
            make_file(plaintext, KEY, ENCODING, streamed).cap for streamed in (False, True)
        ]
        return crypt(KEY, 0, plaintext), caps[0].verify_cap(), caps[1].verify_cap()

    async def test_interface(self) -> None:
        """It has all the methods."""
        sink = await self.open(100)
        verifyObject(ICiphertextSink, sink)
        self.assertGreater(sink.chunk_size, 0)
        await sink.abort()
        self.assert_nothing_left()

    async def test_store(self) -> None:
        """Chunks of any size become the file of the published format."""
        for size in (1, 56, 63, 64, 65, 128, 1000):
            data, sized, streamed = self.ciphertext(size)
            for known in (True, False):
                for chunk in (1, 64, 65, size):
                    sink = await self.open(size if known else None)
                    for start in range(0, size, chunk):
                        await sink.write(memoryview(data)[start : start + chunk])
                    cap = await sink.close()
                    self.assertEqual(cap, sized if known else streamed)
                    self.assertEqual(await self.read(cap), data)
                    await self.forget()

    async def test_wrong_size(self) -> None:
        """More or less than was promised is refused."""
        data, _, _ = self.ciphertext(200)
        for promised in (100, 199, 201, 1000):
            sink = await self.open(promised)
            with self.assertRaises(WrongSize):
                for start in range(0, 200, 50):
                    await sink.write(data[start : start + 50])
                await sink.close()
            await sink.abort()
            self.assert_nothing_left()

    async def test_abort(self) -> None:
        """Aborted after any number of writes, once or twice, it leaves nothing."""
        data, _, _ = self.ciphertext(500)
        for known in (True, False):
            for written in range(0, 501, 100):
                sink = await self.open(500 if known else None)
                for start in range(0, written, 100):
                    await sink.write(data[start : start + 100])
                await sink.abort()
                await sink.abort()
                self.assert_nothing_left()

    async def test_abort_meanwhile(self) -> None:
        """Aborted after a write or a close that was cancelled, it leaves nothing."""
        data, _, _ = self.ciphertext(1000)
        rng = random.Random(1)
        for turn in range(60):
            sink = await self.open(1000 if turn % 2 else None)

            async def work(sink: ICiphertextSink = sink) -> None:
                for start in range(0, 1000, 100):
                    await sink.write(data[start : start + 100])
                await sink.close()

            working = Deferred.fromCoroutine(work())
            await pause(rng.random() * 0.02)
            working.cancel()
            try:
                await working
            except CancelledError:
                await sink.abort()
                self.assert_nothing_left()
            else:
                await sink.abort()
                await self.forget()

    async def test_abort_after_close(self) -> None:
        """What was closed stays, whatever is aborted then."""
        data, sized, _ = self.ciphertext(300)
        sink = await self.open(300)
        await sink.write(data)
        self.assertEqual(await sink.close(), sized)
        await sink.abort()
        self.assertEqual(await self.read(sized), data)
