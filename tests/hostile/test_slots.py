"""Peers that ask our slots for what no honest client asks, over both transports."""

from __future__ import annotations

from typing import Any

import cbor2
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred, DeferredList
from twisted.trial.unittest import TestCase

from tests.contracts.slot_server import LEASES, SECRETS, WRITE_ENABLER, writes
from tests.contracts.test_slot_server import (
    foolscap_server,
    new_disk,
    serve_foolscap,
)
from tests.grids import REACTOR, pause
from tests.storage.gbs_served import SWISSNUM, certificate, listen, stop, tub_id
from tests.storage.slot_requests import Refusal, ask, call, home, write_secrets
from truckee.codec import base32
from truckee.storage.gbs_connection import Connections
from truckee.storage.gbs_server import GbsStorage
from truckee.storage.gbs_slot_schema import encode_request
from truckee.storage.interfaces import (
    MAX_SLOT_READS,
    MAX_SLOT_WRITES,
    SlotChange,
    SlotRead,
    SlotWrite,
)
from truckee.storage.slotfiles import OpenSlot

MUTABLE, IMMUTABLE = b"m" * 16, b"i" * 16
CBOR = {"Content-Type": "application/cbor"}


class _Case(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]  # trial waits for it
        self.disk, self.slots = new_disk(self)
        change = {0: writes((0, b"mutable"))}
        await self.slots.test_and_write(MUTABLE, SECRETS, change, [])
        answer = await self.disk.allocate(IMMUTABLE, LEASES, {0}, 9)
        await answer.writers[0].write(0, [b"immutable"])
        await answer.writers[0].close(9)
        await self.connect()

    async def connect(self) -> None:
        """Connect to them."""
        raise NotImplementedError

    def check_text(self, text: str) -> None:
        """No path of ours is in it, and no secret."""
        self.assertNotIn(str(self.disk.directory.root), text)
        self.assertNotIn("/shares/", text)
        self.assertNotIn("Traceback", text)
        self.assertNotIn("www", text)

    async def check_whole(self) -> None:
        """Nothing was changed."""
        data = await self.slots.read(MUTABLE, frozenset(), [SlotRead(0, 100)])
        self.assertEqual(data, {0: [b"mutable"]})
        found = await self.disk.buckets(IMMUTABLE)
        self.assertEqual(await found[0].read(0, 100), b"immutable")


class FoolscapTests(_Case):
    async def connect(self) -> None:
        self.furl = serve_foolscap(self, self.disk, self.slots)
        self.server = await foolscap_server(self, self.furl)

    async def refused(self, method: str, *arguments: Any) -> str:
        """Ask for it; return what is answered."""
        with self.assertRaises(Refusal) as caught:
            await call(self.server.remote, method, *arguments)
        self.check_text(caught.exception.text)
        return str(caught.exception.text)

    async def test_other_kind(self) -> None:
        """An index of one kind asked for as the other is an error that says so."""
        secrets = (WRITE_ENABLER, LEASES.renew, LEASES.cancel)
        write: Any = {0: ([], [(0, b"x")], None)}
        arguments = (MUTABLE, LEASES.renew, LEASES.cancel, {1}, 5, Referenceable())
        for text in (
            await self.refused("get_buckets", MUTABLE),
            await self.refused("allocate_buckets", *arguments),
        ):
            self.assertIn("in use for mutable shares", text)
        for text in (
            await self.refused("slot_readv", IMMUTABLE, [], [(0, 1)]),
            await self.refused(
                "slot_testv_and_readv_and_writev", IMMUTABLE, secrets, write, []
            ),
        ):
            self.assertIn("in use for immutable shares", text)
        await self.check_whole()
        # The connection is the same one.
        found = await call(self.server.remote, "slot_readv", MUTABLE, [], [(0, 3)])
        self.assertEqual(found, {0: [b"mut"]})
        await self.server.add_lease(IMMUTABLE, LEASES)

    async def test_bad_requests(self) -> None:
        """Whatever a request for a slot has wrong, it is refused and nothing is written."""
        good = (WRITE_ENABLER, LEASES.renew, LEASES.cancel)
        write = [(0, b"XX")]
        for secrets, changes, reads in (
            (good, {0: ([(0, 1, b"le", b"m")], write, None)}, []),
            (good, {0: ([(0, 1, b"ne", b"x")], write, None)}, []),
            (good, {0: ([(-1, 1, b"eq", b"m")], write, None)}, []),
            (good, {0: ([(0, -1, b"eq", b"")], write, None)}, []),
            (good, {0: ([], [(-1, b"XX")], None)}, []),
            (good, {0: ([], write, -1)}, []),
            (good, {0: ([], write, "x")}, []),
            (good, {0: ([], write, True)}, []),
            (good, {0: ([], write, [[[1]]])}, []),
            (good, {0: ([], write, None)}, [(0, -1)]),
            (good, {0: ([], write, None)}, [(0, 1)] * (MAX_SLOT_READS + 1)),
            (good, {0: ([], [(0, b"")] * (MAX_SLOT_WRITES + 1), None)}, []),
            (good, {-1: ([], write, None)}, []),
            (good, {256: ([], write, None)}, []),
            (good, {1 << 70: ([], write, None)}, []),
            (good, {0: ([], [(1 << 63, b"XX")], None)}, []),
            (good, {0: (write, write, None)}, []),
            ((b"v" * 32, *good[1:]), {0: ([], write, None)}, []),
            ((b"short", *good[1:]), {0: ([], write, None)}, []),
        ):
            method = "slot_testv_and_readv_and_writev"
            await self.refused(method, MUTABLE, secrets, changes, reads)
        for index in (b"", b"short", b"l" * 17):
            await self.refused("slot_readv", index, [], [(0, 1)])
        await self.refused("slot_readv", MUTABLE, [], [(-1, 1)])
        await self.refused("slot_readv", MUTABLE, list(range(257)), [(0, 1)])
        numbers = [-1, 999, 1 << 70]
        remote = self.server.remote
        found = await call(remote, "slot_readv", MUTABLE, numbers, [(0, 1)])
        self.assertEqual(found, {})
        await self.check_whole()

    async def test_unread(self) -> None:
        """One who does not take what it asked for has little of it in our memory."""
        size, reads = 8 << 20, [(0, 1 << 20)] * 8
        changes = {share: writes((size - 1, b"x")) for share in range(1, 5)}
        await self.slots.test_and_write(MUTABLE, SECRETS, changes, [])
        read: list[int] = []
        whole = OpenSlot.read

        def counted(share: OpenSlot, offset: int, length: int) -> bytes:
            found = whole(share, offset, length)
            read.append(len(found))
            return found

        self.patch(OpenSlot, "read", counted)
        remote = self.server.remote
        remote.tracker.broker.transport.pauseProducing()
        for _ in range(24):
            work = remote.callRemote("slot_readv", MUTABLE, [], reads)
            work.addErrback(lambda _: None)
        honest = await foolscap_server(self, self.furl, "honest")
        reads = [(0, 9), (size - 1, 9)]
        found = await call(honest.remote, "slot_readv", MUTABLE, [4, 0], reads)
        self.assertEqual(found, {0: [b"mutable", b""], 4: [bytes(9), b"x"]})
        await pause(1.0)
        # The system has some megabytes of it.
        self.assertLess(sum(read), 32 << 20)


class GbsTests(_Case):
    async def connect(self) -> None:
        storage = GbsStorage(self.disk, SWISSNUM, REACTOR, self.slots)
        nurl = listen(self, storage.https(certificate()), certificate())
        self.addCleanup(stop, storage)
        self.connections = Connections("slots", tub_id(), nurl, REACTOR)
        self.addCleanup(self.connections.stop)

    async def status(self, method: str, path: str, *arguments: Any) -> int:
        """Ask for it; return the status."""
        reply = await ask(self.connections, method, path, *arguments)
        if reply.status >= 400:
            self.check_text(reply.body.decode())
        return reply.status

    async def post(self, body: bytes, headers: dict[str, str] | None = None) -> int:
        """Send a request to test and write; return the status."""
        path = f"{home(MUTABLE)}/read-test-write"
        secrets = write_secrets(SECRETS)
        return await self.status("POST", path, secrets, body, headers or CBOR)

    async def test_other_kind(self) -> None:
        """An index of one kind asked for as the other is 409."""
        mutable, immutable = map(base32.encode, (MUTABLE, IMMUTABLE))
        upload = {
            "lease-renew-secret": LEASES.renew,
            "lease-cancel-secret": LEASES.cancel,
            "upload-secret": b"u" * 20,
        }
        wanted = cbor2.dumps({"share-numbers": {1}, "allocated-size": 5})
        request = encode_request({0: writes((0, b"x"))}, [])
        rtw = f"/mutable/{immutable}/read-test-write"
        for status in (
            await self.status("GET", f"/immutable/{mutable}/shares"),
            await self.status("GET", f"/immutable/{mutable}/0"),
            await self.status("POST", f"/immutable/{mutable}", upload, wanted, CBOR),
            await self.status("GET", f"/mutable/{immutable}/0"),
            await self.status("POST", rtw, write_secrets(SECRETS), request, CBOR),
        ):
            self.assertEqual(status, 409)
        await self.check_whole()

    async def test_bad_requests(self) -> None:
        """Each has its status, and nothing is written."""
        secrets = write_secrets(SECRETS)
        good = encode_request({0: writes((0, b"XX"))}, [])
        path = f"{home(MUTABLE)}/read-test-write"
        long, short = ({"write-enabler": each} for each in (b"v" * 32, b"v"))
        for status, expected in (
            (await self.post(b""), 400),
            (await self.post(good[:-1]), 400),
            (await self.post(good + b"\0"), 400),
            (await self.post(cbor2.dumps({0: "x"})), 400),
            (await self.post(encode_request({0: writes((1 << 63, b"X"))}, [])), 400),
            (await self.post(good, {"Content-Type": "text/plain"}), 415),
            (await self.status("POST", path, {}, good, CBOR), 400),
            (await self.status("POST", path, secrets | {"upload-secret": b"u"}, good), 400),
            (await self.status("POST", path, secrets | long, good), 401),
            (await self.status("POST", path, secrets | short, good), 401),
            (await self.status("GET", path), 405),
            (await self.status("PUT", f"{home(MUTABLE)}/0"), 405),
            (await self.status("POST", f"{home(MUTABLE)}/shares"), 405),
            (await self.status("GET", f"{home(MUTABLE)}/1"), 404),
            (await self.status("GET", f"{home(MUTABLE)}/00"), 404),
            (await self.status("GET", home(MUTABLE)), 404),
            (await self.status("GET", "/mutable/short/shares"), 404),
        ):
            self.assertEqual(status, expected)
        await self.check_whole()

    async def test_ranges(self) -> None:
        """Ranges are those of immutable shares."""
        path = f"{home(MUTABLE)}/0"
        for text, status, body in (
            ("bytes=0-2", 206, b"mut"),
            ("bytes=4-99", 206, b"ble"),
            ("bytes=7-8", 204, b""),
            (f"bytes=0-{(1 << 64) - 2}", 206, b"mutable"),
            ("bytes=0-", 416, None),
            ("bytes=-2", 416, None),
            ("bytes=0-1,3-4", 416, None),
            ("bytes=3-2", 416, None),
            ("lines=0-2", 416, None),
        ):
            reply = await ask(self.connections, "GET", path, {}, b"", {"Range": text})
            self.assertEqual(reply.status, status, text)
            if body is not None:
                self.assertEqual(reply.body, body)
        reply = await ask(self.connections, "GET", path, {}, b"", {"Range": "bytes=4-99"})
        told = reply.headers.getRawHeaders("Content-Range")
        self.assertEqual(told, ["bytes 4-6/*"])
        kind = reply.headers.getRawHeaders("Content-Type")
        self.assertEqual(kind, ["application/octet-stream"])

    async def test_large_answers(self) -> None:
        """Large answers come whole, one after the other when many are asked for."""
        data = bytes(range(256)) * 8192
        changes = {5: writes((0, data))}
        await self.slots.test_and_write(MUTABLE, SECRETS, changes, [])
        path, secrets = f"{home(MUTABLE)}/read-test-write", write_secrets(SECRETS)
        body = encode_request({}, [SlotRead(0, 1 << 22)])
        running = [
            Deferred.fromCoroutine(ask(self.connections, "POST", path, secrets, body, CBOR))
            for _ in range(4)
        ]
        for _, reply in await DeferredList(running, fireOnOneErrback=True):
            found = {"success": True, "data": {0: [b"mutable"], 5: [data]}}
            self.assertTrue(cbor2.loads(reply.body) == found)

    async def test_too_many(self) -> None:
        """What all shares of a request have together has its bound, too."""
        many = [SlotWrite(0, b"")] * (MAX_SLOT_WRITES // 2 + 1)
        change = SlotChange((), many)
        body = encode_request({0: change, 1: change}, [])
        self.assertEqual(await self.post(body), 400)
        await self.check_whole()
