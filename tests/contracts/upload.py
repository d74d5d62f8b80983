"""What every ``IUpload`` does."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from tests.grids import Grid, in_chunks, until
from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.codec.geometry import LITERAL_LIMIT
from truckee.codec.hashes import Buffer
from truckee.errors import Misuse, TruckeeError
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.uploader import Cap
from truckee.uploads.errors import AlreadyStored, NotTheEnd, WrongOffset
from truckee.uploads.interfaces import IUpload

SIZES = (0, 1, LITERAL_LIMIT, LITERAL_LIMIT + 1, 1000)


@define
class Refusal(Misuse):
    """These are other bytes."""


@define(eq=False)
class Refuses:
    """A digest that finds the bytes wrong."""

    seen: int = 0

    def update(self, data: Buffer, /) -> None:
        self.seen += len(data)

    def check(self) -> None:
        raise Refusal


class UploadContract(TestCase):
    """Derive from this, and say how an upload is opened."""

    timeout = 120
    grid: Grid

    async def new_upload(self, options: UploadOptions) -> IUpload:
        """Return an upload to ``grid``."""
        raise NotImplementedError

    async def assert_gone(self, upload: IUpload) -> None:
        """Nothing of *upload* is left anywhere, and no memory is in use."""
        self.assertEqual(self.grid.budget.used, 0)
        self.assertEqual(self.grid.files, [])

    async def read(self, cap: Cap) -> bytes:
        """Return the file of *cap*."""
        if isinstance(cap, LiteralCap):
            return cap.data
        assert isinstance(cap, ChkReadCap)
        return await self.grid.read(cap)

    async def test_interface(self) -> None:
        """It has all the methods."""
        upload = await self.new_upload(UploadOptions())
        verifyObject(IUpload, upload)
        self.assertEqual(upload.offset, 0)
        await upload.abort()

    async def test_store(self) -> None:
        """What is appended is read by the cap, in however many pieces it came."""
        for size in SIZES:
            data = random.Random(size).randbytes(size)
            for pieces in ([data], [data[:7], b"", data[7:]]):
                for known in (size, None):
                    upload = await self.new_upload(UploadOptions(size=known))
                    for piece in pieces:
                        at = await upload.append(upload.offset, in_chunks(piece, 100))
                        self.assertEqual(at, upload.offset)
                    cap = await upload.close(size)
                    self.assertEqual(await upload.close(), cap)
                    self.assertEqual(await self.read(cap), data)

    async def test_wrong_offset(self) -> None:
        """Bytes that leave a gap are refused, and nothing is lost by that."""
        upload = await self.new_upload(UploadOptions())
        await upload.append(None, in_chunks(b"a" * 100, 30))
        with self.assertRaises(WrongOffset):
            await upload.append(101, in_chunks(b"c", 1))
        self.assertEqual(upload.offset, 100)
        await upload.append(100, in_chunks(b"b" * 100, 30))
        cap = await upload.close()
        self.assertEqual(await self.read(cap), b"a" * 100 + b"b" * 100)

    async def test_wrong_end(self) -> None:
        """A file of another size is not closed, and stays open."""
        upload = await self.new_upload(UploadOptions())
        await upload.append(0, in_chunks(b"a" * 100, 30))
        for size in (99, 101):
            with self.assertRaises(NotTheEnd):
                await upload.close(size)
        self.assertEqual(await self.read(await upload.close(100)), b"a" * 100)

    async def test_after_the_end(self) -> None:
        """A closed upload takes no more, and is not aborted."""
        upload = await self.new_upload(UploadOptions())
        await upload.append(0, in_chunks(b"a" * 100, 30))
        cap = await upload.close()
        with self.assertRaises(TruckeeError):
            await upload.append(100, in_chunks(b"b", 1))
        with self.assertRaises(AlreadyStored):
            await upload.abort()
        self.assertEqual(await self.read(cap), b"a" * 100)

    async def test_abort(self) -> None:
        """Nothing is left of what is given up, at any point; nor is there a cap."""
        for size in (0, 60, 1000):
            upload = await self.new_upload(UploadOptions())
            if size:
                await upload.append(0, in_chunks(bytes(size), 100))
            await upload.abort()
            await upload.abort()
            with self.assertRaises(TruckeeError):
                await upload.close()
            with self.assertRaises(TruckeeError):
                await upload.append(None, in_chunks(b"a", 1))
            await self.assert_gone(upload)

    async def test_abort_under_way(self) -> None:
        """Who is still appending is told, and nothing is left."""
        upload = await self.new_upload(UploadOptions())
        silent: Deferred[None] = Deferred()

        async def chunks() -> AsyncIterator[bytes]:
            yield bytes(500)
            await silent

        appending = Deferred.fromCoroutine(upload.append(0, chunks()))
        await until(lambda: upload.offset == 500)
        await upload.abort()
        error = await self.assertFailure(appending, TruckeeError, CancelledError)
        self.assertIsNotNone(error)
        await self.assert_gone(upload)

    async def test_digest(self) -> None:
        """There is no cap with bytes that their digest refuses."""
        upload, digest = await self.new_upload(UploadOptions()), Refuses()
        with self.assertRaises(Refusal):
            await upload.append(0, in_chunks(b"wrong", 2), digest)
        self.assertEqual(digest.seen, 5)
        try:
            cap = await upload.close()
        except TruckeeError:
            await upload.abort()
        else:
            self.assertEqual(await self.read(cap), b"")

    async def test_broken_body(self) -> None:
        """An error of the chunks is the error of the append."""
        upload = await self.new_upload(UploadOptions())

        async def chunks() -> AsyncIterator[bytes]:
            yield bytes(500)
            raise Refusal

        with self.assertRaises(Refusal):
            await upload.append(0, chunks())
        await upload.abort()
        await self.assert_gone(upload)
