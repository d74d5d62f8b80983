"""Shares that outlive their writers, over HTTPS: what the server answers, and when."""

from __future__ import annotations

import os
from collections.abc import Set
from typing import Any

import cbor2
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.contracts.storage_server import INDEX
from tests.grids import OTHER_SECRETS, SECRETS, until
from tests.storage.gbs_served import Served, close, keep_shares, new_client
from truckee.codec import base32
from truckee.codec.hashes import block_hash
from truckee.codec.secrets import LeaseSecrets, upload_secret
from truckee.storage import gbs_kept_schema, gbs_schema
from truckee.storage.gbs_connection import Reply
from truckee.storage.gbs_kept_schema import Opening
from truckee.storage.interfaces import MAX_HASHED, IKeptShares, Opened, ShareClosed
from truckee.storage.kept_shares import KeptShares
from truckee.storage.quotas import QuotaLimits

ANY = range(1000)
HOME = f"/truckee/kept/{base32.encode(INDEX)}"
LEASE = gbs_schema.lease_headers(SECRETS)
UPLOAD = (gbs_schema.UPLOAD, b"u" * 32)
OTHER_UPLOAD = (gbs_schema.UPLOAD, b"v" * 32)
WRITER, OTHER_WRITER = b"a" * 26, b"b" * 26
DATA = os.urandom(3 << 20)


class ServedCase(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.served = Served.new(self)
        self.kept: KeptShares = keep_shares(self.served.disk)
        self.client = new_client(self, self.served.nurl)

    async def ask(
        self, method: str, path: str, writer: bytes = WRITER, **options: Any
    ) -> Reply:
        """Return the reply to a request of any form."""
        headers = {b"X-Truckee-Writer": writer, **options.pop("headers", {})}
        if not writer:
            del headers[b"X-Truckee-Writer"]
        options = {"good": ANY, "secrets": [UPLOAD], **options}
        return await self.client.ask("x", method.encode(), path, headers=headers, **options)

    async def status(self, method: str, path: str, **options: Any) -> int:
        return (await self.ask(method, path, **options)).status

    async def open(
        self, *shares: int, size: int = 1 << 40, open_ended: bool = True, **options: Any
    ) -> dict[int, int]:
        """Open shares with the upload secret of these tests; return their lengths."""
        body = gbs_kept_schema.encode_open(Opening(set(shares), size, open_ended))
        options = {"secrets": [*LEASE, UPLOAD], **options}
        reply = await self.ask("POST", HOME, body=body, **options)
        self.assertEqual(reply.status, 200, reply.body)
        return dict(gbs_kept_schema.parse_opened(reply.body, set(shares), size)[1])

    async def put(
        self, begin: int, data: bytes, told: bytes | None = None, **options: Any
    ) -> int:
        """Write to share 0; return the status."""
        headers = {
            b"Content-Type": gbs_schema.OCTETS,
            b"Content-Range": told or gbs_schema.content_range(begin, begin + len(data)),
        }
        return await self.status(
            "PATCH", f"{HOME}/0", body=data, headers=headers, **options
        )

    async def finish(self, size: int) -> bytes:
        """Close share 0; return what it has."""
        body = gbs_kept_schema.encode_close(size)
        self.assertEqual(await self.status("POST", f"{HOME}/0/close", body=body), 204)
        reader = (await self.client.buckets(INDEX))[0]
        return await reader.read(0, size + 1)


class RequestTests(ServedCase):
    async def test_not_kept(self) -> None:
        """A server that keeps no shares has no such paths, and does not say it does."""
        self.served.disk.kept = None
        reply = await self.ask("GET", "/version", b"", secrets=[])
        self.assertFalse(reply.headers.hasHeader(b"X-Truckee-Keeps-Shares"))
        for path in (HOME, f"{HOME}/0", f"{HOME}/0/close"):
            self.assertEqual(await self.status("POST", path), 404)
        self.assertEqual((await self.client.available_space()) > 0, True)
        self.assertIsNone(self.client.kept)
        self.assertFalse(self.client.takes_open_ends)

    async def test_kept(self) -> None:
        """One that keeps them says so."""
        reply = await self.ask("GET", "/version", b"", secrets=[])
        self.assertEqual(reply.headers.getRawHeaders(b"X-Truckee-Keeps-Shares"), [b"1"])
        self.assertIsNone(self.client.kept)
        await self.client.available_space()
        self.assertIsNotNone(self.client.kept)
        self.assertTrue(self.client.takes_open_ends)

    async def test_requests(self) -> None:
        """A share goes from request to request; the answers are those of the page."""
        reply = await self.ask("GET", HOME, b"")
        self.assertEqual((reply.status, cbor2.loads(reply.body)), (200, {}))
        self.assertEqual(await self.open(0, 7, size=len(DATA)), {0: 0, 7: 0})
        self.assertEqual(await self.put(1 << 20, DATA[1 << 20 :]), 204)
        self.assertEqual(await self.put(0, DATA[: 1 << 20]), 204)
        reply = await self.ask("GET", HOME, b"")
        self.assertEqual(cbor2.loads(reply.body), {0: len(DATA), 7: 0})
        body = gbs_kept_schema.encode_hashes(5, 1000, 2)
        reply = await self.ask("POST", f"{HOME}/0/hashes", body=body)
        hashes = block_hash(DATA[5:1005]) + block_hash(DATA[1005:2005])
        self.assertEqual((reply.status, reply.body), (200, hashes))
        self.assertEqual(await self.status("PUT", f"{HOME}/7/abort"), 204)
        self.assertEqual(await self.status("PUT", f"{HOME}/0/leave"), 204)
        self.assertEqual(await self.put(0, b"x"), 404)
        self.assertEqual(await self.open(0, size=len(DATA)), {0: len(DATA)})
        self.assertEqual(await self.finish(len(DATA)), DATA)
        for path in (f"{HOME}/0/leave", f"{HOME}/0/abort", f"{HOME}/7/abort"):
            self.assertEqual(await self.status("PUT", path), 404)
        self.assertEqual(await self.open(0), {})

    async def test_paths(self) -> None:
        """What is no path is 404, another method 405."""
        for path in (
            "/truckee",
            "/truckee/kept",
            "/truckee/kept/",
            HOME[:-1],
            f"{HOME}/256",
            f"{HOME}/01",
            f"{HOME}/0/no",
            f"{HOME}/0/close/0",
        ):
            self.assertEqual(await self.status("PATCH", path), 404, path)
        for method, path in (
            ("PUT", HOME),
            ("GET", f"{HOME}/0"),
            ("PUT", f"{HOME}/0/hashes"),
            ("PUT", f"{HOME}/0/close"),
            ("POST", f"{HOME}/0/leave"),
            ("POST", f"{HOME}/0/abort"),
        ):
            reply = await self.ask(method, path)
            self.assertEqual(reply.status, 405, path)
            self.assertTrue(reply.headers.hasHeader("Allow"))

    async def test_secrets_and_writers(self) -> None:
        """Each request has its secrets, and says who writes, before its body is read."""
        for secrets in ([], [UPLOAD], LEASE, [*LEASE, UPLOAD, ("write-enabler", b"w")]):
            self.assertEqual(await self.status("POST", HOME, secrets=secrets), 400)
        await self.open(0)
        for method, path in (
            ("PATCH", f"{HOME}/0"),
            ("POST", f"{HOME}/0/hashes"),
            ("POST", f"{HOME}/0/close"),
            ("PUT", f"{HOME}/0/leave"),
            ("PUT", f"{HOME}/0/abort"),
        ):
            for secrets in ([], [*LEASE, UPLOAD]):
                self.assertEqual(await self.status(method, path, secrets=secrets), 400)
            for writer in (b"", b"a" * 25, b"A" * 26, b"a" * 27):
                self.assertEqual(await self.status(method, path, writer=writer), 400)
            # Another upload; and another writer of this one.
            status = await self.status(method, path, secrets=[OTHER_UPLOAD])
            self.assertEqual(status, 409)
            self.assertEqual(await self.status(method, path, writer=OTHER_WRITER), 404)
        self.assertEqual(await self.status("GET", HOME, secrets=LEASE), 400)
        self.assertEqual(await self.put(0, b"1234"), 204)
        self.assertEqual(await self.finish(4), b"1234")

    async def test_bad_bodies(self) -> None:
        """Bodies that are no question are refused, and the share goes on."""
        await self.open(0)
        secrets = [*LEASE, UPLOAD]
        good = {"share-numbers": {1}, "size": 8, "open-ended": True}
        for wrong, status in (
            (b"nonsense", 400),
            (bytes(8193), 413),
            (cbor2.dumps({**good, "more": 1}), 400),
            (cbor2.dumps({**good, "share-numbers": [1]}), 400),
            (cbor2.dumps({**good, "share-numbers": {256}}), 400),
            (cbor2.dumps({**good, "size": -1}), 400),
            (cbor2.dumps({**good, "size": (1 << 62) + 1}), 400),
            (cbor2.dumps({**good, "size": 1 << 63}), 400),
            (cbor2.dumps({**good, "size": 1 << 64}), 400),
            (cbor2.dumps({**good, "size": (1 << 63), "open-ended": False}), 400),
            (cbor2.dumps({**good, "open-ended": 1}), 400),
        ):
            reply = await self.ask("POST", HOME, secrets=secrets, body=wrong)
            self.assertEqual(reply.status, status, wrong)
        for body, status in (
            (b"", 400),
            (bytes(1025), 413),
            (cbor2.dumps({"size": (1 << 40) + 1}), 416),
            (cbor2.dumps({"size": True}), 400),
        ):
            reply = await self.ask("POST", f"{HOME}/0/close", body=body)
            self.assertEqual(reply.status, status, body)
        for pieces in ((0, 0, 1), (-1, 1, 1), (0, 1, 4097), (0, MAX_HASHED + 1, 1)):
            body = gbs_kept_schema.encode_hashes(*pieces)
            reply = await self.ask("POST", f"{HOME}/0/hashes", body=body)
            self.assertEqual(reply.status, 400, pieces)
        self.assertEqual(await self.put(0, b"1234"), 204)
        self.assertEqual(await self.finish(4), b"1234")
        self.assertEqual(self.served.storage._quotas.total, 0)

    async def test_bad_ranges(self) -> None:
        """What is no range of the share is refused; of a short body what came is there."""
        await self.open(0, size=8)
        for told in (b"bytes 0-0", b"nonsense", b"bytes 7-8/*", b"bytes 0-99/*"):
            self.assertEqual(await self.put(0, b"12", told=told), 416)
        self.assertEqual(await self.put(0, b"1", told=b"bytes 0-7/*"), 400)
        self.assertEqual(await self.put(0, b"1x", told=b"bytes 0-0/*"), 204)
        self.assertEqual(await self.finish(8), b"1" + bytes(7))


class WriterTests(ServedCase):
    async def kept_by(self, client: Any) -> IKeptShares:
        await client.version()
        kept: IKeptShares = client.kept
        return kept

    async def begin(
        self, kept: IKeptShares, shares: Set[int], secrets: LeaseSecrets = SECRETS
    ) -> Opened:
        secret = upload_secret(secrets)
        return await kept.open(INDEX, secrets, secret, shares, 1 << 40, True)

    async def test_connections_lost(self) -> None:
        """Without its connections a share is still its writer's, and nobody else's."""
        first = (await self.begin(await self.kept_by(self.client), {0})).writers[0]
        await first.write(0, [DATA])
        await close(self.client)
        client = new_client(self, self.served.nurl)
        kept = await self.kept_by(client)
        self.assertEqual((await self.begin(kept, {0}, OTHER_SECRETS)).writers, {})
        second = (await self.begin(kept, {0})).writers[0]
        self.assertEqual(second.length, len(DATA))
        # What the first one still sends comes too late.
        for late in (first.write(0, [b"x"]), first.close(1)):
            with self.assertRaises(ShareClosed):
                await late
        await first.abort()
        await second.close(len(DATA))
        reader = (await client.buckets(INDEX))[0]
        self.assertEqual(await reader.read(0, len(DATA)), DATA)

    async def test_idle(self) -> None:
        """A share to which nothing was written for half an hour is left."""
        clock = self.served.storage._kept._reactor = Clock()
        opened = await self.begin(await self.kept_by(self.client), {0, 1})
        for writer in opened.writers.values():
            await writer.write(0, [b"1234"])
        clock.advance(29 * 60)
        await opened.writers[0].write(0, [b"1234"])
        clock.advance(2 * 60)
        await until(lambda: len(self.served.disk._writers) == 1)
        with self.assertRaises(ShareClosed):
            await opened.writers[1].write(0, [b"1234"])
        self.assertEqual(self.served.storage._quotas.total, 1)
        await opened.writers[0].close(4)
        self.assertEqual(clock.getDelayedCalls(), [])
        found = await self.kept.unfinished(INDEX, upload_secret(SECRETS))
        self.assertEqual(found, {1: 4})

    async def test_stop(self) -> None:
        """What is open when the server stops is kept."""
        opened = await self.begin(await self.kept_by(self.client), {0, 1})
        await opened.writers[0].write(0, [b"1234"])
        self.served.storage.stop()
        await until(lambda: not self.served.disk._writers)
        found = await self.kept.unfinished(INDEX, upload_secret(SECRETS))
        self.assertEqual(found, {0: 4})

    async def test_over_foolscap_meanwhile(self) -> None:
        """A share that was taken over in another way is nobody's any more here."""
        opened = await self.begin(await self.kept_by(self.client), {0})
        other = (await self.begin(self.kept, {0})).writers[0]
        with self.assertRaises(ShareClosed):
            await opened.writers[0].write(0, [b"1234"])
        await other.abort()
        assert self.client.kept is not None
        again = (await self.begin(self.client.kept, {0})).writers[0]
        await opened.writers[0].abort()
        await again.write(0, [b"1234"])
        await again.close(4)
        self.assertEqual(self.served.storage._quotas.total, 0)


class QuotaTests(ServedCase):
    async def test_many(self) -> None:
        """A peer has so many shares in progress; whatever ends one makes room."""
        quotas = self.served.storage._quotas
        quotas.limits = QuotaLimits(shares=32, share_part=8, space_part=1)
        self.assertEqual(set(await self.open(0, 1, 2, 3, 4, 5)), {0, 1, 2, 3})
        self.assertEqual(await self.open(4), {})
        # Opened again they are the same ones.
        self.assertEqual(set(await self.open(0, 1, 2, 3)), {0, 1, 2, 3})
        self.assertEqual(quotas.total, 4)
        self.assertEqual(await self.status("PUT", f"{HOME}/1/abort"), 204)
        self.assertEqual(await self.status("PUT", f"{HOME}/2/leave"), 204)
        await self.finish(0)
        self.assertEqual(quotas.total, 1)
        self.assertEqual(set(await self.open(4, 5, 6, 7)), {4, 5, 6})

    async def test_space(self) -> None:
        """A peer may have its part of what is free; what is there counts no more."""
        self.served.storage._quotas.limits = QuotaLimits(space_part=2)
        disk = self.served.disk
        disk.reserved_space = disk.directory.free_space() - (100 << 20)
        size = 40 << 20
        self.assertEqual(set(await self.open(0, 1, size=size, open_ended=False)), {0})
        for at in range(0, 30 << 20, len(DATA)):
            self.assertEqual(await self.put(at, DATA), 204)
        self.assertEqual(await self.status("PUT", f"{HOME}/0/leave"), 204)
        # A new share of this size is more than half of what is free.
        disk.reserved_space = disk.directory.free_space() - (60 << 20)
        self.assertEqual(set(await self.open(0, 1, size=size, open_ended=False)), {0})
