"""Kept shares over foolscap: what becomes of writers, and who is believed what."""

from __future__ import annotations

from typing import Any, cast

from attrs import define, field
from foolscap.api import Referenceable
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.contracts import slot_server
from tests.contracts.test_slot_server import new_disk
from tests.grids import OTHER_SECRETS, SECRETS, files_below, until
from tests.storage.liars import SERVER, Lair, Liar, raises
from tests.storage.test_foolscap_client import new_client, serve
from truckee.codec.hashes import block_hash
from truckee.codec.secrets import LeaseSecrets, upload_secret
from truckee.storage.foolscap_calls import call
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_schema import KEEPS_SHARES, RIKeptShareWriter
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.interfaces import (
    MAX_KEPT_HASHES,
    BadAnswer,
    CallFailed,
    IKeptShares,
    IKeptWriter,
    NotConnected,
    Opened,
)
from truckee.storage.kept_shares import KeptShares
from truckee.storage.quotas import IDLE_LIMIT, QuotaLimits, ShareQuotas

INDEX = b"i" * 16
SECRET = upload_secret(SECRETS)
WRITER = str(RIKeptShareWriter.__remote_name__)


def keeper(server: FoolscapServer) -> IKeptShares:
    """Return what a server keeps that says that it does."""
    server.hear(durable=True, max_slot_share=0, keeps_shares=True)
    assert server.kept is not None
    return server.kept


async def open_shares(
    kept: IKeptShares,
    *shares: int,
    size: int = 1 << 40,
    open_ended: bool = True,
    secrets: LeaseSecrets = SECRETS,
    index: bytes = INDEX,
) -> Opened:
    """Begin shares, or go on with them."""
    secret = upload_secret(secrets)
    return await kept.open(index, secrets, secret, set(shares), size, open_ended)


HANDLE = bytes(32)


@define(eq=False)
class _Slow:
    """Kept shares that are opened later."""

    inner: IKeptShares
    asked: Deferred[None] = field(factory=Deferred, init=False)
    go: Deferred[None] = field(factory=Deferred, init=False)
    opened: Deferred[None] = field(factory=Deferred, init=False)

    async def open(self, *arguments: Any) -> Opened:
        self.asked.callback(None)
        await self.go
        answer = await self.inner.open(*arguments)
        self.opened.callback(None)
        return answer


class KeptCase(TestCase):
    timeout = 120
    limits = QuotaLimits()

    async def setUp(self) -> None:  # type: ignore[override]
        self.disk, self.slots = new_disk(self)
        self.on_disk = KeptShares(self.disk, self.disk._disk, self.disk._now)
        self.disk.kept = self.on_disk
        self.clock = Clock()
        self.quotas = ShareQuotas(self.clock.seconds, self.limits)
        self.storage = FoolscapStorage(self.disk, self.clock, self.slots, self.quotas)
        self.furl = serve(self, self.storage)
        self.client = new_client(self)
        self.server = await self.client.connect(self.furl)
        self.kept = keeper(self.server)

    def files(self) -> list[str]:
        """Return the names of what is kept on the disk."""
        paths = files_below(self.disk.directory.kept_root)
        return sorted(path.name.partition(".")[0] for path in paths)

    async def writer(self, share: int = 0, **options: Any) -> IKeptWriter:
        return (await open_shares(self.kept, share, **options)).writers[share]

    async def unfinished(self) -> dict[int, int]:
        return await self.on_disk.unfinished(INDEX, SECRET)

    def is_quiet(self) -> bool:
        """Tell whether nobody writes, and nothing is claimed or waited for."""
        left = self.disk._writers or self.storage._kept_answers._writers
        return not (left or self.quotas.total or self.clock.getDelayedCalls())


class GoneTests(KeptCase):
    async def test_client_gone(self) -> None:
        """When the connection is lost, what was written stays, and nothing else."""
        opened = await open_shares(self.kept, 0, 1)
        await opened.writers[0].write(0, [b"1234"])
        await self.client.stop()
        await until(self.is_quiet)
        self.assertEqual(await self.unfinished(), {0: 4})
        self.assertEqual(self.files(), ["0"])
        for work in (opened.writers[0].write(4, [b"5"]), opened.writers[0].close(5)):
            with self.assertRaises(NotConnected):
                await work
        await opened.writers[0].leave()
        await opened.writers[1].abort()

    async def test_client_gone_while_it_asks(self) -> None:
        """Also when it is lost before the writers were handed out."""
        slow = _Slow(self.on_disk)
        self.disk.kept = cast(IKeptShares, slow)
        asking = Deferred.fromCoroutine(self.writer())
        await slow.asked
        await self.client.stop()
        with self.assertRaises(NotConnected):
            await asking
        slow.go.callback(None)
        await slow.opened
        await until(self.is_quiet)
        self.assertEqual(self.files(), [])

    async def test_cancelled(self) -> None:
        """What is opened for a call that was cancelled is left at once."""
        slow = _Slow(self.on_disk)
        self.disk.kept = cast(IKeptShares, slow)
        asking = Deferred.fromCoroutine(self.writer())
        await slow.asked
        asking.cancel()
        with self.assertRaises(CancelledError):
            await asking
        slow.go.callback(None)
        await slow.opened
        await until(self.is_quiet)

    async def test_idle(self) -> None:
        """A share to which nobody wrote for half an hour is left, not removed."""
        opened = await open_shares(self.kept, 0, 1)
        for writer in opened.writers.values():
            await writer.write(0, [b"1234"])
        self.clock.advance(IDLE_LIMIT - 1)
        await opened.writers[0].write(4, [b"5678"])
        await opened.writers[1].hashes(0, 1, 1)
        self.clock.advance(2)
        await until(lambda: (INDEX, 1) not in self.disk._writers)
        with self.assertRaises(CallFailed):
            await opened.writers[1].write(4, [b"5678"])
        await opened.writers[0].close(8)
        self.assertEqual(await self.unfinished(), {1: 4})
        self.assertEqual(list(await self.disk.buckets(INDEX)), [0])
        self.assertTrue(self.is_quiet())

    async def test_ends(self) -> None:
        """However a writer ends, nothing is waited for."""
        opened = await open_shares(self.kept, 0, 1, 2)
        for writer in opened.writers.values():
            await writer.write(0, [b"1234"])
        await opened.writers[0].close(4)
        await opened.writers[1].leave()
        await opened.writers[2].abort()
        self.assertTrue(self.is_quiet())

    async def test_order(self) -> None:
        """Calls that were sent one after the other take effect in that order."""
        writer = await self.writer()
        calls: list[Deferred[Any]] = []
        for number in range(20):
            data = bytes([number]) * 300
            calls.append(Deferred.fromCoroutine(writer.write(0, [data])))
            calls.append(Deferred.fromCoroutine(writer.hashes(0, 300, 1)))
        calls.append(Deferred.fromCoroutine(writer.leave()))
        answers = [await call for call in calls]
        expected = [[block_hash(bytes([number]) * 300)] for number in range(20)]
        self.assertEqual(answers[1:-1:2], expected)
        self.assertEqual(await self.unfinished(), {0: 300})


class QuotaTests(KeptCase):
    limits = QuotaLimits(shares=80)  # ten to a peer

    async def test_shares(self) -> None:
        """Nobody gets all shares in progress, and all kinds of them count together."""
        await self.server.allocate(b"o" * 16, SECRETS, {0, 1, 2, 3}, 8)
        opened = await open_shares(self.kept, *range(20))
        self.assertEqual(sorted(opened.writers), [*range(6)])
        self.assertEqual(self.quotas.total, 10)
        await opened.writers[0].abort()
        self.assertEqual(self.quotas.total, 9)

    async def test_continued(self) -> None:
        """Who comes again for what he writes needs no more room for it."""
        first = await open_shares(self.kept, *range(10))
        for writer in first.writers.values():
            await writer.write(0, [b"x"])
        second = await open_shares(self.kept, *range(10))
        self.assertEqual(sorted(second.writers), [*range(10)])
        for writer in first.writers.values():
            with self.assertRaises(CallFailed):
                await writer.write(0, [b"y"])
            await writer.abort()
        self.assertEqual(self.quotas.total, 10)
        third = await open_shares(self.kept, *range(10))
        self.assertEqual([writer.length for writer in third.writers.values()], [1] * 10)
        # The second ones were taken over though the first ones ended since.
        self.assertEqual(self.quotas.total, 10)

    async def test_space(self) -> None:
        """A peer is promised half of what is free, and what is there counts as had."""
        self.disk.reserved_space = self.disk.directory.free_space() - (100 << 20)
        self.assertEqual(
            (await open_shares(self.kept, 0, size=60 << 20, open_ended=False)).writers, {}
        )
        writer = await self.writer(size=60 << 20)
        await writer.write(30 << 20, [b"x"])
        opened = await open_shares(self.kept, 0, size=60 << 20, open_ended=False)
        self.assertEqual(opened.writers[0].length, (30 << 20) + 1)


class RefusedTests(KeptCase):
    async def refused(self, method: str, *arguments: object) -> CallFailed:
        """Call the server past our client, which would not say such things."""
        with self.assertRaises(CallFailed) as caught:
            await self.server.call(self.server.remote, method, *arguments)
        self.assertNotIn(str(self.disk.directory.root), str(caught.exception))
        error: CallFailed = caught.exception
        return error

    async def test_requests(self) -> None:
        """What no request can mean is refused, and leaves nothing."""
        secrets = (SECRETS.renew, SECRETS.cancel, SECRET)
        for index, shares, size in (
            (b"short", {0}, 1),
            (INDEX, {256}, 1),
            (INDEX, {-1}, 1),
            (INDEX, {0}, -1),
            (INDEX, {0}, 1 << 63),
        ):
            await self.refused(
                "truckee_open_shares",
                index,
                *secrets,
                shares,
                size,
                True,
                False,
                Referenceable(),
            )
        await self.refused("truckee_unfinished_shares", b"short", SECRET)
        self.assertTrue(self.is_quiet())
        self.assertEqual(self.files(), [])

    async def test_calls(self) -> None:
        """Calls that make no sense are refused, and the share goes on."""
        writer = await self.writer(size=8)
        remote = cast(Any, writer)._remote
        for method, arguments in (
            ("write", (-1, b"x")),
            ("write", (0, b"")),
            ("close", (-1,)),
            ("hashes", (-1, 1, 1)),
            ("hashes", (0, 1, -1)),
        ):
            with self.assertRaises(CallFailed):
                await call("far", remote, RIKeptShareWriter, method, *arguments)
        await writer.write(0, [b"12345678"])
        await writer.close(8)
        self.assertEqual(list(await self.disk.buckets(INDEX)), [0])

    async def test_mutable(self) -> None:
        """A storage index that is in use for mutable shares is refused."""
        changes = {0: slot_server.writes((0, b"mutable"))}
        await self.slots.test_and_write(INDEX, slot_server.SECRETS, changes, [])
        with self.assertRaises(CallFailed) as caught:
            await self.writer()
        self.assertEqual(caught.exception.kind, "OtherKind")
        self.assertTrue(self.is_quiet())

    async def test_failed(self) -> None:
        """When the disk cannot open shares, nothing is claimed any more."""
        self.disk.kept = cast(IKeptShares, _Broken())
        with self.assertRaises(CallFailed):
            await self.writer()
        self.assertTrue(self.is_quiet())

    async def test_none_kept(self) -> None:
        """A server that keeps none does not say that it does, and takes none."""
        version = await self.server.ask("get_version")
        self.assertEqual(version[KEEPS_SHARES], 1)
        self.disk.kept = None
        version = await self.server.ask("get_version")
        self.assertNotIn(KEEPS_SHARES, version)
        for asking in (self.writer(), self.kept.unfinished(INDEX, SECRET)):
            with self.assertRaises(CallFailed) as caught:
                await asking
            self.assertEqual(caught.exception.kind, "BadKeptRequest")
        self.server.hear(durable=True, max_slot_share=0)
        self.assertIsNone(self.server.kept)

    async def test_strangers(self) -> None:
        """Another peer neither sees nor takes what somebody writes."""
        writer = await self.writer()
        await writer.write(0, [b"1234"])
        stranger = keeper(await new_client(self).connect(self.furl))
        opened = await open_shares(stranger, 0, secrets=OTHER_SECRETS)
        self.assertEqual(opened.writers, {})
        self.assertEqual(await stranger.unfinished(INDEX, upload_secret(OTHER_SECRETS)), {})
        await writer.write(4, [b"5678"])
        await writer.close(8)


class _Broken:
    async def open(self, *_: object) -> Opened:
        raise OSError(5, "Input/output error")


class LyingTests(TestCase):
    """What a server says is not believed."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.left: list[int] = []
        self.liar = Liar(SERVER)
        furl = Lair.new(self).furl(self.liar)
        self.kept = keeper(await new_client(self).connect(furl))

    def remote(self, number: int, **answers: Any) -> Liar:
        """Return a writer that notes when it is left."""
        return Liar(WRITER, {"leave": lambda: self.left.append(number), **answers})

    async def open(self, answer: object) -> Opened:
        """Open a share of 100 bytes and another one at a server that gives this answer."""
        self.liar.answers["truckee_open_shares"] = answer
        return await open_shares(self.kept, 0, 1, size=100)

    async def test_unfinished(self) -> None:
        """Shares that nobody can have are no answer."""
        answers: list[object] = [{256: 1}, {-1: 1}, {0: -1}, {0: (1 << 62) + 1}]
        for answer in (*answers, {0: b"1"}, [1], None):
            self.liar.answers["truckee_unfinished_shares"] = answer
            with self.assertRaises(BadAnswer):
                await self.kept.unfinished(INDEX, SECRET)
        self.liar.answers["truckee_unfinished_shares"] = {255: 1 << 62}
        found = await self.kept.unfinished(INDEX, SECRET)
        self.assertEqual(found, {255: 1 << 62})

    async def test_opened(self) -> None:
        """Other shares, and lengths they cannot have, are no answer; all are left."""
        for share, length in ((2, 0), (0, -1), (0, 101)):
            self.left = []
            writers = {
                share: (self.remote(share), length, HANDLE),
                1: (self.remote(1), 50, HANDLE),
            }
            with self.assertRaises(BadAnswer):
                await self.open((set(), writers))
            await until(lambda: len(self.left) == 2)
            self.assertEqual(sorted(self.left), sorted([share, 1]))

    async def test_no_writers(self) -> None:
        """What has no writers where they belong is no answer."""
        answers: list[object] = [None, (set(), {}, 1), (set(), {0: self.remote(0)})]
        for answer in (*answers, (set(), {0: (5, 5)}), ([], {}), ({0}, [0])):
            with self.assertRaises(BadAnswer):
                await self.open(answer)

    async def test_hashes(self) -> None:
        """More hashes than were asked for, or of another length, are no answer."""
        one = b"h" * 32
        answers: list[object] = [[one] * 3, [b"h" * 31], [b"h" * 33], one, None, [5]]
        for answer in answers:
            opened = await self.open(
                (set(), {0: (self.remote(0, hashes=answer), 100, HANDLE)})
            )
            with self.assertRaises(BadAnswer):
                await opened.writers[0].hashes(0, 10, 2)

    async def test_many_hashes(self) -> None:
        """Nor are more than anybody may ask for."""
        many = [b"h" * 32] * (MAX_KEPT_HASHES + 1)
        remote = self.remote(0, hashes=many)
        opened = await self.open((set(), {0: (remote, 100, HANDLE)}))
        with self.assertRaises(BadAnswer):
            await opened.writers[0].hashes(0, 1, MAX_KEPT_HASHES)

    async def test_failing(self) -> None:
        """A writer that cannot be left or aborted is done with all the same."""
        for method in ("leave", "abort"):
            remote = self.remote(0, **{method: raises})
            writer = (await self.open((set(), {0: (remote, 0, HANDLE)}))).writers[0]
            await getattr(writer, method)()
            await writer.leave()
            self.assertEqual(self.left, [])
