"""What a storage server says over foolscap, true or not, in words or bytes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, SECRETS, until
from tests.storage.liars import (
    MIB,
    READER,
    SERVER,
    WRITER,
    Lair,
    Liar,
    lists_of_lists,
    never,
    readers,
    string_of,
)
from tests.storage.test_foolscap_client import INDEX, new_client
from truckee.errors import TruckeeError
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_schema import AVAILABLE_SPACE, PROTOCOL
from truckee.storage.interfaces import BadAnswer
from truckee.storage.limited import LimitedServer, Patience, TooSlow

Work = Coroutine[Deferred[Any], Any, Any]

# What may be held of one message that is too long: a block has up to 64 MiB.
MOST = 72 * MIB


class _Case(TestCase):
    timeout = 120
    claims = True  # to have the interfaces that are expected

    async def setUp(self) -> None:  # type: ignore[override]
        self.lair = Lair.new(self)
        self.liar = Liar(self.claimed(SERVER))
        self.client = new_client(self)
        self.server: FoolscapServer = await self.client.connect(self.lair.furl(self.liar))
        self.limited = LimitedServer(self.server, REACTOR, Patience(1, 1, 1))

    def claimed(self, interface: str) -> str:
        return interface if self.claims else ""

    async def fails(self, work: Work, why: object = "") -> None:
        """Check that *work* ends with an error of ours that names the server."""
        try:
            found = await work
        except TruckeeError as error:
            self.assertIn("far", str(error), why)
            self.assertLess(len(str(error)), 400, why)
        except Exception as error:
            self.fail(f"{why}: {error!r}")
        else:
            self.fail(f"{why}: {found!r}")

    async def read(self, answer: Any, length: int = 4) -> bytes:
        """Read from a share whose reads are answered with *answer*."""
        reader = Liar(self.claimed(READER), {"read": answer})
        self.liar.answers["get_buckets"] = {0: reader}
        return await (await self.limited.buckets(INDEX))[0].read(0, length)


class TypeTests(_Case):
    """Answers of other types than the protocol has."""

    async def test_buckets(self) -> None:
        """Only numbers with readers are an answer to the question for shares."""
        reader = Liar(self.claimed(READER))
        wrong: Any
        for wrong in (
            None,
            5,
            "text",
            b"bytes",
            [0],
            [(0, reader)],
            {"0": reader},
            {b"0": reader},
            {0.5: reader},
            {0: None},
            {0: b"reader"},
            {0: [reader]},
            dict.fromkeys(range(257), reader),
        ):
            self.liar.answers["get_buckets"] = wrong
            await self.fails(self.server.buckets(INDEX), wrong)

    async def test_allocations(self) -> None:
        """Only numbers, and numbers with writers, are an answer to an allocation."""
        writer = Liar(self.claimed(WRITER))
        wrong: Any
        for wrong in (
            None,
            5,
            "text",
            (),
            set(),
            {0: writer},
            [set(), {0: writer}],
            (set(),),
            (set(), {}, {}),
            ({}, {0: writer}),
            ([], {0: writer}),
            ({"0"}, {0: writer}),
            ({None}, {0: writer}),
            (set(), [writer]),
            (set(), {"0": writer}),
            (set(), {0: None}),
            (set(), {0: b"writer"}),
            (set(range(257)), {}),
            (set(), dict.fromkeys(range(257), writer)),
        ):
            self.liar.answers["allocate_buckets"] = wrong
            await self.fails(self.server.allocate(INDEX, SECRETS, {0}, 8), wrong)

    async def test_versions(self) -> None:
        """Only a table is an answer to the question for the version."""
        wrong: Any
        for wrong in (None, 5, "text", b"bytes", [], [PROTOCOL], {5: 6}, {"a": {}}):
            self.liar.answers["get_version"] = wrong
            await self.fails(self.server.available_space(), wrong)

    async def test_reads(self) -> None:
        """Only bytes are an answer to a read."""
        for wrong in (None, 5, "text", ["b"], {0: b"bytes"}, Liar(READER)):
            await self.fails(self.read(wrong), wrong)

    async def test_direct_shares(self) -> None:
        """Only 0 or 1 is an answer to a share, and only so many bytes to a read."""
        self.server.hear(durable=True, max_slot_share=0, direct_shares=True)
        direct = self.server.direct
        assert direct is not None
        wrong: Any
        for wrong in (None, 5, -1, "text", b"yes", [1], {0: 1}):
            self.liar.answers["truckee_store_share"] = wrong
            await self.fails(direct.store(INDEX, SECRETS, 0, b"data"), wrong)
        for wrong in (None, 5, "text", [b"data"], {0: b"data"}, b"longer"):
            self.liar.answers["truckee_read_share"] = wrong
            await self.fails(direct.read(INDEX, 0, 0, 4), wrong)

    async def test_late(self) -> None:
        """Nonsense that nobody waits for any more is nothing."""
        gc.collect()  # what others left
        self.flushLoggedErrors()
        answer: Deferred[Any] = Deferred()
        self.liar.answers["allocate_buckets"] = lambda *_: answer
        await self.fails(self.limited.allocate(INDEX, SECRETS, {0}, 8))
        answer.callback("text")
        self.liar.answers["get_buckets"] = {}
        self.assertEqual(await self.limited.buckets(INDEX), {})
        gc.collect()  # what nobody handled is told of then
        self.assertEqual(self.flushLoggedErrors(), [])


class NamelessTypeTests(TypeTests):
    """The same from a server that does not say what interfaces it has."""

    claims = False


class InterfaceTests(_Case):
    async def test_swapped(self) -> None:
        """A reader is no writer, a writer is no reader, and a server is neither."""
        for other in (WRITER, SERVER):
            self.liar.answers["get_buckets"] = {0: Liar(other, {"read": b"data"})}
            await self.fails(self._read(), other)
        for other in (READER, SERVER):
            writer = Liar(other, {"write": None, "close": None})
            self.liar.answers["allocate_buckets"] = (set(), {0: writer})
            await self.fails(self._write(), other)

    async def _read(self) -> bytes:
        return await (await self.server.buckets(INDEX))[0].read(0, 4)

    async def _write(self) -> None:
        answer = await self.server.allocate(INDEX, SECRETS, {0}, 8)
        await answer.writers[0].write(0, [b"data"])


class NumberTests(_Case):
    async def test_not_asked_for(self) -> None:
        """Writers of shares that nobody asked for are not used."""
        writer = Liar(WRITER)
        numbers = [-(2**70), -1, 0, 1, 255, 256, 2**70]
        self.liar.answers["allocate_buckets"] = (
            set(numbers),
            dict.fromkeys(numbers, writer),
        )
        answer = await self.server.allocate(INDEX, SECRETS, {0, 9}, 8)
        self.assertEqual(list(answer.writers), [0])

    async def test_space(self) -> None:
        """Free space may be any number."""
        for space in (-1, 0, 2**64, 2**3000, -(2**3000)):
            self.liar.answers["get_version"] = {PROTOCOL: {AVAILABLE_SPACE: space}}
            self.assertEqual(await self.server.available_space(), space)


class SizeTests(_Case):
    """Answers that are larger than any honest one."""

    async def setUp(self) -> None:  # type: ignore[override]
        # Foolscap's own, of what made it hang up, which may be after the work has failed.
        self.addCleanup(self.flushLoggedErrors)
        await super().setUp()

    async def holds_little(self, work: Work) -> None:
        """Check that *work* fails soon, and that little is kept of its answer."""
        began = time.monotonic()
        await self.fails(work)
        self.assertLess(time.monotonic() - began, 5)
        await self.lair.end()
        for broker in self.client.tub.brokers.values():  # none if we hung up
            self.assertLess(len(broker.buffer), MOST)

    async def test_long_read(self) -> None:
        """A read that is answered with 64 MiB fails."""
        await self.holds_little(self.read(bytes(64 * MIB)))

    async def test_endless_read(self) -> None:
        """A read of four bytes that is answered with 4 GiB takes no memory."""
        answer = self.lair.answer_with(string_of(4 << 30, 2 * MOST))
        await self.holds_little(self.read(answer))

    async def test_endless_bucket_list(self) -> None:
        """Share numbers of 4 GiB take no memory."""
        self.liar.answers["get_buckets"] = self.lair.answer_with(
            string_of(4 << 30, 2 * MOST)
        )
        await self.holds_little(self.limited.buckets(INDEX))

    async def test_endless_version(self) -> None:
        """A version of 4 GiB takes no memory."""

        async def talk(broker: Any) -> None:
            broker.sendOpen()
            broker.sendToken(b"dict")
            broker.sendToken(b"key")
            await string_of(4 << 30, 2 * MOST)(broker)

        self.liar.answers["get_version"] = self.lair.answer_with(talk)
        await self.holds_little(self.limited.available_space())

    async def test_endless_call(self) -> None:
        """A call to us with an argument of 4 GiB takes no memory."""

        def call(
            _: object, __: object, ___: object, ____: object, _____: object, us: Any
        ) -> Any:
            broker = self.lair.broker

            async def talk() -> None:
                broker.sendOpen()
                for token in (b"call", 0, us.tracker.clid, b"method"):
                    broker.sendToken(token)
                broker.sendOpen()
                for token in (b"arguments", 1):
                    broker.sendToken(token)
                await string_of(4 << 30, 2 * MOST)(broker)

            self.lair.say(talk())
            return Deferred()

        self.liar.answers["allocate_buckets"] = call
        await self.holds_little(self.limited.allocate(INDEX, SECRETS, {0}, 8))

    async def test_deep(self) -> None:
        """A version that is nested 10,000 deep fails at once."""

        async def talk(broker: Any) -> None:
            broker.sendOpen()
            broker.sendToken(b"dict")
            broker.sendToken(b"key")
            await lists_of_lists(10_000)(broker)

        self.liar.answers["get_version"] = self.lair.answer_with(talk)
        await self.holds_little(self.limited.available_space())


class NamelessSizeTests(SizeTests):
    """The same from a server that does not say what interfaces it has."""

    claims = False


class SilenceTests(_Case):
    async def test_all_calls(self) -> None:
        """Every call that is never answered ends, and its error names the server."""
        methods = ("get_version", "allocate_buckets", "get_buckets", "add_lease")
        self.liar.answers["get_buckets"] = readers({0: never})
        reader = (await self.limited.buckets(INDEX))[0]
        remote = Liar(WRITER, {"write": never, "close": never, "abort": never})
        self.liar.answers["allocate_buckets"] = (set(), {0: remote})
        writer = (await self.limited.allocate(INDEX, SECRETS, {0}, 8)).writers[0]
        for method in (*methods, "advise_corrupt_share"):
            self.liar.answers[method] = never
        calls: list[Callable[[], Work]] = [
            self.limited.available_space,
            lambda: self.limited.allocate(INDEX, SECRETS, {0}, 8),
            lambda: self.limited.buckets(INDEX),
            lambda: self.limited.add_lease(INDEX, SECRETS),
            lambda: self.limited.advise_corrupt(INDEX, 0, "a bad block"),
            lambda: reader.read(0, 4),
            lambda: writer.write(0, [b"data"]),
            lambda: writer.close(8),
        ]
        waiting = [Deferred.fromCoroutine(call()) for call in calls]
        for each in waiting:
            error = await self.assertFailure(each, TooSlow)
            self.assertIn("far", str(error))
        await writer.abort()

    async def test_late_allocation(self) -> None:
        """What a server allocates when nobody waits any more is given back."""
        answer: Deferred[Any] = Deferred()
        aborted: list[None] = []
        self.liar.answers["allocate_buckets"] = lambda *_: answer
        with self.assertRaises(TooSlow):
            await self.limited.allocate(INDEX, SECRETS, {0}, 8)
        writer = Liar(WRITER, {"abort": lambda: aborted.append(None)})
        answer.callback((set(), {0: writer}))
        await until(lambda: aborted)


class ManyTests(_Case):
    async def test_all_numbers(self) -> None:
        """A server may hold 256 shares of a file."""
        self.liar.answers["get_buckets"] = readers(dict.fromkeys(range(256), b"data"))
        found = await self.limited.buckets(INDEX)
        self.assertEqual(sorted(found), list(range(256)))
        self.assertEqual(await found[255].read(0, 4), b"data")

    async def test_too_long(self) -> None:
        """An answer that is one byte too long is none."""
        self.assertEqual(await self.read(b"12345", 5), b"12345")
        with self.assertRaises(BadAnswer):
            await self.read(b"12345", 4)
