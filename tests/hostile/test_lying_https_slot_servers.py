"""What a server says of mutable files over HTTPS, true or not."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import Any

import cbor2
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.contracts.slot_server import LEASES, SECRETS, writes
from tests.contracts.test_slot_server import slots_of
from tests.grids import REACTOR
from tests.storage.gbs_liars import OK, Liar, Lie, Lies, beginning, body, lying, saying
from tests.storage.liars import MIB
from truckee.codec.slot_container import MAX_SHARE_SIZE
from truckee.storage import gbs_schema
from truckee.storage.gbs_slot_schema import encode_answer
from truckee.storage.interfaces import (
    MAX_SLOT_DATA,
    BadAnswer,
    BadSlotRequest,
    BadWriteEnabler,
    CallFailed,
    ISlotServer,
    NoSpace,
    NotConnected,
    OtherKind,
    SlotAnswer,
    SlotDamaged,
    SlotRead,
)
from truckee.storage.limited import LimitedServer, TooSlow

Work = Coroutine[Deferred[Any], Any, Any]

INDEX = b"i" * 16
FOUR = [SlotRead(0, 4)]
PART = b"HTTP/1.1 206 Part\r\nContent-Range: "
VERSION = body(gbs_schema.encode_version(b"a", 5, MAX_SHARE_SIZE))


def part(data: bytes) -> Lie:
    """Answer with a range at the beginning of a share."""
    return body(data, PART + b"bytes 0-%d/*\r\n" % (len(data) - 1))


def status(line: bytes, text: bytes = b"") -> Lie:
    """Answer with another status."""
    return body(text, b"HTTP/1.1 " + line + b"\r\n")


class _Case(TestCase):
    timeout = 120

    async def liar(
        self, *lies: Lie, patience: float = 20.0, limited: bool = True
    ) -> tuple[ISlotServer, Lies]:
        """Return the slots of a server that answers so, one after the other."""
        left = [VERSION, *lies]
        client, said = lying(
            self, lambda liar: (left.pop(0) if len(left) > 1 else left[0])(liar), patience
        )
        await client.version()
        return slots_of(LimitedServer(client, REACTOR) if limited else client), said

    def write(self, slots: ISlotServer, reads: list[SlotRead] = FOUR) -> Work:
        """Ask to write."""
        return slots.test_and_write(INDEX, SECRETS, {0: writes((0, b"x"))}, reads)

    def calls(self, slots: ISlotServer) -> list[Work]:
        """Return one of each."""
        return [
            slots.shares(INDEX),
            slots.read(INDEX, frozenset(), FOUR),
            self.write(slots),
            slots.add_lease(INDEX, LEASES),
            slots.advise_corrupt(INDEX, 0, "a bad block"),
        ]


class AnswerTests(_Case):
    async def test_honest(self) -> None:
        """What is an answer is taken, so that the others fail for what they are."""
        shares = body(gbs_schema.encode_shares({0, 7}))
        slots, _ = await self.liar(shares, part(b"1234"))
        self.assertEqual(await slots.read(INDEX, {0, 3}, FOUR), {0: [b"1234"]})
        answer = SlotAnswer(False, {0: [b"1234"], 255: [b""]})
        slots, _ = await self.liar(body(encode_answer(answer)))
        self.assertEqual(await self.write(slots), answer)

    async def test_lists(self) -> None:
        """Only a set of share numbers is a list of shares."""
        for wrong in (
            b"",
            b"nonsense",
            cbor2.dumps([0]),
            cbor2.dumps({0: 1}),
            cbor2.dumps(0),
            cbor2.dumps({-1}),
            cbor2.dumps({256}),
            cbor2.dumps({1 << 40}),
            cbor2.dumps({"0"}),
            cbor2.dumps({True}),
            cbor2.dumps(set(range(257))),
            cbor2.dumps({0}) + b"\0",
        ):
            slots, _ = await self.liar(body(wrong))
            for call in (slots.shares(INDEX), slots.read(INDEX, {0}, FOUR)):
                with self.assertRaises(BadAnswer):
                    await call

    async def test_ranges(self) -> None:
        """More bytes than asked for, others, or all of them are not used."""
        for lie in (
            part(b"12345"),
            part(bytes(3000)),
            part(bytes(2 * MIB)),
            body(b"1234", PART + b"bytes 1-4/*\r\n"),
            body(b"123", PART + b"bytes 0-3/*\r\n"),
            body(b"1234", PART + b"bytes 0-3\r\n"),
            body(b"1234", PART + b"bytes 3-0/*\r\n"),
            body(b"1234", b"HTTP/1.1 206 Part\r\n"),
            body(b"", PART + b"bytes 0-3/*\r\n"),
        ):
            slots, _ = await self.liar(body(gbs_schema.encode_shares({0})), lie)
            with self.assertRaises(BadAnswer):
                await slots.read(INDEX, {0}, FOUR)

    async def test_writes(self) -> None:
        """Only a truth with the ranges that were asked for is an answer to a write."""
        honest = {"success": True, "data": {0: [b"1234"]}}
        wrong: Any
        for wrong in (
            None,
            [True, {}],
            {"success": True},
            {"data": {}},
            {**honest, "more": 1},
            {**honest, "success": 1},
            {**honest, "success": None},
            {**honest, "success": "true"},
            {**honest, "data": []},
            {**honest, "data": None},
            {**honest, "data": {"0": [b""]}},
            {**honest, "data": {-1: [b""]}},
            {**honest, "data": {256: [b""]}},
            {**honest, "data": {1 << 70: [b""]}},
            {**honest, "data": {0: b"1234"}},
            {**honest, "data": {0: {0: b""}}},
            {**honest, "data": {0: []}},
            {**honest, "data": {0: [b"", b""]}},
            {**honest, "data": {0: ["1234"]}},
            {**honest, "data": {0: [1]}},
            {**honest, "data": {0: [b"12345"]}},
            {**honest, "data": {share: [b""] for share in range(257)}},
        ):
            slots, _ = await self.liar(body(cbor2.dumps(wrong)))
            with self.assertRaises(BadAnswer, msg=repr(wrong)[:200]):
                await self.write(slots)

    async def test_messages(self) -> None:
        """What is cut off, twice there, or of no known length is no answer to a write."""
        honest = cbor2.dumps({"success": True, "data": {0: [b"1234"]}})
        twice = honest.replace(b"\xa1\x00\x81D1234", b"\xa2\x00\x81D1234\x00\x81D1234")
        self.assertNotEqual(twice, honest)
        for wrong in (
            b"",
            honest[:-1],
            honest + b"\0",
            twice,
            honest.replace(b"D1234", b"\x5f"),
            honest.replace(b"D1234", b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff"),
            honest.replace(b"\x81D1234", b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
            bytes.fromhex("bbffffffffffffffff"),
            b"\x81" * 5000,
        ):
            slots, _ = await self.liar(body(wrong))
            with self.assertRaises(BadAnswer, msg=repr(wrong)[:200]):
                await self.write(slots)

    async def test_statuses(self) -> None:
        """Each refusal has its meaning; other statuses are failures."""
        nodeid = b"a" * 32
        enabler = b"The write enabler was recorded by nodeid '%b'."
        for lie, expected in (
            (status(b"401 No", enabler % nodeid), BadWriteEnabler("a" * 32)),
            (status(b"401 No", enabler % b"<b>"), BadWriteEnabler("?")),
            (status(b"401 No", b"\xff" * 4000), BadWriteEnabler("?")),
            (status(b"409 No"), OtherKind("immutable")),
            (status(b"409 No", b"Share 12 is damaged on"), SlotDamaged(12)),
            (status(b"507 Full"), NoSpace("far away")),
        ):
            slots, _ = await self.liar(lie)
            with self.assertRaises(type(expected)) as caught:
                await self.write(slots)
            self.assertEqual(str(caught.exception), str(expected))
        for line in (b"400 Bad", b"413 Long"):
            slots, _ = await self.liar(status(line))
            with self.assertRaises(BadSlotRequest):
                await self.write(slots)
        for line in (b"302 Found\r\nLocation: http://127.0.0.1:1/", b"500 No", b"204 No"):
            slots, said = await self.liar(status(line))
            with self.assertRaises(CallFailed):
                await self.write(slots)
            with self.assertRaises(CallFailed):
                await slots.shares(INDEX)
            self.assertEqual(said.heard.count(b"HTTP/1.1"), 3)

    async def test_gone_between(self) -> None:
        """A share that is gone when it is read is left out."""
        shares = body(gbs_schema.encode_shares({0}))
        slots, _ = await self.liar(shares, status(b"404 Gone"))
        self.assertEqual(await slots.read(INDEX, frozenset(), FOUR), {})
        slots, _ = await self.liar(shares, status(b"204 Nothing"))
        self.assertEqual(await slots.read(INDEX, frozenset(), FOUR), {0: [b""]})

    async def test_versions(self) -> None:
        """A server that takes shares of no size serves none; other sizes are no version."""
        for version, wrong in ((0, False), (-1, True), ("x", True), (True, True)):
            answer = {
                gbs_schema._PROTOCOL: {
                    gbs_schema._AVAILABLE_SPACE: 5,
                    gbs_schema._MAX_SLOT_SHARE_SIZE: version,
                }
            }
            client, _ = lying(self, body(cbor2.dumps(answer)))
            if wrong:
                with self.assertRaises(BadAnswer):
                    await client.version()
            else:
                await client.version()
            self.assertIsNone(client.slots)


class SizeTests(_Case):
    async def test_endless(self) -> None:
        """What never ends is cut off, wherever it is."""
        chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
        chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n"
        for lie in (
            beginning(OK, b"X: " + b"x" * 8000 + b"\r\n"),
            beginning(OK + b"\r\n", bytes(65536)),
            beginning(chunked, chunk),
            beginning(PART + b"bytes 0-3/*\r\n\r\n", bytes(65536)),
            beginning(b"HTTP/1.1 401 No\r\n\r\n", bytes(65536)),
        ):
            begin = time.monotonic()
            slots, said = await self.liar(lie)
            with self.assertRaises((BadAnswer, CallFailed)):
                await self.write(slots)
            self.assertLess(time.monotonic() - begin, 20)
            # The rest of it stands in the buffers of the system.
            self.assertLess(said.said, 32 * MIB)
        slots, said = await self.liar(
            body(gbs_schema.encode_shares({0})),
            beginning(PART + b"bytes 0-3/*\r\n\r\n", bytes(65536)),
        )
        with self.assertRaises(BadAnswer):
            await slots.read(INDEX, {0}, FOUR)
        self.assertLess(said.said, 32 * MIB)

    async def test_all_shares_in_full(self) -> None:
        """One who has all of every share sends no more than one answer may have."""
        size = 16 * MIB
        shares = body(gbs_schema.encode_shares(frozenset(range(256))))
        slots, said = await self.liar(shares, part(bytes(size)))
        # The last one is cut off.
        with self.assertRaises((BadSlotRequest, BadAnswer)):
            await slots.read(INDEX, frozenset(), [SlotRead(0, size)])
        self.assertLess(said.said, MAX_SLOT_DATA + 2 * size)

    async def test_greedy_writes(self) -> None:
        """We ask for no answer to a write that a lie could make too long."""
        slots, said = await self.liar(VERSION)
        heard = said.heard
        with self.assertRaisesRegex(BadSlotRequest, "read it apart"):
            await self.write(slots, [SlotRead(0, MIB)])
        self.assertEqual(said.heard, heard)


class SilenceTests(_Case):
    async def test_all_calls(self) -> None:
        """Silence has an end for every call, and for a trickle too."""
        for lie in (
            saying(b""),
            saying(OK + b"Content-Length: 5\r\n\r\n1"),
            lambda liar: liar.repeat(b"H", 0.01),
        ):
            slots, _ = await self.liar(lie, patience=0.3)
            waiting = [Deferred.fromCoroutine(call) for call in self.calls(slots)]
            for each in waiting:
                await self.assertFailure(each, TooSlow)

    async def test_leaves(self) -> None:
        """A server that leaves in the middle of an answer has not answered."""

        def leave(liar: Liar) -> None:
            liar.say(OK + b"Content-Length: 500\r\n\r\n1")
            assert liar.transport is not None
            liar.transport.loseConnection()

        slots, _ = await self.liar(leave)
        for call in self.calls(slots):
            with self.assertRaises(NotConnected):
                await call
