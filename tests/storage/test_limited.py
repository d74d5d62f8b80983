"""An end to every wait for a server."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence, Set
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.grids import SECRETS
from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets
from truckee.storage.interfaces import (
    Allocation,
    IDirectShares,
    IKeptShares,
    IShareReader,
    IShareWriter,
    ISlotServer,
    IStorageServer,
    NoSpace,
    SlotAnswer,
    SlotChange,
    SlotRead,
    SlotSecrets,
)
from truckee.storage.limited import LimitedServer, Patience, TooSlow

INDEX = b"i" * 16
PATIENCE = Patience(question=10, read=20, write=30)


@implementer(IStorageServer, IShareWriter, IShareReader)
@define(eq=False)
class _Silent:
    """A server, its one writer and its one reader; each call waits for its answer."""

    slots: ISlotServer | None = None
    kept: IKeptShares | None = None
    direct: IDirectShares | None = None

    name: str = "far"
    permutation_seed: bytes = b"p"
    lease_seed: bytes = b"l" * 20
    takes_open_ends: bool = False
    durable: bool = False
    calls: list[Deferred[Any]] = field(factory=list)
    asked: list[str] = field(factory=list)

    async def _call(self, what: str) -> Any:
        answer: Deferred[Any] = Deferred()
        self.calls.append(answer)
        self.asked.append(what)
        return await answer

    async def available_space(self) -> int:
        return int(await self._call("available_space"))

    async def allocate(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        shares: Set[int],
        size: int,
        open_ended: bool = False,
    ) -> Allocation:
        await self._call("allocate")
        return Allocation({1}, {0: self})

    async def buckets(self, storage_index: bytes) -> Mapping[int, IShareReader]:
        await self._call("buckets")
        return {0: self}

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        await self._call("add_lease")

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        await self._call("advise_corrupt")

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        await self._call("write")

    async def close(self, size: int) -> None:
        await self._call("close")

    async def abort(self) -> None:
        await self._call("abort")

    async def read(self, offset: int, length: int) -> bytes:
        await self._call("read")
        return b"data"


@implementer(ISlotServer)
@define(eq=False)
class _SilentSlots:
    """The slots of such a server."""

    _server: _Silent
    max_share_size: int = 77

    async def shares(self, storage_index: bytes) -> Set[int]:
        return frozenset(await self._server._call("shares"))

    async def read(
        self, storage_index: bytes, shares: Set[int], reads: Sequence[SlotRead]
    ) -> Mapping[int, Sequence[bytes]]:
        await self._server._call("read")
        return {0: [b"data"]}

    async def test_and_write(
        self,
        storage_index: bytes,
        secrets: SlotSecrets,
        changes: Mapping[int, SlotChange],
        reads: Sequence[SlotRead],
    ) -> SlotAnswer:
        await self._server._call("test_and_write")
        return SlotAnswer(True, {})

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        await self._server._call("add_lease")

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        await self._server._call("advise_corrupt")


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = _Silent()
        self.server = LimitedServer(self.inner, self.clock, PATIENCE)

    def start(self, work: Coroutine[Deferred[Any], Any, Any]) -> Deferred[Any]:
        return Deferred.fromCoroutine(work)

    def writer(self) -> IShareWriter:
        asked = self.start(self.server.allocate(INDEX, SECRETS, {0}, 8))
        self.inner.calls.pop().callback(None)
        answer: Allocation = self.successResultOf(asked)
        self.assertEqual(answer.already, {1})
        return answer.writers[0]

    def reader(self) -> IShareReader:
        asked = self.start(self.server.buckets(INDEX))
        self.inner.calls.pop().callback(None)
        found: IShareReader = self.successResultOf(asked)[0]
        return found


class WaitTests(_Case):
    def test_names(self) -> None:
        """It is called what the server is called, and has all the methods."""
        verifyObject(IStorageServer, self.server)
        verifyObject(IShareWriter, self.writer())
        verifyObject(IShareReader, self.reader())
        self.assertEqual(self.server.name, "far")
        self.assertEqual(self.server.permutation_seed, b"p")
        self.assertEqual(self.server.lease_seed, b"l" * 20)
        for takes in (False, True):
            self.inner.takes_open_ends = takes
            self.assertIs(self.server.takes_open_ends, takes)

    def test_seed_changes(self) -> None:
        """A server that announces another place has it at once."""
        self.inner.permutation_seed = b"other"
        self.assertEqual(self.server.permutation_seed, b"other")

    def test_ends(self) -> None:
        """Every call fails when its time is over, and not a moment before."""
        writer, reader = self.writer(), self.reader()
        for work, seconds in (
            (self.server.available_space(), PATIENCE.question),
            (self.server.allocate(INDEX, SECRETS, {0}, 8), PATIENCE.question),
            (self.server.buckets(INDEX), PATIENCE.question),
            (self.server.add_lease(INDEX, SECRETS), PATIENCE.question),
            (self.server.advise_corrupt(INDEX, 0, ""), PATIENCE.question),
            (reader.read(0, 8), PATIENCE.read),
            (writer.write(0, [b"x"]), PATIENCE.write),
            (writer.close(8), PATIENCE.write),
        ):
            waiting = self.start(work)
            self.clock.advance(seconds - 0.1)
            self.assertNoResult(waiting)
            self.clock.advance(0.2)
            error = self.failureResultOf(waiting, TooSlow).value
            self.assertEqual((error.server, error.seconds), ("far", seconds))

    def test_abort(self) -> None:
        """Aborting ends as well: the server forgets the share by itself."""
        waiting = self.start(self.writer().abort())
        self.clock.advance(PATIENCE.question + 1)
        self.assertIsNone(self.successResultOf(waiting))

    def test_answers(self) -> None:
        """An answer in time is the answer, errors too, and no timer is left."""
        waiting = self.start(self.server.available_space())
        self.inner.calls.pop().callback(5)
        self.assertEqual(self.successResultOf(waiting), 5)
        waiting = self.start(self.server.buckets(INDEX))
        self.inner.calls.pop().errback(NoSpace("there"))
        self.failureResultOf(waiting, NoSpace)
        waiting = self.start(self.reader().read(0, 4))
        self.inner.calls.pop().callback(None)
        self.assertEqual(self.successResultOf(waiting), b"data")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """A caller that gives up gets its own cancellation, not a slow server."""
        waiting = self.start(self.server.available_space())
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SlotTests(_Case):
    """The same for the shares of mutable files."""

    def setUp(self) -> None:
        super().setUp()
        self.inner.slots = _SilentSlots(self.inner)
        slots = self.server.slots
        assert slots is not None
        self.slots = slots

    def write(self) -> Coroutine[Deferred[Any], Any, SlotAnswer]:
        return self.slots.test_and_write(INDEX, SlotSecrets(b"w" * 32, SECRETS), {}, [])

    def test_none(self) -> None:
        """A server that serves none serves none here, as soon as it says so."""
        verifyObject(ISlotServer, self.slots)
        self.assertEqual(self.slots.max_share_size, 77)
        self.inner.slots = None
        self.assertIsNone(self.server.slots)

    def test_ends(self) -> None:
        """Every call fails when its time is over, and not a moment before."""
        large = SlotRead(0, 100_000)
        for work, seconds in (
            (self.slots.shares(INDEX), PATIENCE.question),
            (self.slots.add_lease(INDEX, SECRETS), PATIENCE.question),
            (self.slots.advise_corrupt(INDEX, 0, ""), PATIENCE.question),
            (self.slots.read(INDEX, {0}, [SlotRead(0, 4000)]), PATIENCE.question),
            (self.slots.read(INDEX, {0}, [SlotRead(0, 60), large]), PATIENCE.read),
            (self.write(), PATIENCE.write),
        ):
            waiting = self.start(work)
            self.clock.advance(seconds - 0.1)
            self.assertNoResult(waiting)
            self.clock.advance(0.2)
            error = self.failureResultOf(waiting, TooSlow).value
            self.assertEqual((error.server, error.seconds), ("far", seconds))

    def test_answers(self) -> None:
        """An answer in time is the answer, and no timer is left."""
        waiting = self.start(self.slots.shares(INDEX))
        self.inner.calls.pop().callback({1, 2})
        self.assertEqual(self.successResultOf(waiting), {1, 2})
        waiting = self.start(self.write())
        self.inner.calls.pop().callback(None)
        self.assertEqual(self.successResultOf(waiting), SlotAnswer(True, {}))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_counted(self) -> None:
        """Calls for both kinds of shares are bounded together."""
        for _ in range(40):
            self.start(self.slots.shares(INDEX))
            self.start(self.server.available_space())
        self.assertEqual(len(self.inner.asked), 64)
        self.assertEqual(self.inner.asked.count("shares"), 32)


class TurnTests(_Case):
    def fill(self) -> list[Deferred[Any]]:
        """Have as many calls under way as there may be."""
        work: list[Deferred[Any]] = []
        while len(self.inner.asked) == len(work):
            work.append(self.start(self.server.available_space()))
        return work

    def test_bounded(self) -> None:
        """Only so many calls are under way; the next one waits for its turn."""
        work = self.fill()
        self.assertEqual(len(self.inner.asked), 64)
        self.inner.calls[0].callback(1)
        self.assertEqual(self.successResultOf(work[0]), 1)
        self.assertEqual(len(self.inner.asked), 65)

    def test_failures_give_way(self) -> None:
        """A call that failed, timed out or was cancelled makes room like any other."""
        work = self.fill()
        more = [self.start(self.server.available_space()) for _ in range(65)]
        self.inner.calls[0].errback(NoSpace("there"))
        self.failureResultOf(work[0], NoSpace)
        work[1].cancel()
        self.failureResultOf(work[1], CancelledError)
        self.assertEqual(len(self.inner.asked), 66)
        self.clock.advance(PATIENCE.question + 1)
        for each in work[2:64]:
            self.failureResultOf(each, TooSlow)
        # Those that had a turn meanwhile were asked as long ago; the last were not.
        for each in [work[64], more[0]]:
            self.failureResultOf(each, TooSlow)
        self.assertEqual(len(self.inner.asked), 64 + 66)
        for each in more[1:]:
            self.assertNoResult(each)
        for call in self.inner.calls[66:]:
            call.callback(2)
        self.assertEqual([self.successResultOf(each) for each in more[1:]], [2] * 64)

    def test_cancelled_before_its_turn(self) -> None:
        """A call that was cancelled while it waited is never made."""
        *_, waiting = self.fill()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.inner.calls[0].callback(1)
        self.assertEqual(len(self.inner.asked), 64)
