"""Clients that want too much of the shares that a server keeps, over HTTPS."""

from __future__ import annotations

import os
import tracemalloc

from twisted.internet.defer import Deferred

from tests.grids import until
from tests.storage.test_gbs_kept import (
    HOME,
    LEASE,
    OTHER_UPLOAD,
    UPLOAD,
    WRITER,
    ServedCase,
)
from tests.storage.test_gbs_server import head, raw
from truckee.codec import base32
from truckee.codec.hashes import block_hash
from truckee.storage import gbs_kept_schema, gbs_schema
from truckee.storage.gbs_connection import Reply
from truckee.storage.gbs_kept_schema import Opening
from truckee.storage.interfaces import MAX_HASHED, MAX_KEPT_SIZE
from truckee.storage.quotas import QuotaLimits

MIB = 1 << 20


class GreedyTests(ServedCase):
    async def hashes(self, share: int, piece: int) -> Reply:
        """Ask for the hash of the first piece of a share."""
        body = gbs_kept_schema.encode_hashes(0, piece, 1)
        return await self.ask("POST", f"{HOME}/{share}/hashes", body=body)

    async def test_far_away(self) -> None:
        """Bytes at places that no disk has are refused clearly; the share stays."""
        await self.open(0, size=MAX_KEPT_SIZE)
        self.assertEqual(await self.put(0, b"1234"), 204)
        for offset in (MAX_KEPT_SIZE - 1, 1 << 61, 1 << 50):
            # There are disks that have room for so large a hole.
            self.assertIn(await self.put(offset, b"x"), (204, 507), offset)
        self.assertEqual(await self.put(MAX_KEPT_SIZE, b"x"), 416)
        for last in (1 << 63, (1 << 64) - 1, 1 << 64):
            self.assertEqual(await self.put(0, b"x", b"bytes 0-%d/*" % last), 416)
        self.assertEqual(await self.finish(4), b"1234")

    async def test_cut_bodies(self) -> None:
        """Who leaves in the middle of a body leaves the share as far as he came."""
        await self.open(0)
        for _ in range(20):
            talk = await raw(self, self.served.nurl)
            talk.transport.write(
                head(
                    f"PATCH /storage/v1{HOME}/0 HTTP/1.1",
                    f"Content-Length: {8 * MIB}",
                    f"Content-Range: bytes 0-{8 * MIB - 1}/*",
                    f"X-Truckee-Writer: {WRITER.decode()}",
                    f"X-Tahoe-Authorization: {gbs_schema.secret_header(*UPLOAD).decode()}",
                )
            )
            talk.transport.write(bytes(MIB))
            talk.transport.loseConnection()
            await until(lambda talk=talk: talk.lost)  # type: ignore[misc]
        self.assertEqual(await self.put(0, b"1234"), 204)
        self.assertEqual(await self.finish(4), b"1234")

    async def test_another_upload(self) -> None:
        """Who has another secret neither reads, writes, ends nor counts a share."""
        await self.open(0)
        self.assertEqual(await self.put(0, b"1234"), 204)
        theirs = [OTHER_UPLOAD]
        self.assertEqual(await self.put(0, b"evil", secrets=theirs), 409)
        for path in ("hashes", "close"):
            status = await self.status(
                "POST", f"{HOME}/0/{path}", body=b"\xa0", secrets=theirs
            )
            self.assertEqual(status, 409)
        for path in ("leave", "abort"):
            self.assertEqual(
                await self.status("PUT", f"{HOME}/0/{path}", secrets=theirs), 409
            )
        reply = await self.ask("GET", HOME, secrets=theirs)
        self.assertEqual(gbs_kept_schema.parse_unfinished(reply.body), {})
        self.assertEqual(await self.open(0, secrets=[*LEASE, OTHER_UPLOAD]), {})
        self.assertEqual(await self.finish(4), b"1234")

    async def test_many_allocations(self) -> None:
        """Of 10,240 shares a client has his part, in little memory; others get theirs."""
        quotas = self.served.storage._quotas
        quotas.limits = QuotaLimits(shares=512)
        opening = gbs_kept_schema.encode_open(Opening(set(range(256)), 1 << 40, True))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        opened, before = 0, 0
        for number in range(40):
            index = base32.encode(b"%016d" % number)
            reply = await self.ask(
                "POST",
                f"/truckee/kept/{index}",
                body=opening,
                secrets=[*LEASE, UPLOAD],
            )
            self.assertEqual(reply.status, 200)
            opened += len(gbs_kept_schema.parse_opened(reply.body, set(range(256)), 1)[1])
            if not number:
                before = tracemalloc.get_traced_memory()[0]
        self.assertEqual(opened, quotas.limits.shares // quotas.limits.share_part)
        self.assertEqual(quotas.total, opened)
        self.assertLess(tracemalloc.get_traced_memory()[0] - before, MIB)
        self.assertEqual(len(quotas.claim("another", range(10), 0, 0)), 10)
        # None has a byte: with its client it goes.
        self.served.storage.stop()
        await until(lambda: not self.served.disk._writers)
        kept = self.served.disk.directory.kept_root
        self.assertEqual([name for _, _, names in os.walk(kept) for name in names], [])

    async def test_many_hashes(self) -> None:
        """Hashes of long pieces are made one at a time, and not in as much memory."""
        data = bytes(MIB)
        await self.open(*range(8), size=1 << 30)
        for share in range(8):
            status = await self.status(
                "PATCH",
                f"{HOME}/{share}",
                body=b"x",
                headers={
                    b"Content-Range": gbs_schema.content_range(MAX_HASHED, MAX_HASHED + 1)
                },
            )
            self.assertEqual(status, 204)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        asked = [Deferred.fromCoroutine(self.hashes(n, MAX_HASHED)) for n in range(8)]
        expected = block_hash(data * (MAX_HASHED // MIB))
        tracemalloc.reset_peak()
        for each in asked:
            self.assertEqual((await each).body, expected)
        self.assertLess(tracemalloc.get_traced_memory()[1], 16 * MIB)
