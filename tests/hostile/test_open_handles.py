"""Upload handles that nobody uses keep nobody from uploading."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock

from tests.grids import in_chunks, until
from tests.uploads.opened import OpenCase
from truckee.flow.spool import SpoolUnusable
from truckee.immutable.upload.keys import RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.uploads import registry
from truckee.uploads.append_log import HEADER_SIZE
from truckee.uploads.errors import TooManyOpen, UnknownHandle
from truckee.uploads.registry import OpenLimits, OpenUploads
from truckee.uploads.upload import OpenUpload

MOST = 5


class OpenHandleTests(OpenCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.uploads: OpenUploads = self.new(clock=self.clock, limits=OpenLimits(open=MOST))

    async def begin(self, size: int = 0, client: str = "one") -> OpenUpload:
        """Open an upload of which so many bytes come."""
        upload = await self.uploads.open(UploadOptions(RandomKey()), client=client)
        if size:
            await upload.append(0, in_chunks(bytes(size), 100_000))
        self.clock.advance(1)
        return upload

    def is_there(self, upload: OpenUpload) -> bool:
        """Tell whether *upload* can be gone on with."""
        try:
            self.uploads.find(upload.handle)
        except UnknownHandle:
            return False
        return True

    async def test_any_number(self) -> None:
        """Those without a byte give way, the oldest first; one with some stays."""
        used = await self.begin(10)
        empty = [await self.begin() for _ in range(20 * MOST)]
        self.assertTrue(self.is_there(used))
        there = [self.is_there(each) for each in empty]
        self.assertEqual(there, [False] * (19 * MOST + 1) + [True] * (MOST - 1))
        await empty[-1].append(0, in_chunks(b"hello", 5))

    async def test_descriptors(self) -> None:
        """At rest none has its log open, with bytes or without, also while it is stored."""
        uploads = [await self.begin(size) for size in (0, 1, 100_000)]
        for upload in uploads:
            self.assertFalse(upload.taken.is_open)
            self.assertEqual(await upload.append(None, in_chunks(b"end", 1)), upload.offset)
            self.assertFalse(upload.taken.is_open)
        await uploads[-1].close()
        self.assertFalse(uploads[-1].taken.is_open)

    async def test_descriptor_while_bytes_come(self) -> None:
        """Bytes that a power cut could take keep the log open until they are synced."""
        upload, more = await self.begin(), Deferred[bytes]()
        chunks = iter((succeed(b"hello"), more))

        class Bytes:
            def __aiter__(self) -> AsyncIterator[bytes]:
                return self

            async def __anext__(self) -> bytes:
                return await next(chunks)

        feeding = Deferred.fromCoroutine(upload.append(0, Bytes()))
        await until(lambda: upload.offset == 5)
        self.assertTrue(upload.taken.is_open)
        feeding.addErrback(lambda failure: None)
        more.errback(ConnectionLost())
        await feeding
        self.assertEqual((upload.taken.unsynced, upload.taken.is_open), (0, False))

    async def test_log_cut(self) -> None:
        """A log that somebody cut takes no bytes: there would be a hole before them."""
        upload = await self.begin(100)
        os.truncate(upload.taken.path, HEADER_SIZE + 50)
        await self.assertFailure(
            Deferred.fromCoroutine(upload.append(100, in_chunks(b"x", 1))), SpoolUnusable
        )
        self.assertEqual(upload.offset, 100)

    async def test_a_byte_in_each(self) -> None:
        """Those with little rest for a minute before they give way."""
        little = [await self.begin(1) for _ in range(MOST)]
        with self.assertRaises(TooManyOpen):
            await self.begin()
        self.clock.advance(60)
        await little[0].append(1, in_chunks(b"x", 1))
        await self.begin()
        self.assertEqual(
            [self.is_there(each) for each in little], [True, False, *[True] * 3]
        )

    async def test_much_is_kept(self) -> None:
        """What took long to send does not give way, however long it rests."""
        self.patch(registry, "_LITTLE", 10)
        for _ in range(MOST):
            await self.begin(11)
        self.clock.advance(500)
        with self.assertRaises(TooManyOpen):
            await self.begin()

    async def test_while_bytes_come(self) -> None:
        """One that somebody feeds does not give way."""
        never: Deferred[bytes] = Deferred()

        class Silence:
            def __aiter__(self) -> AsyncIterator[bytes]:
                return self

            async def __anext__(self) -> bytes:
                return await never

        fed = await self.begin()
        feeding = Deferred.fromCoroutine(fed.append(0, Silence()))
        for _ in range(3 * MOST):
            await self.begin()
        self.assertTrue(self.is_there(fed))
        feeding.addErrback(lambda _: None)
        feeding.cancel()

    async def test_other_clients(self) -> None:
        """Who has the most gives way, even if another one's is older."""
        lonely = await self.begin(client="lonely")
        for _ in range(3 * MOST):
            await self.begin(client="greedy")
        self.assertTrue(self.is_there(lonely))

    async def test_expiry(self) -> None:
        """Without a byte it lasts an hour, with one a day."""
        empty, used = await self.begin(), await self.begin(1)
        self.clock.advance(3600)
        self.assertEqual([self.is_there(empty), self.is_there(used)], [False, True])
