"""A helper that says anything, true or not: a gateway gives out no wrong cap."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.grids import Grid, pause, until
from tests.helper.gateway.test_integrity import ueb_of
from tests.helper.helped import ENCODING, KEY, Content, Gateway, begin, cut
from tests.storage.liars import MIB, Lair, Liar, never, raises, string_of
from truckee.codec.geometry import Encoding
from truckee.errors import Corrupt, Misuse, Refused, TruckeeError, Unavailable
from truckee.grid.selection import NotEnoughServers
from truckee.helper import wire
from truckee.helper.errors import (
    ContentDiffers,
    HelperBusy,
    HelperFailed,
    HelperFull,
    HelperLied,
    HelperRefuses,
    HelperSilent,
)
from truckee.helper.gateway.connection import NoHelper
from truckee.helper.gateway.push_session import HelperForgot
from truckee.helper.gateway.push_sink import HelperSink
from truckee.helper.gateway.timeouts import HelperPatience
from truckee.helper.protocol import RIHelper, RIPushUpload
from truckee.immutable.upload.sinks import KeyReused
from truckee.storage.interfaces import NoSpace

HELPER = str(RIHelper.__remote_name__)
UPLOAD = str(RIPushUpload.__remote_name__)
SIZE = 300
SHORT = HelperPatience(absent=0.6, silent=0.6, again=0.02)
# Within twice the patience, on a busy machine.
SOON = 20.0  # seconds
GIVEN = {"guarded": True, "resumable": True}
CONVERGENT = {"resumable": True}


@define(eq=False)
class Story:
    """A helper in memory that tells the truth, but for what a test has it say."""

    content: Content
    claims: bool
    held: bytes = b""
    helper: dict[str, Any] = field(factory=dict)  # answers of the helper
    upload: dict[str, Any] = field(factory=dict)  # and of its uploads
    opened: int = 0  # times
    aborted: list[bool] = field(factory=list)
    observer: Any = None

    def helper_liar(self) -> Liar:
        """Return what the furl leads to."""
        return Liar(HELPER if self.claims else "", self.helper, self)

    def remote_get_version(self) -> Any:
        return {wire.PUSH: {}, b"application-version": b"story"}

    def remote_open_push(self, index: bytes, shape: Any, size: Any, observer: Any) -> Any:
        self.opened += 1
        self.observer = observer
        return self.receive(len(self.held), _sha256(self.held))

    def receive(self, held: Any, digest: Any) -> Any:
        """Return an answer that opens an upload."""
        part = Liar(UPLOAD, self.upload, self)
        return wire.RECEIVE, b"", held, digest, part, b""

    def remote_push(self, offset: int, data: bytes) -> Any:
        assert offset <= len(self.held)
        self.held = self.held[:offset] + data
        return len(self.held), b""

    def remote_finish(self, size: int, root: bytes) -> Any:
        return b"", b"", self.ueb, {0: [b"a"], 1: [b"b"], 2: [b"c"]}

    def remote_abort(self, forget: bool) -> None:
        self.aborted.append(forget)

    @property
    def ueb(self) -> bytes:
        return ueb_of(self.content.ciphertext, self.content.encoding)[0]


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest() if data else b""


class _Case(TestCase):
    timeout = 120
    claims = True  # to have the interfaces that are expected

    async def setUp(self) -> None:  # type: ignore[override]
        self.lair = Lair.new(self)
        self.content = Content(SIZE)
        self.grid = Grid.new(self, ENCODING)
        self.story = Story(self.content, self.claims)
        self.gateway = await Gateway.new(
            self,
            self.grid,
            self.lair.furl(self.story.helper_liar()),
            number=3,
            patience=SHORT,
        )

    def new_story(self) -> None:
        """Begin with the truth again."""
        self.story.helper.clear()
        self.story.upload.clear()
        self.story.held = b""
        self.story.opened = 0
        self.story.aborted.clear()

    async def fails(
        self, *kinds: type[Exception], why: object = "", known: bool = True, **options: Any
    ) -> Exception:
        """Check that no cap comes of a file, but one of these errors, soon and short."""
        await until(lambda: self.gateway.connection.connected)
        began = time.monotonic()
        try:
            cap = await self.gateway.push(self.content, known=known, chunk=70, **options)
        except TruckeeError as error:
            self.assertIsInstance(error, kinds, why)
            self.assertLess(len(str(error)), 700, why)
            self.assertTrue(str(error).isprintable(), why)
            self.assertLess(time.monotonic() - began, SOON, why)
            return error
        except Exception as error:
            raise AssertionError(f"{why}: {error!r}") from error
        raise AssertionError(f"{why}: {cap}")


class TruthTests(_Case):
    async def test_truth(self) -> None:
        """The helper of these tests is a good one when it does not lie."""
        for known in (True, False):
            for options in ({}, CONVERGENT, GIVEN):
                for held in (0, 100, SIZE):
                    self.new_story()
                    self.story.held = self.content.ciphertext[:held]
                    cap = await self.gateway.push(
                        self.content, known=known, chunk=70, **options
                    )
                    self.assertEqual(cap, self.content.cap)
                    self.assertEqual(self.story.held, self.content.ciphertext)


class UebTests(_Case):
    def wrong(self) -> list[bytes]:
        """Return UEBs that are not that of the file."""
        data, right = self.content.ciphertext, self.story.ueb
        return [
            right[:-1],
            right[: len(right) // 2],
            right + b"x",
            right + right,
            right.replace(b"size:3:300", b"size:3:301"),
            right.replace(b"needed_shares:1:2", b"needed_shares:1:1"),
            right.replace(self.content.root, bytes(32)),
            ueb_of(data[:-1])[0],
            ueb_of(data + b"x")[0],
            ueb_of(Content(SIZE, seed=4).ciphertext)[0],
            ueb_of(data, Encoding(1, 3, 64))[0],
            ueb_of(data, Encoding(2, 4, 64))[0],
            ueb_of(data, Encoding(2, 3, 128))[0],
            b"rubbish",
            b"\xff" * 2000,
            b"size:3:300,",
        ]

    async def test_at_the_end(self) -> None:
        """Whatever other file's UEB comes in the end, there is no cap."""
        for ueb in self.wrong():
            for known in (True, False):
                self.new_story()
                self.story.upload["finish"] = (b"", b"", ueb, {})
                await self.fails(HelperLied, known=known, why=ueb)
                self.assertEqual(self.story.aborted, [True])

    async def test_at_the_beginning(self) -> None:
        """Nor if the helper has it that the file is there already."""
        for ueb in self.wrong():
            for options in ({}, CONVERGENT, GIVEN):
                self.new_story()
                self.story.helper["open_push"] = (wire.PRESENT, b"", 0, b"", None, ueb)
                await self.fails(HelperLied, why=ueb, **options)
                self.assertEqual(self.story.held, b"")

    async def test_after_a_cut(self) -> None:
        """Nor if it says so later."""
        for ueb in (b"", b"rubbish", ueb_of(Content(SIZE, seed=4).ciphertext)[0]):
            self.new_story()

            def lost(offset: int, data: bytes, ueb: bytes = ueb) -> Any:
                answer = (wire.PRESENT, b"", 0, b"", None, ueb)
                self.story.helper["open_push"] = answer
                return 0, wire.CLOSED

            self.story.upload["push"] = lost
            await self.fails(Corrupt, Unavailable, why=ueb)

    async def test_none(self) -> None:
        """No UEB, or one that is too long, is no answer."""
        for ueb in (b"", bytes(2001)):
            self.new_story()
            self.story.upload["finish"] = (b"", b"", ueb, {})
            await self.fails(HelperLied, HelperFailed)
            self.new_story()
            self.story.helper["open_push"] = (wire.PRESENT, b"", 0, b"", None, ueb)
            await self.fails(HelperFailed)


class HeldTests(_Case):
    async def test_other_bytes(self) -> None:
        """Who says that it holds other bytes gets none of ours, and no cap is given."""
        for held in (1, 64, 100, SIZE, SIZE + 1, 2**40, 2**64 - 1):
            for known in (True, False):
                for digest in (b"", bytes(32), _sha256(b"x")):
                    for options, error in (
                        (CONVERGENT, ContentDiffers),
                        (GIVEN, KeyReused),
                    ):
                        self.new_story()
                        self.story.helper["open_push"] = lambda *_, h=held, d=digest: (
                            self.story.receive(h, d)
                        )
                        self.story.upload["push"] = self.took
                        await self.fails(
                            error, why=(held, known, digest), known=known, **options
                        )
                        forget = options is CONVERGENT
                        self.assertEqual(self.story.aborted, [forget])

    def took(self, offset: int, data: bytes) -> Any:
        self.fail("it got bytes")

    async def test_less_than_nothing(self) -> None:
        """Nobody holds less than nothing."""
        for held in (-1, -(2**63)):
            self.new_story()
            self.story.helper["open_push"] = lambda *_, h=held: self.story.receive(h, b"")
            await self.fails(HelperFailed)

    async def test_more_and_more(self) -> None:
        """Who says that it holds more than was sent loses the file, and there is no cap."""
        for held in (SIZE + 1, 2**64 - 1):
            self.new_story()
            self.story.upload["push"] = (held, b"")
            wrong = ueb_of(Content(SIZE, seed=4).ciphertext)[0]
            self.story.upload["finish"] = (b"", b"", wrong, {})
            await self.fails(HelperLied)

    async def test_shrinking(self) -> None:
        """Who held something and has lost it now ends the upload."""
        self.story.upload["push"] = self.hold_then_lose
        error = await self.fails(HelperForgot, HelperSilent, NoHelper, **CONVERGENT)
        self.assertIsInstance(error, Unavailable)

    def hold_then_lose(self, offset: int, data: bytes) -> Any:
        if offset >= 192:
            self.story.held = b""
            return 0, wire.GAP
        return self.story.remote_push(offset, data)

    async def test_negative_acks(self) -> None:
        """Acknowledging less than nothing, or less than before, is no progress."""
        for held in (-1, -(2**63), 0):
            self.new_story()
            self.story.upload["push"] = (held, b"")
            await self.fails(HelperSilent)


class CodeTests(_Case):
    KINDS: tuple[tuple[bytes, bytes, type[Exception], type[Exception]], ...] = (
        (wire.FULL, b"", HelperFull, Unavailable),
        (wire.BUSY, b"", HelperBusy, Unavailable),
        (wire.TOO_LARGE, b"", HelperRefuses, Misuse),
        (wire.DIFFERS, b"", ContentDiffers, Unavailable),
        (wire.NO_SERVERS, b"3 7", NotEnoughServers, Unavailable),
        (wire.NO_SERVERS, b"3", HelperFailed, Unavailable),
        (wire.NO_SERVERS, b"-3 7", HelperFailed, Unavailable),
        (wire.NO_SERVERS, "² ³".encode(), HelperFailed, Unavailable),
        (
            wire.NO_SERVERS,
            b"9" * 499 + b" " + b"9" * 499,
            NotEnoughServers,
            Unavailable,
        ),
        (wire.NO_SPACE, b"server", NoSpace, Unavailable),
        (wire.NO_SPACE, b"\x1b[2J\n{0} {where}" + bytes(900), NoSpace, Unavailable),
        (wire.FAILED, b"{reason} %s\r\n\0", HelperFailed, Unavailable),
        (wire.FAILED, b"\xff" * 1000, HelperFailed, Unavailable),
        (b"\x00\xff{}", b"", HelperFailed, Unavailable),
        (b"unknown" * 5, b"", HelperFailed, Unavailable),
        (wire.PRESENT, b"", HelperFailed, Unavailable),
    )

    async def test_at_the_end(self) -> None:
        """Each code has its error, and what a peer says is neither believed nor long."""
        for code, detail, error, family in self.KINDS:
            self.new_story()
            self.story.upload["finish"] = (code, detail, b"", {})
            await self.fails(error, why=(code, detail))
            self.assertTrue(issubclass(error, family))

    async def test_of_a_push(self) -> None:
        """So has each answer to a push."""
        for code, _, error, _ in self.KINDS:
            self.new_story()
            self.story.upload["push"] = (0, code)
            await self.fails(error, HelperFailed, why=code)

    async def test_refused(self) -> None:
        """And each refusal, also such as make no sense."""
        for state in (wire.REFUSED, b"", b"later", b"\xff" * 40):
            codes: dict[bytes, type[Exception]] = {b"": HelperFailed}
            codes |= {code: error for code, _, error, _ in self.KINDS}
            for code, error in codes.items():
                self.new_story()
                self.story.helper["open_push"] = (state, code, 0, b"", None, b"")
                await self.fails(error, HelperFailed, why=(state, code))

    async def test_order(self) -> None:
        """A reason that comes behind what follows from it is heard all the same."""
        answers: list[Deferred[Any]] = []

        def later(offset: int, data: bytes) -> Any:
            answers.append(Deferred())
            return answers[-1]

        self.story.upload["push"] = later
        pushing = begin(self.fails(HelperFull, **CONVERGENT))
        sink_seen = await self.two_messages(answers)
        self.assertGreater(sink_seen, 1)
        for answer in reversed(answers[1:]):
            answer.callback((0, wire.GAP))
        await pause(0.05)
        answers[0].callback((0, wire.FULL))
        await pushing
        self.assertEqual(self.story.opened, 1)

    async def two_messages(self, answers: list[Deferred[Any]]) -> int:
        """Wait until several messages are under way."""
        await until(lambda: len(answers) > 1)
        return len(answers)


class SilenceTests(_Case):
    async def test_version(self) -> None:
        """A helper that does not say what it is, is not used."""
        for version in (never, raises, b"bytes", 5, [wire.PUSH]):
            story = Story(self.content, self.claims, helper={"get_version": version})
            furl = self.lair.furl(story.helper_liar())
            connection = type(self.gateway.connection)(
                self.gateway.tub, furl, self.gateway.connection._clock, time.time
            )
            connection.start()
            await pause(0.05)
            self.assertFalse(connection.connected)
            connection.stop()

    async def test_nothing_said(self) -> None:
        """Any call that is not answered ends the upload when patience does."""
        for answers, method, error in (
            ("helper", "open_push", HelperSilent),
            ("upload", "push", HelperSilent),
            ("upload", "finish", HelperSilent),
        ):
            for options in ({}, CONVERGENT):
                self.new_story()
                getattr(self.story, answers)[method] = never
                self.story.upload["abort"] = never
                await self.fails(error, why=method, **options)

    async def test_late(self) -> None:
        """What is opened too late is left, and what comes too late is nothing."""
        gate: Deferred[None] = Deferred()

        def late(*asked: Any) -> Any:
            return gate.addCallback(lambda _: self.story.remote_open_push(*asked))

        self.story.helper["open_push"] = late
        await self.fails(HelperSilent)
        gate.callback(None)
        await until(lambda: self.story.aborted)
        self.assertEqual(self.story.aborted, [True])

    async def test_busy_for_ever(self) -> None:
        """Who lets itself be opened and nothing else is given up, and is not pestered."""
        for code in (wire.GAP, wire.CLOSED):
            for method, answer in (
                ("push", (0, code)),
                ("finish", (code, b"", b"", {})),
            ):
                for known in (True, False):
                    self.new_story()
                    self.story.upload[method] = answer
                    await self.fails(
                        NoHelper, HelperSilent, known=known, why=(method, code)
                    )
                    self.assertLess(self.story.opened, 2 * 0.6 / 0.02 + 10)

    async def test_disconnects(self) -> None:
        """So is one that hangs up at any step, every time."""
        for answers, method in (
            ("helper", "open_push"),
            ("upload", "push"),
            ("upload", "finish"),
        ):
            for when in (0, 1, 2):
                self.new_story()
                count = [0]

                def hang_up(
                    *asked: Any, method: str = method, when: int = when, count: Any = count
                ) -> Any:
                    count[0] += 1
                    if count[0] > when:
                        cut(self.lair.tub)
                        return Deferred()
                    return getattr(self.story, f"remote_{method}")(*asked)

                getattr(self.story, answers)[method] = hang_up
                if method == "finish" and when:
                    continue  # it is answered
                if method == "open_push":
                    self.story.upload["push"] = lambda *_: cut(self.lair.tub)
                await self.fails(NoHelper, HelperSilent, known=False, why=(method, when))

    async def test_progress_of_nothing(self) -> None:
        """Telling of progress that is none does not help a silent one."""
        self.story.upload["push"] = self.tell
        await self.fails(HelperSilent, NoHelper)

    def tell(self, offset: int, data: bytes) -> Any:
        for held, stored in ((0, 0), (-1, -1), (-(2**63), 5), (2**63, -5)):
            self.story.observer.callRemoteOnly("progress", held, stored)
        return Deferred()


class TypeTests(_Case):
    """Answers of other types than the protocol has."""

    WRONG: tuple[Any, ...] = (
        None,
        5,
        2.5,
        True,
        "text",
        b"bytes",
        [],
        {},
        (),
        (b"",),
        set(),
        [b"", b"", b"", {}],
    )

    def each_changed(self, right: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Return answers in each of which one part is of another type."""
        found = [right[:-1], (*right, None), right * 2]
        for place, part in enumerate(right):
            for wrong in (*self.WRONG, b"x" * 50):
                if type(wrong) is not type(part) or isinstance(part, bytes):
                    found.append((*right[:place], wrong, *right[place + 1 :]))
        return found

    async def any_but_a_cap(self, why: object) -> None:
        error = await self.fails(
            HelperFailed,
            HelperLied,
            HelperSilent,
            NoHelper,
            KeyReused,
            ContentDiffers,
            HelperForgot,
            why=why,
        )
        self.assertIsInstance(error, (Unavailable, Corrupt, Refused))
        self.flushLoggedErrors()  # foolscap's own, of what made it hang up

    async def test_open(self) -> None:
        """Of the answer to an opening."""
        right = (wire.RECEIVE, b"", 0, b"", None, b"")
        for wrong in (*self.WRONG, *self.each_changed(right)):
            self.new_story()
            self.story.helper["open_push"] = lambda *_, wrong=wrong: wrong
            await self.any_but_a_cap(wrong)
        uploads: tuple[Any, ...] = (5, b"upload", [], Liar(HELPER), Liar(""), {})
        for upload in uploads:
            self.new_story()
            wrong = (wire.RECEIVE, b"", 0, b"", upload, b"")
            self.story.helper["open_push"] = lambda *_, wrong=wrong: wrong
            await self.any_but_a_cap(wrong)

    async def test_push(self) -> None:
        """Of the answer to a push."""
        for wrong in (*self.WRONG, *self.each_changed((300, b""))):
            self.new_story()
            self.story.upload["push"] = lambda *_, wrong=wrong: wrong
            await self.any_but_a_cap(wrong)

    async def test_finish(self) -> None:
        """Of the answer to the end."""
        right = (b"", b"", self.story.ueb, {0: [b"a"]})
        for wrong in (*self.WRONG, *self.each_changed(right)):
            if isinstance(wrong, tuple) and wrong[:1] + wrong[2:] == right[:1] + right[2:]:
                continue  # with a UEB nobody reads what else is said
            self.new_story()
            self.story.upload["finish"] = lambda *_, wrong=wrong: wrong
            await self.any_but_a_cap(wrong)

    async def test_shares(self) -> None:
        """Of where the shares are; what has the right type is told, if it can be true."""
        for wrong in (
            {"0": [b"a"]},
            {0: b"a"},
            {0: ["a"]},
            {0: [5]},
            {0: None},
            {0: [b"x" * 201]},
            {0: [b"a"] * 257},
            {number: [b"a"] for number in range(257)},
            {None: [b"a"]},
        ):
            self.new_story()
            self.story.upload["finish"] = (b"", b"", self.story.ueb, wrong)
            await self.fails(HelperFailed, why=wrong)
        self.new_story()
        told = {-1: [b"a"], 0: [b"\xff<"], 3: [b"c"], 255: []}
        self.story.upload["finish"] = (b"", b"", self.story.ueb, told)
        sink = await self.gateway.open(SIZE)
        await sink.write(self.content.ciphertext)
        self.assertEqual((await sink.close()).read_cap(KEY), self.content.cap)
        self.assertEqual(sink._file.status.shares, {0: ["\ufffd<"]})

    async def test_raised(self) -> None:
        """An error instead of an answer is one of ours, and short."""
        for answers, method in (
            ("helper", "open_push"),
            ("upload", "push"),
            ("upload", "finish"),
        ):
            self.new_story()
            getattr(self.story, answers)[method] = raises
            self.story.upload["abort"] = raises
            await self.fails(HelperFailed, why=method)


class SizeTests(_Case):
    """Answers that are larger than any honest one."""

    async def holds_little(self, method: str, answers: dict[str, Any], what: Any) -> None:
        self.new_story()
        answers[method] = what
        await self.fails(HelperFailed, HelperSilent, NoHelper, why=method)
        for broker in self.gateway.tub.brokers.values():
            self.assertLess(len(broker.buffer), 32 * MIB)
        await self.lair.end()
        self.flushLoggedErrors()  # foolscap's own, of what made it hang up

    async def test_strings(self) -> None:
        """Strings of 64 MiB where there are short ones."""
        long = bytes(64 * MIB)
        for method, answers, what in (
            ("open_push", self.story.helper, (wire.PRESENT, b"", 0, b"", None, long)),
            ("open_push", self.story.helper, (long, b"", 0, b"", None, b"")),
            ("push", self.story.upload, (0, long)),
            ("finish", self.story.upload, (b"", long, b"", {})),
            ("finish", self.story.upload, (b"", b"", b"", {0: [long]})),
        ):
            await self.holds_little(method, answers, what)

    async def test_tables(self) -> None:
        """Tables and lists with very many entries."""
        many = {number: [b"a"] for number in range(50_000)}
        long = {0: [b"a"] * 50_000}
        for shares in (many, long):
            await self.holds_little(
                "finish", self.story.upload, (b"", b"", self.story.ueb, shares)
            )

    async def test_endless(self) -> None:
        """A string of 4 GiB that goes on and on."""
        for method, answers in (
            ("open_push", self.story.helper),
            ("push", self.story.upload),
            ("finish", self.story.upload),
        ):
            await until(lambda: self.gateway.connection.connected)
            what: Callable[..., Any] = self.lair.answer_with(string_of(4 << 30, 64 * MIB))
            await self.holds_little(method, answers, what)

    async def test_memory_of_a_slow_one(self) -> None:
        """However much the client brings, one that takes nothing costs little memory."""
        self.story.upload["push"] = never
        large = Encoding(2, 3, 1 << 16)
        content = Content(20_000_000, large)
        self.gateway.sinks.encoding = large
        sink: HelperSink = await self.gateway.open(content.size)
        writing = begin(sink.write(content.ciphertext))
        writing.addErrback(lambda _: None)
        await pause(0.3)
        self.assertFalse(writing.called)
        pieces = sum(len(piece) for _, piece in sink.session._pieces)
        self.assertLess(pieces, 1 << 20)
        await writing
        await sink.abort()


class NamelessTypeTests(TypeTests):
    """The same from a helper that does not say what it is."""

    claims = False


class NamelessSizeTests(SizeTests):
    """The same from a helper that does not say what it is."""

    claims = False
