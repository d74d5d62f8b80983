"""What a server says of mutable files over foolscap, true or not, in words or bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.contracts.slot_server import LEASES, SECRETS, writes
from tests.contracts.test_slot_server import slots_of
from tests.grids import REACTOR, until
from tests.storage.liars import MIB, SERVER, Lair, Liar, never, string_of
from tests.storage.test_foolscap_client import INDEX, new_client
from truckee.codec.slot_container import MAX_SHARE_SIZE
from truckee.errors import TruckeeError
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.interfaces import (
    MAX_SLOT_DATA,
    MAX_SLOT_READS,
    BadAnswer,
    BadSlotRequest,
    BadWriteEnabler,
    CallFailed,
    NoSpace,
    NotConnected,
    OtherKind,
    SlotAnswer,
    SlotDamaged,
    SlotRead,
    SlotTooLarge,
)
from truckee.storage.limited import LimitedServer, Patience, TooSlow

Work = Coroutine[Deferred[Any], Any, Any]

READ = "slot_readv"
WRITE = "slot_testv_and_readv_and_writev"
# What may be held of one answer.
MOST = 72 * MIB
# What is no answer to a question for four bytes of each share, or of some.
WRONG: list[Any] = [
    None,
    5,
    "text",
    b"bytes",
    [],
    [(0, [b""])],
    (0, [b""]),
    {"0": [b""]},
    {b"0": [b""]},
    {0.5: [b""]},
    {True: [b""]},
    {None: [b""]},
    {0: None},
    {0: b"data"},
    {0: (b"data",)},
    {0: {0: b"data"}},
    {0: []},
    {0: [b"1", b"2"]},
    {0: ["text"]},
    {0: [5]},
    {0: [None]},
    {0: [[b""]]},
    {0: [b"12345"]},
    {-1: [b""]},
    {256: [b""]},
    {1 << 40: [b""]},
    {-(1 << 3000): [b""]},
    {share: [b""] for share in range(257)},
]
FOUR = [SlotRead(0, 4)]


class _Case(TestCase):
    timeout = 120
    claims = True  # to have the interface that is expected
    patience = 20.0

    async def setUp(self) -> None:  # type: ignore[override]
        # Foolscap's own, of what made it hang up, which may be after the work has failed.
        self.addCleanup(self.flushLoggedErrors)
        self.lair = Lair.new(self)
        self.liar = Liar(SERVER if self.claims else "")
        self.client = new_client(self)
        self.server: FoolscapServer = await self.client.connect(self.lair.furl(self.liar))
        self.server.hear(durable=False, max_slot_share=MAX_SHARE_SIZE)
        patience = Patience(self.patience, self.patience, self.patience)
        self.slots = slots_of(LimitedServer(self.server, REACTOR, patience))

    def write(self) -> Work:
        """Ask to write."""
        return self.slots.test_and_write(INDEX, SECRETS, {0: writes((0, b"x"))}, FOUR)

    async def is_bad(self, work: Work, why: object) -> None:
        """See that the answer is none, and that the error names the server."""
        try:
            found = await work
        except BadAnswer as error:
            self.assertEqual(error.server, "far")
        except Exception as error:
            self.fail(f"{why!r:.200}: {error!r}")
        else:
            self.fail(f"{why!r:.200}: {found!r:.200}")


class TypeTests(_Case):
    async def test_honest(self) -> None:
        """What is an answer is taken, so that the others fail for what they are."""
        self.liar.answers[READ] = {0: [b"1234"], 255: [b""]}
        found = await self.slots.read(INDEX, frozenset(), FOUR)
        self.assertEqual(found, {0: [b"1234"], 255: [b""]})
        self.liar.answers[WRITE] = (True, {0: [b"1234"], 7: [b"1"]})
        self.assertEqual(await self.write(), SlotAnswer(True, {0: [b"1234"], 7: [b"1"]}))
        self.liar.answers[READ] = {0: [], 255: []}
        self.assertEqual(await self.slots.shares(INDEX), {0, 255})

    async def test_reads(self) -> None:
        """Only shares with the ranges that were asked for are an answer to a read."""
        for wrong in WRONG:
            self.liar.answers[READ] = wrong
            await self.is_bad(self.slots.read(INDEX, frozenset(), FOUR), wrong)
            await self.is_bad(self.slots.read(INDEX, {0}, FOUR), wrong)

    async def test_not_asked_for(self) -> None:
        """A share that nobody asked for is no answer, nor are more than were asked for."""
        for wrong in ({1: [b""]}, {0: [b""], 1: [b""]}, {0: [b""], 3: [b""], 1: [b""]}):
            self.liar.answers[READ] = wrong
            await self.is_bad(self.slots.read(INDEX, {0, 3}, FOUR), wrong)

    async def test_each_range(self) -> None:
        """Each range has its own length, however long another one may be."""
        self.liar.answers[READ] = {0: [b"12345", b""]}
        reads = [SlotRead(0, 4), SlotRead(9, 100)]
        await self.is_bad(self.slots.read(INDEX, {0}, reads), "the first is too long")

    async def test_lists(self) -> None:
        """Bytes are no part of a list of shares."""
        for wrong in (*WRONG, {0: [b""]}):
            if wrong != {0: []}:
                self.liar.answers[READ] = wrong
                await self.is_bad(self.slots.shares(INDEX), wrong)

    async def test_writes(self) -> None:
        """Only a truth with what was read is an answer to a write."""
        wrong: Any
        for wrong in (
            *WRONG,
            (),
            (True,),
            (True, {}, {}),
            [True, {}],
            (1, {}),
            (None, {}),
            ("yes", {}),
            *((True, each) for each in WRONG),
        ):
            self.liar.answers[WRITE] = wrong
            await self.is_bad(self.write(), wrong)


class NamelessTypeTests(TypeTests):
    """The same from a server that does not say what interfaces it has."""

    claims = False


class SizeTests(_Case):
    async def holds_little(self, work: Work) -> None:
        """Check that *work* fails soon, and that little is kept of its answer."""
        began = time.monotonic()
        with self.assertRaises(TruckeeError):
            await work
        self.assertLess(time.monotonic() - began, 15)
        await self.lair.end()
        for broker in self.client.tub.brokers.values():  # none if we hung up
            self.assertLess(len(broker.buffer), MOST)

    def answering(self, *opened: bytes | int, sent: int = 2 * MOST) -> Any:
        """Return what begins these lists and tables, and in them a string of 4 GiB."""

        async def talk(broker: Any) -> None:
            for token in opened:
                if isinstance(token, bytes):
                    broker.sendOpen()
                broker.sendToken(token)
            await string_of(4 << 30, sent)(broker)

        return self.lair.answer_with(talk)

    async def test_endless_range(self) -> None:
        """A range of 4 GiB takes no memory."""
        self.liar.answers[READ] = self.answering(b"dict", 0, b"list")
        await self.holds_little(self.slots.read(INDEX, {0}, FOUR))

    async def test_endless_range_of_a_write(self) -> None:
        """In the answer to a write neither."""
        self.liar.answers[WRITE] = self.answering(b"tuple", b"boolean")
        await self.holds_little(self.write())

    async def test_endless_number(self) -> None:
        """A share number of 4 GiB takes no memory."""
        self.liar.answers[READ] = self.answering(b"dict")
        await self.holds_little(self.slots.shares(INDEX))

    async def test_many_ranges(self) -> None:
        """Ranges that do not end are not collected."""

        async def talk(broker: Any) -> None:
            broker.sendOpen()
            broker.sendToken(b"dict")
            broker.sendToken(0)
            broker.sendOpen()
            broker.sendToken(b"list")
            for _ in range(100_000):
                broker.sendToken(b"1234")

        self.liar.answers[READ] = self.lair.answer_with(talk)
        await self.holds_little(self.slots.read(INDEX, {0}, FOUR))

    async def test_all_shares_in_full(self) -> None:
        """One who has all of every share sends no more than one answer may have."""
        sent: list[int] = []
        size = 16 * MIB

        def answer(_: bytes, shares: list[int], reads: list[tuple[int, int]]) -> Any:
            found = {n: [bytes(min(size, length)) for _, length in reads] for n in shares}
            if not shares:  # which are there
                return {share: [] for share in range(256)}
            sent.extend(len(part) for parts in found.values() for part in parts)
            return found

        self.liar.answers[READ] = answer
        with self.assertRaisesRegex(BadSlotRequest, "more than 67108864 bytes"):
            await self.slots.read(INDEX, frozenset(), [SlotRead(0, size), SlotRead(9, 1)])
        self.assertLessEqual(sum(sent), MAX_SLOT_DATA + size)

    async def test_asked_in_parts(self) -> None:
        """A read of many ranges is split; each call asks for what an answer may have."""
        calls: list[tuple[list[int], list[tuple[int, int]]]] = []

        def answer(_: bytes, shares: list[int], reads: list[tuple[int, int]]) -> Any:
            calls.append((shares, reads))
            return {share: [b"%d" % place for place, _ in reads] for share in shares or [4]}

        self.liar.answers[READ] = answer
        reads = [SlotRead(n, 9) for n in range(3 * MAX_SLOT_READS + 5)]
        found = await self.slots.read(INDEX, frozenset(), reads)
        self.assertEqual(found, {4: [b"%d" % n for n in range(len(reads))]})
        self.assertEqual([len(each) for _, each in calls], [0, *[MAX_SLOT_READS] * 3, 5])
        calls.clear()
        found = await self.slots.read(
            INDEX, {4}, [SlotRead(n, 40 * MIB) for n in (1, 2, 3)]
        )
        self.assertEqual(found, {4: [b"1", b"2", b"3"]})
        lengths = [sum(length for _, length in each) for _, each in calls]
        self.assertLessEqual(max(lengths), MAX_SLOT_DATA)

    async def test_gone_between(self) -> None:
        """A share that is deleted between two parts of a read is left out."""
        answers = [{4: [], 5: []}, {4: [b"4"]}, {}, {5: [b"5"]}, {5: [b"5"]}]
        self.liar.answers[READ] = lambda *_: answers.pop(0)
        reads = [SlotRead(0, 40 * MIB)] * 2
        found = await self.slots.read(INDEX, frozenset(), reads)
        self.assertEqual(found, {5: [b"5", b"5"]})

    async def test_greedy_writes(self) -> None:
        """We ask for no answer to a write that a lie could make too long."""
        with self.assertRaisesRegex(BadSlotRequest, "read it apart"):
            change = {0: writes((0, b"x"))}
            await self.slots.test_and_write(INDEX, SECRETS, change, [SlotRead(0, MIB)])


def error_named(name: str, text: str) -> Callable[..., object]:
    """Return what fails with an error of this name and text."""

    def fail(*_: object) -> object:
        raise type(name, (Exception,), {})(text)

    return fail


class RefusalTests(_Case):
    """Errors are the server's words; what they may mean is a refusal and no more."""

    async def test_meanings(self) -> None:
        """The errors of our servers and of stock ones have a meaning."""
        nodeid = "a" * 32
        text = f"The write enabler was recorded by nodeid '{nodeid}'."
        for name, words, expected in (
            ("BadWriteEnabler", text, BadWriteEnabler(nodeid)),
            ("BadWriteEnablerError", text, BadWriteEnabler(nodeid)),
            ("BadWriteEnabler", "x" * 5000, BadWriteEnabler("?")),
            ("BadWriteEnabler", text.replace("aaa", "<b>"), BadWriteEnabler("?")),
            ("NoSpace", "there is none", NoSpace("far")),
            ("NotWritable", "no", NoSpace("far")),
            ("OSError", "[Errno 28] No space left on device", NoSpace("far")),
            ("OtherKind", "", OtherKind("immutable")),
            ("SlotTooLarge", "", SlotTooLarge(0, 1)),
            ("DataTooLargeError", "", SlotTooLarge(0, 1)),
            ("SlotDamaged", "Share 7 is damaged", SlotDamaged(7)),
        ):
            self.liar.answers[WRITE] = error_named(name, words)
            with self.assertRaises(type(expected)) as caught:
                await self.write()
            self.assertEqual(str(caught.exception), str(expected))

    async def test_no_meanings(self) -> None:
        """Other errors are failures, whose words are short."""
        for name, words in (
            ("OSError", "something else"),
            ("SlotDamaged", "all of them"),
            ("KeyError", "x" * 5000),
            ("N" * 5000, "a\nb"),
        ):
            self.liar.answers[READ] = error_named(name, words)
            with self.assertRaises(CallFailed) as caught:
                await self.slots.read(INDEX, frozenset(), FOUR)
            self.assertLess(len(str(caught.exception)), 400)
            self.assertLessEqual(len(caught.exception.kind), 50)
        self.liar.answers[READ] = error_named("BadSlotRequest", "x\n" * 5000)
        with self.assertRaises(BadSlotRequest) as refused:
            await self.slots.read(INDEX, frozenset(), FOUR)
        self.assertLess(len(str(refused.exception)), 400)


class SilenceTests(_Case):
    patience = 0.5

    def calls(self) -> list[Work]:
        """Return one of each."""
        return [
            self.slots.shares(INDEX),
            self.slots.read(INDEX, frozenset(), FOUR),
            self.write(),
            self.slots.add_lease(INDEX, LEASES),
            self.slots.advise_corrupt(INDEX, 0, "a bad block"),
        ]

    def be_silent(self, heard: list[object]) -> None:
        def method(*_: object) -> Deferred[None]:
            heard.append(None)
            return never()

        for name in (READ, WRITE, "add_lease", "advise_corrupt_share"):
            self.liar.answers[name] = method

    async def test_all_calls(self) -> None:
        """Every call that is never answered ends, and its error names the server."""
        self.be_silent([])
        for each in [Deferred.fromCoroutine(call) for call in self.calls()]:
            error = await self.assertFailure(each, TooSlow)
            self.assertIn("far", str(error))

    async def test_lost(self) -> None:
        """When the connection is lost all calls fail at once, and those without one."""
        heard: list[object] = []
        self.be_silent(heard)
        slots, self.slots = self.slots, slots_of(self.server)
        waiting = [Deferred.fromCoroutine(call) for call in self.calls()]
        await until(lambda: len(heard) == len(waiting))
        await self.client.stop()
        for each in waiting:
            await self.assertFailure(each, NotConnected)
        self.slots, self.server.remote = slots, None
        for call in self.calls():
            with self.assertRaises(NotConnected):
                await call
