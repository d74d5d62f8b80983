"""Leases after a power cut, in a flood, and on servers that take nothing more."""

from __future__ import annotations

from pathlib import Path
from struct import pack

from twisted.trial.unittest import TestCase

from tests.grids import (
    NOW,
    OTHER_SECRETS,
    SECRETS,
    MoodyServer,
    make_file,
    new_directory,
    new_server,
    new_workers,
    put_share,
)
from truckee.codec.container import LEASE_SIZE, MOST_LEASES, ContainerHeader
from truckee.codec.geometry import Encoding
from truckee.codec.secrets import LeaseSecrets
from truckee.storage.share_leases import NoRoomForLease, TooManyLeases, read_leases

INDEX = b"i" * 16
SHARE = make_file(b"plain" * 100, b"k" * 16, Encoding(2, 3, 64)).shares[0]


def record(number: int, expires: int = 2_000_000_000) -> bytes:
    """One of many leases."""
    secrets = LeaseSecrets(number.to_bytes(32, "big"), bytes(32))
    lease = ContainerHeader(2, 0).lease(1, secrets, 0)
    return lease.pack()[:-4] + expires.to_bytes(4, "big")


def stock_reads(path: Path) -> bytes:
    """The share as stock servers find it: by the size of the file and the count."""
    data = path.read_bytes()
    return data[12 : len(data) - LEASE_SIZE * int.from_bytes(data[8:12], "big")]


class _Case(TestCase):
    timeout = 120

    def new(self, reserved: int = 0) -> MoodyServer:
        return new_server(new_directory(self), new_workers(self), reserved_space=reserved)

    def put(
        self, server: MoodyServer, count: int, *records: bytes, stated: int = len(SHARE)
    ) -> Path:
        """Have a share whose header counts *count* leases."""
        path = put_share(server, INDEX, 0, b"")
        path.write_bytes(pack(">LLL", 2, stated, count) + SHARE + b"".join(records))
        return path

    async def read(self, server: MoodyServer) -> bytes:
        return await (await server.buckets(INDEX))[0].read(0, 1 << 20)


class PowerCutTests(_Case):
    async def test_count_without_record(self) -> None:
        """A count that reached the disk before its record does not cut the share."""
        # Of shares of 4 GiB and more the header states no length: 0 stands for them here.
        for stated in (len(SHARE), 0xFFFFFFFF, 0):
            for records in ((), (record(1),)):
                server = self.new()
                path = self.put(server, len(records) + 1, *records, stated=stated)
                self.assertEqual(await self.read(server), SHARE)
                await server.add_lease(INDEX, SECRETS)
                self.assertEqual(await self.read(server), SHARE)
                self.assertEqual(stock_reads(path), SHARE)
                self.assertEqual(len(read_leases(path)), len(records) + 1)

    async def test_record_without_count(self) -> None:
        """A record that reached the disk before its count is a lease, and no share."""
        for records in ((record(1),), (record(1), record(2))):
            server = self.new()
            path = self.put(server, len(records) - 1, *records)
            self.assertEqual(await self.read(server), SHARE)
            await server.add_lease(INDEX, SECRETS)
            self.assertEqual(stock_reads(path), SHARE)
            self.assertEqual(len(read_leases(path)), len(records) + 1)

    async def test_renewing_mends(self) -> None:
        """Renewing a lease sets a wrong count right, so that stock servers read it, too."""
        for wrong in (0, 2, 3):
            server = self.new()
            path = self.put(server, 0)
            await server.add_lease(INDEX, SECRETS)
            data = bytearray(path.read_bytes())
            data[8:12] = wrong.to_bytes(4, "big")
            path.write_bytes(data)
            self.assertEqual(await self.read(server), SHARE)
            await server.add_lease(INDEX, SECRETS)
            self.assertEqual(stock_reads(path), SHARE)
            self.assertEqual(len(read_leases(path)), 1)

    async def test_blank_record(self) -> None:
        """A record whose bytes never reached the disk is no lease; the next takes it."""
        server = self.new()
        path = self.put(server, 2, record(1), bytes(LEASE_SIZE))
        self.assertEqual(len(read_leases(path)), 1)
        await server.add_lease(INDEX, SECRETS)
        self.assertEqual(len(path.read_bytes()), 12 + len(SHARE) + 2 * LEASE_SIZE)
        self.assertEqual(len(read_leases(path)), 2)


class FloodTests(_Case):
    async def test_bound(self) -> None:
        """A peer with ever new secrets fills a share's leases, and is refused then."""
        server = self.new()
        path = self.put(server, MOST_LEASES, *map(record, range(MOST_LEASES)))
        size = path.stat().st_size
        with self.assertRaises(TooManyLeases):
            await server.add_lease(INDEX, SECRETS)
        # It can be used and renewed all the same.
        await server.add_lease(INDEX, LeaseSecrets((7).to_bytes(32, "big"), bytes(32)))
        self.assertEqual((await server.allocate(INDEX, SECRETS, {0}, 8)).already, {0})
        self.assertEqual(await self.read(server), SHARE)
        self.assertEqual(path.stat().st_size, size)

    async def test_expired_one_goes(self) -> None:
        """Above the bound the lease that expired first makes room for a new one."""
        server = self.new()
        records = [record(number) for number in range(MOST_LEASES)]
        records[5], records[9] = record(5, int(NOW) - 10), record(9, int(NOW) - 20)
        path = self.put(server, MOST_LEASES, *records)
        await server.add_lease(INDEX, SECRETS)
        expired = [lease for lease in read_leases(path) if lease.expires < NOW]
        self.assertEqual([lease.expires for lease in expired], [int(NOW) - 10])
        self.assertEqual(await self.read(server), SHARE)


class FullTests(_Case):
    async def refuses(self, server: MoodyServer, path: Path) -> None:
        """A new lease is refused, a known one is renewed, and the share is there."""
        size = path.stat().st_size
        with self.assertRaises(NoRoomForLease):
            await server.add_lease(INDEX, OTHER_SECRETS)
        await server.add_lease(INDEX, SECRETS)
        self.assertEqual((await server.allocate(INDEX, OTHER_SECRETS, {0}, 8)).already, {0})
        self.assertEqual(path.stat().st_size, size)
        self.assertEqual(len(read_leases(path)), 1)
        self.assertEqual(await self.read(server), SHARE)

    async def test_readonly(self) -> None:
        """A read-only server renews leases and adds none."""
        server = self.new()
        path = self.put(server, 0)
        await server.add_lease(INDEX, SECRETS)
        server.readonly = True
        await self.refuses(server, path)

    async def test_where_shares_expire(self) -> None:
        """A share that would go with the leases of others is not offered as there."""
        server = self.new()
        self.put(server, 1, record(1))
        server.readonly = server.expires = True
        answer = await server.allocate(INDEX, OTHER_SECRETS, {0}, 8)
        self.assertEqual((answer.already, answer.writers), (set(), {}))
        server.readonly = False
        self.assertEqual((await server.allocate(INDEX, SECRETS, {0}, 8)).already, {0})

    async def test_reserved_space(self) -> None:
        """Leases do not use what is reserved."""
        server = self.new()
        path = self.put(server, 0)
        await server.add_lease(INDEX, SECRETS)
        server.reserved_space = 1 << 60
        await self.refuses(server, path)
