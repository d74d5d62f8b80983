"""Our client with servers that lie about the shares that they keep."""

from __future__ import annotations

import cbor2
from twisted.trial.unittest import TestCase

from tests.contracts.storage_server import INDEX
from tests.grids import SECRETS, until
from tests.storage.gbs_liars import Lie, Lies, body, lying
from truckee.codec.secrets import upload_secret
from truckee.storage import gbs_kept_schema
from truckee.storage.gbs_client import GbsServer
from truckee.storage.interfaces import (
    BadAnswer,
    BadKeptRequest,
    CallFailed,
    IKeptWriter,
    NoSpace,
    ShareClosed,
)

SECRET = upload_secret(SECRETS)


def status(number: int) -> Lie:
    """Answer with this status."""
    return body(b"", b"HTTP/1.1 %d X\r\n" % number)


class LyingTests(TestCase):
    timeout = 120

    def liar(self, *lies: Lie) -> tuple[GbsServer, Lies]:
        """Return a client of a server with these answers; to all that follow it has 404."""
        answers = list(lies)
        client, heard = lying(
            self, lambda liar: (answers.pop(0) if answers else status(404))(liar)
        )
        client._keeper.keeps = True
        return client, heard

    async def open(self, client: GbsServer) -> IKeptWriter:
        """Open share 0 of 100 bytes."""
        assert client.kept is not None
        opened = await client.kept.open(INDEX, SECRETS, SECRET, {0, 1}, 100, False)
        return opened.writers[0]

    async def test_unfinished(self) -> None:
        """Lengths that no share has are no answer."""
        for answer in ([0], {0: 1 << 63}, {300: 1}, {0: b"1"}):
            client, _ = self.liar(body(cbor2.dumps(answer)))
            assert client.kept is not None
            with self.assertRaises(BadAnswer):
                await client.kept.unfinished(INDEX, SECRET)

    async def test_opened(self) -> None:
        """Nor are shares that were not asked for, or longer ones; all are left then."""
        for opened in ({2: 0}, {0: 0, 7: 0}, {0: 101}, {0: -1}):
            client, lies = self.liar(body(gbs_kept_schema.encode_opened(set(), opened)))
            with self.assertRaises(BadAnswer):
                await self.open(client)
            for share in (0, 1):
                path = b"/%d/leave HTTP/1.1" % share
                await until(lambda path=path, lies=lies: path in lies.heard)  # type: ignore[misc]

    async def test_hashes(self) -> None:
        """Nor are more hashes than were asked for, or parts of one."""
        opened = body(gbs_kept_schema.encode_opened(set(), {0: 100}))
        for answer in (bytes(31), bytes(33), bytes(96)):
            client, _ = self.liar(opened, body(answer))
            writer = await self.open(client)
            with self.assertRaises(BadAnswer):
                await writer.hashes(0, 10, 2)

    async def test_statuses(self) -> None:
        """Each refusal is what it means."""
        opened = body(gbs_kept_schema.encode_opened(set(), {0: 0}))
        for number, error in (
            (400, BadKeptRequest),
            (404, ShareClosed),
            (409, ShareClosed),
            (416, CallFailed),
            (500, CallFailed),
            (503, CallFailed),
            (507, NoSpace),
        ):
            client, lies = self.liar(opened, status(number))
            writer = await self.open(client)
            with self.assertRaises(error):
                await writer.write(0, [b"1234"])
            await writer.abort()
            gone = error is ShareClosed
            self.assertEqual(b"/0/abort HTTP/1.1" in lies.heard, not gone)

    async def test_refused_open(self) -> None:
        """A server that keeps no more shares, or fails, refuses to open one."""
        for number in (404, 409, 500, 507):
            client, _ = self.liar(status(number))
            with self.assertRaises(CallFailed):
                await self.open(client)
