"""Share channels between a client and a server, and what becomes of bytes without them."""

from __future__ import annotations

import os
import threading
from typing import Any
from unittest import mock

from twisted.trial.unittest import TestCase

from tests.grids import SECRETS, new_workers, until
from tests.storage.channelled import Channelled
from tests.storage.test_foolscap_client import new_disk
from truckee.codec.secrets import upload_secret
from truckee.storage import channel_client, channel_server
from truckee.storage.channel_frames import Kind
from truckee.storage.channel_server import MOST_OF_PEER
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_kept import RemoteKeptWriter
from truckee.storage.foolscap_server import BucketReader
from truckee.storage.interfaces import CallFailed, IKeptWriter, ShareClosed
from truckee.storage.kept_files import KeptFile
from truckee.storage.kept_shares import KeptShares
from truckee.storage.server import DiskWriter

INDEX = b"i" * 16
DATA = os.urandom(3 * (1 << 20) + 5)


def refuse(*_: object) -> None:
    """Stand for a method that is not to be called."""
    raise AssertionError("this goes over a channel")


def _write_late(writer: DiskWriter, outcomes: list[Exception | None]) -> None:
    """Write to a share, in a thread, and note what comes of it."""
    try:
        writer.write_here(0, [b"late"])
    except Exception as error:
        outcomes.append(error)
    else:
        outcomes.append(None)


class ChannelCase(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.disk = new_disk(self)
        workers = new_workers(self)
        self.disk.kept = KeptShares(self.disk, workers, lambda: 0.0)
        self.served = Channelled(self, self.disk)
        self.far = await self.served.connect()

    async def writer(self, size: int = len(DATA)) -> IKeptWriter:
        """Return the writer of a share."""
        kept = self.far.kept
        assert kept is not None
        secret = upload_secret(SECRETS)
        opened = await kept.open(INDEX, SECRETS, secret, {0}, size, False)
        return opened.writers[0]

    async def read(self) -> bytes:
        """Return the share as the client reads it."""
        [reader] = (await self.far.buckets(INDEX)).values()
        return await reader.read(0, len(DATA) + 100)

    async def store(self) -> None:
        """Store the share, and see that it is there."""
        writer = await self.writer()
        await writer.write(0, [DATA[:10], DATA[10 : 1 << 21]])
        await writer.write(1 << 21, [DATA[1 << 21 :]])
        await writer.close(len(DATA))
        self.assertEqual(await self.read(), DATA)


class BesideTests(ChannelCase):
    async def test_beside(self) -> None:
        """Bytes of any length go over channels alone."""
        self.patch(RemoteKeptWriter, "remote_write", refuse)
        self.patch(BucketReader, "remote_read", refuse)
        await self.store()

    async def test_counted(self) -> None:
        """What goes over channels counts as written, soon."""
        writer = await self.writer(40 << 20)
        promises = self.disk.promises
        owed = promises.owed(0.0)
        for offset in range(0, 24 << 20, 1 << 20):
            await writer.write(offset, [bytes(1 << 20)])
        await until(lambda: promises.owed(0.0) <= owed - (16 << 20))
        await writer.abort()

    async def test_failures(self) -> None:
        """Failures are those of foolscap, and tell nothing of files."""
        writer = await self.writer(10)
        with self.assertRaises(CallFailed) as caught:
            await writer.write(5, [b"123456"])
        self.assertEqual(caught.exception.kind, "ShareTooLarge")
        [path] = (self.disk.directory.root / "incomplete").rglob("0.*")
        self.disk.open_files.close(path)
        path.unlink()
        with self.assertRaises(CallFailed) as caught:
            await writer.write(0, [b"1"])
        self.assertNotIn(str(path.parent), str(caught.exception))
        await writer.abort()
        self.assertTrue(self.far.channels.is_open(Kind.WRITE))

    async def test_closed(self) -> None:
        """A share that is closed takes nothing more."""
        writer = await self.writer(1)
        await writer.write(0, [b"1"])
        await writer.close(1)
        with self.assertRaises(CallFailed):
            await writer.write(0, [b"2"])
        self.assertEqual(await self.read(), b"1")


class EndTests(ChannelCase):
    async def test_stop(self) -> None:
        """A server that stops ends all channels, and lets nobody in any more."""
        await self.store()
        self.served.channels.stop()
        await until(lambda: not any(map(self.far.channels.is_open, Kind)))
        await until(lambda: not len(self.served.channels))
        with self.assertRaises(CallFailed):
            await self.far.ask("truckee_share_channel", self.far._canary)
        self.assertEqual(await self.read(), DATA)

    async def test_after_the_end(self) -> None:
        """A write that waited for the file while it was ended is not done."""
        for method, end in (("leave", "leave"), ("discard", "abort"), ("publish", "close")):
            writer = await self.writer(4)
            await writer.write(0, [b"1234"])
            outcomes: list[Exception | None] = []
            ended = getattr(KeptFile, method)

            def ending(
                *arguments: Any, ended: Any = ended, outcomes: list[Any] = outcomes
            ) -> Any:
                # In the worker, which has the file: another thread wants it now.
                threading.Thread(target=_write_late, args=(self.late, outcomes)).start()
                return ended(*arguments)

            with mock.patch.object(KeptFile, method, ending):
                await (writer.close(4) if end == "close" else getattr(writer, end)())
            await until(lambda: outcomes)  # noqa: B023
            self.assertIsInstance(outcomes[0], ShareClosed, method)

    @property
    def late(self) -> DiskWriter:
        """Who writes the share."""
        inner = self.disk.writer(INDEX, 0)
        assert inner is not None
        return inner


class WithoutTests(ChannelCase):
    async def test_cut(self) -> None:
        """What a channel does not bring goes over foolscap; then there is a new one."""
        writer = await self.writer()
        await writer.write(0, [DATA[: 1 << 20]])
        for channel in self.served.channels.open:
            channel.cut()
        await writer.write(1 << 20, [DATA[1 << 20 :]])
        await until(lambda: self.far.channels.is_open(Kind.WRITE) or not self.again())
        await writer.close(len(DATA))
        self.assertEqual(await self.read(), DATA)

    def again(self) -> bool:
        """Want a channel again."""
        self.far.channels.prepare(Kind.WRITE)
        return True

    async def test_idle(self) -> None:
        """A channel that nobody uses ends, and another comes when there is need."""
        self.patch(channel_client, "IDLE", 0.01)
        await self.store()
        await until(lambda: not any(map(self.far.channels.is_open, Kind)))
        await until(lambda: not len(self.served.channels))
        await self.store_again()

    async def store_again(self) -> None:
        """Read once more."""
        self.assertEqual(await self.read(), DATA)

    async def test_too_many(self) -> None:
        """Who has as many as he may goes on over foolscap."""
        for _ in range(MOST_OF_PEER // 2 - 1):
            await self.served.greet(self.another())
        other = self.another()
        other.channels.found("127.0.0.1", self.served.port, *self.found)
        version = await other.ask("get_version")
        self.assertEqual(version[b"truckee-share-channel"], 1)
        with self.assertRaises(CallFailed) as caught:
            await other.ask("truckee_share_channel", other._canary)
        self.assertEqual(caught.exception.kind, "TooManyChannels")
        self.far = other
        other.hear(durable=True, max_slot_share=0, keeps_shares=True)
        await self.store()

    @property
    def found(self) -> tuple[Any, channel_client.Seats]:
        """What a client needs for channels."""
        return self.far.channels._reactor, channel_client.Seats()

    def another(self) -> FoolscapServer:
        """Return the same server for the same client, once more."""
        far = FoolscapServer("foolscap", b"p" * 20, b"l" * 20, self.far.remote)
        self.addCleanup(far.channels.lost)
        return far

    async def test_no_seats(self) -> None:
        """A node that has all the channels it may have opens no more."""
        self.far.channels.lost()
        await until(lambda: not any(map(self.far.channels.is_open, Kind)))
        reactor, seats = self.found
        seats.free = 0
        self.far.channels.found("127.0.0.1", self.served.port, reactor, seats)
        await self.store()
        self.assertFalse(any(map(self.far.channels.is_open, Kind)))
        self.assertEqual(seats.free, 0)

    async def test_silent_server(self) -> None:
        """Who waits for a channel that does not open does not wait."""
        silent: list[Any] = []
        self.patch(
            channel_server.ShareChannels, "take", lambda _, each: silent.append(each)
        )
        self.far.channels.lost()
        await until(lambda: not any(map(self.far.channels.is_open, Kind)))
        self.far.channels.found("127.0.0.1", self.served.port, *self.found)
        await self.store()
        await until(lambda: len(silent) == len(Kind))
        for transport in silent:
            transport.abortConnection()
