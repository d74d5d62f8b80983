"""Our gateway at helpers that pull, over real connections: stock ones, and liars."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, Grid, pause, until
from tests.helper.helped import (
    ENCODING,
    INDEX,
    KEY,
    PATIENCE,
    Content,
    begin,
    cut,
    new_tub,
)
from tests.helper.stock_ends import (
    PulledGateway,
    PullingHelper,
    PullingUpload,
    StockPull,
    bring,
    results_for,
)
from tests.ports import free_port
from truckee.codec.geometry import Encoding
from truckee.helper.errors import HelperFailed, HelperLied, HelperSilent
from truckee.helper.gateway import pull_sink
from truckee.helper.gateway.connection import NoHelper
from truckee.helper.gateway.pull_window import KEPT
from truckee.helper.gateway.push_session import HelperForgot
from truckee.helper.gateway.timeouts import HelperPatience
from truckee.helper.protocol import RIEncryptedUploadable, RIHelper, RIUploadHelper
from truckee.helper.pull_results import UploadResults
from truckee.immutable.upload.sinks import NewFile, WrongSize
from truckee.immutable.upload.status import UploadStatus
from truckee.net.foolscap.call_failures import reason_of

SEGMENT = 1 << 16
LARGE = Encoding(2, 3, SEGMENT)
SIZE = 20 * SEGMENT + 17


class _Case(TestCase):
    timeout = 120
    patience = PATIENCE

    async def setUp(self) -> None:  # type: ignore[override]
        self.grid = Grid.new(self, LARGE)
        self.content = Content(SIZE, LARGE)
        self.tub = new_tub(self, 0)
        port = free_port()
        self.tub.listenOn(f"tcp:{port}:interface=127.0.0.1")
        self.tub.setLocation(f"tcp:127.0.0.1:{port}")
        self.uploads: list[PullingUpload] = []
        self.works: list[Callable[[Any], Any]] = []
        self.helper = PullingHelper(self.next_upload)
        furl = self.tub.registerReference(self.helper)
        self.gateway = await PulledGateway.new(
            self, self.grid, furl, patience=self.patience
        )
        self.status = UploadStatus()

    def next_upload(self) -> tuple[Any, Any]:
        """Answer to upload_chk: with the next of *works*, the last one for ever."""
        work = self.works.pop(0) if len(self.works) > 1 else self.works[0]
        upload = PullingUpload(work)
        self.uploads.append(upload)
        return None, upload

    async def store(self, *works: Callable[[Any], Any]) -> None:
        """Store the file at a helper that does *works*, one after each other."""
        self.works = list(works)
        cap = await self.gateway.store(self.content, status=self.status)
        self.assertEqual(cap, self.content.cap)

    def rules_are_off(self, interface: Any, method: str) -> None:
        """Let this process say as a helper what foolscap would not let it."""
        for rule in ("checkAllArgs", "checkResults"):
            self.patch(interface[method], rule, lambda *_: None)

    async def fails(self, error: type[Exception], *works: Callable[[Any], Any]) -> Any:
        """Storing it there fails with *error*, which is returned."""
        with self.assertRaises(error) as caught:
            await self.store(*works)
        return caught.exception


def _give(answer: Any) -> Any:
    return answer


class PullTests(_Case):
    async def test_as_stock(self) -> None:
        """What a stock helper asks for it gets: all of it, once, in its order."""
        for size in (1, 55, 56, SEGMENT - 1, SEGMENT, SEGMENT + 1, 51_200, SIZE):
            self.content = Content(size, LARGE)
            pull = StockPull(self.content)
            self.status = UploadStatus()
            await self.store(pull)
            self.assertEqual(sum(pull.answers), size)
            status = self.status
            self.assertEqual(
                (status.route, status.held, status.stored), ("helper", size, size)
            )
            self.assertEqual(status.shares, {n: [f"v0-{n}"] for n in range(3)})
            self.assertEqual((status.happiness, status.found), (3, 0))

    async def test_what_it_is_told(self) -> None:
        """Size and parameters are those of the file, whenever they are asked for."""
        told: list[Any] = []

        async def work(reader: Any) -> Any:
            told.append(await reader.callRemote("get_size"))
            told.append(await reader.callRemote("get_all_encoding_parameters"))
            return await StockPull(self.content)(reader)

        await self.store(work)
        self.assertEqual(told, [SIZE, (2, 1, 3, SEGMENT)])

    async def test_slow_client(self) -> None:
        """A pull waits for bytes that have not come, and is never answered with none."""
        pull = StockPull(self.content)
        self.works = [pull]
        sink = await self.gateway.open(SIZE)
        for start in range(0, SIZE, 30_000):
            await sink.write(self.content.ciphertext[start : start + 30_000])
            await pause(0.002)
        self.assertEqual((await sink.close()).read_cap(KEY), self.content.cap)
        self.assertGreater(len(pull.answers), SIZE // 51_200)

    async def test_backpressure(self) -> None:
        """Of what the helper does not ask for little is taken, however much there is."""
        gate: Deferred[None] = Deferred()
        pull = StockPull(self.content, upto=100_000, then=lambda: gate)
        self.works = [pull]
        sink = await self.gateway.open(SIZE)
        storing = begin(bring(sink, self.content))
        await until(lambda: sink.window.sent >= 100_000)
        await pause(0.2)
        self.assertLessEqual(sink.window.waiting, 2 * SEGMENT)
        self.assertLessEqual(sink.window.fed - sink.window.first, KEPT + 3 * SEGMENT)
        gate.callback(None)
        self.assertEqual(await storing, self.content.cap)
        self.assertLessEqual(sink.window.fed - sink.window.first, KEPT + 2 * SEGMENT)

    async def test_unknown_size(self) -> None:
        """A stock helper cannot take a file whose size is not known."""
        self.assertTrue(self.gateway.sinks.needs_known_size)
        with self.assertRaises(ValueError):
            await self.gateway.sinks.open(NewFile(INDEX, None, 1000))

    async def test_wrong_size(self) -> None:
        """The helper is not given bytes past the size that it was told."""
        self.patch(pull_sink, "CLEANUP", 0.1)
        for promised in (SEGMENT, SIZE - 1, SIZE + 1):
            pull = StockPull(self.content, upto=promised, then=Deferred)
            self.works = [pull]
            sink = await self.gateway.open(promised)
            with self.assertRaises(WrongSize):
                await bring(sink, self.content)
            self.assertLessEqual(sink.window.fed, promised)


class HeldTests(_Case):
    async def test_resumed(self) -> None:
        """Of what the helper holds only the hashes are computed."""
        for held in (1, 51_200, SEGMENT, 10 * SEGMENT + 5, SIZE - 1):
            pull = StockPull(self.content, bytearray(self.content.ciphertext[:held]))
            await self.store(pull)
            self.assertEqual(sum(pull.answers), SIZE - held)

    async def test_complete(self) -> None:
        """A helper that has all of it asks for nothing, and the client is not stopped."""
        gate: Deferred[None] = Deferred()

        async def work(reader: Any) -> Any:
            pull = StockPull(self.content, bytearray(self.content.ciphertext))
            results = await pull(reader)
            await gate
            return results

        self.works = [work]
        sink = await self.gateway.open(SIZE)
        storing = begin(bring(sink, self.content))
        await until(lambda: sink.window.fed == SIZE)
        gate.callback(None)
        self.assertEqual(await storing, self.content.cap)

    async def test_present(self) -> None:
        """Of a file that is on the grid nothing leaves; its results are looked at too."""
        for changes in ({}, {"uri_extension_hash": bytes(32)}):
            results = results_for(self.content, preexisting_shares=3, **changes)
            self.helper.answer = partial(_give, (results, None))
            sink = await self.gateway.open(SIZE, status=self.status)
            if changes:
                with self.assertRaises(HelperLied):
                    await bring(sink, self.content)
            else:
                self.assertEqual(await bring(sink, self.content), self.content.cap)
            self.assertEqual(sink.window.sent, 0)
            self.assertEqual(self.status.found, 3)

    async def test_early_results(self) -> None:
        """Who has results before all was asked for gets no more."""

        async def work(reader: Any) -> Any:
            await reader.callRemote("read_encrypted", 0, 100)
            return results_for(self.content)

        await self.store(work)


class ResultsTests(_Case):
    timeout = 120
    # Results of ten thousand servers take a busy machine a while.
    patience = HelperPatience(absent=60.0, silent=60.0, again=PATIENCE.again)

    async def lies(self, results: Any) -> None:
        """Results like these make no cap."""

        async def work(reader: Any) -> Any:
            await StockPull(self.content)(reader)
            return results

        await self.fails(HelperLied, work)

    async def test_other_fields(self) -> None:
        """A UEB that says anything else of the file makes no cap, whatever it says."""
        self.content = Content(300, LARGE)
        right = results_for(self.content).uri_extension_data
        other = Content(300, LARGE, seed=5)
        for name, value in (
            ("size", 301),
            ("size", "300"),
            ("size", b"300 "),
            ("needed_shares", 1),
            ("total_shares", 4),
            ("segment_size", 302),
            ("num_segments", 2),
            ("codec_name", b"CRS"),
            ("codec_params", b"300-2-4"),
            ("tail_codec_params", b"298-2-3"),
            ("crypttext_root_hash", bytes(32)),
            ("crypttext_root_hash", None),
            ("share_root_hash", b"short"),
            ("more", b"than there should be"),
            ("sizes", [1]),
        ):
            await self.lies(
                results_for(self.content, uri_extension_data={**right, name: value})
            )
        for name in right:
            fewer = {key: value for key, value in right.items() if key != name}
            await self.lies(results_for(self.content, uri_extension_data=fewer))
        await self.lies(results_for(other))
        await self.store(StockPull(self.content))

    async def test_other_hash(self) -> None:
        """The hash must be that of the UEB."""
        self.content = Content(300, LARGE)
        other = results_for(Content(301, LARGE)).uri_extension_hash
        for value in (bytes(32), b"", None, "text", other):
            await self.lies(results_for(self.content, uri_extension_hash=value))

    async def test_no_results(self) -> None:
        """What is not results at all makes no cap."""
        self.content = Content(300, LARGE)
        nothing: Any
        for nothing in (None, 1, b"results", {}, [], UploadResults()):
            await self.lies(nothing)
        data: Any
        for data in (None, [], {1: 2}, {f"x{n}": n for n in range(200)}):
            await self.lies(results_for(self.content, uri_extension_data=data))

    async def test_decoration(self) -> None:
        """What is for people only may be missing, or nonsense."""
        self.content = Content(300, LARGE)
        for changes in (
            {"sharemap": None, "servermap": 5, "timings": "long"},
            {"sharemap": {0: "a sentence", 1: [b"x"], 2: {b"x", 5}}},
            {"sharemap": {"one": {b"x"}}},
            {"sharemap": {share: {b"x"} for share in range(-1000, 10_000)}},
            {"sharemap": {0: {b"%d" % server for server in range(10_000)}}},
            {"sharemap": {0: {b"\xff\n<b>"}}},
            {"preexisting_shares": "many", "file_size": None},
        ):

            async def work(reader: Any, changes: dict[str, Any] = changes) -> Any:
                await StockPull(self.content)(reader)
                return results_for(self.content, **changes)

            self.status = UploadStatus()
            await self.store(work)
            self.assertLessEqual(len(self.status.shares), 256)
            for names in self.status.shares.values():
                self.assertLessEqual(len(names), 100)
                self.assertTrue(all(name.isascii() and "\n" not in name for name in names))


class LineTests(_Case):
    async def test_cut(self) -> None:
        """A line that breaks costs nothing but time: the helper goes on where it was."""
        for upto in (0, 51_200, 10 * 51_200, SIZE - 1):
            pull = StockPull(self.content, upto=upto, then=self.cut)
            with_again = [pull, pull]
            await self.store(*with_again)
            self.assertEqual(sum(pull.answers), SIZE)

    def cut(self) -> Deferred[None]:
        cut(self.tub)
        return Deferred()

    async def test_waiting_pull(self) -> None:
        """A pull that waits when the line breaks is of no account any more."""
        pull = StockPull(self.content)
        self.works = [pull]
        sink = await self.gateway.open(SIZE)
        for cuts in range(3):
            await sink.write(self.content.ciphertext[cuts * SEGMENT :][:SEGMENT])
            await until(lambda: sink._reader is not None and sink._reader.waits)
            held = len(pull.held)
            cut(self.tub)
            await until(lambda cuts=cuts: len(self.uploads) == cuts + 2)  # type: ignore[misc]
            self.assertEqual(len(pull.held), held)
        rest = self.content.ciphertext[3 * SEGMENT :]
        await sink.write(rest)
        self.assertEqual((await sink.close()).read_cap(KEY), self.content.cap)

    async def test_helper_forgot_a_little(self) -> None:
        """A helper that was killed comes back with less than it had, and gets it again."""
        pull = StockPull(self.content)

        def die() -> Deferred[None]:
            del pull.held[-8192:]
            return self.cut()

        pull.upto, pull.then = 10 * 51_200, die
        await self.store(pull, pull)
        self.assertEqual(sum(pull.answers), SIZE + 8192)

    async def test_helper_forgot_all(self) -> None:
        """One that comes back with nothing cannot get it, and the client hears that."""
        pull = StockPull(self.content)

        def die() -> Deferred[None]:
            del pull.held[:]
            return self.cut()

        pull.upto, pull.then = 15 * 51_200, die
        error = await self.fails(HelperForgot, pull, pull)
        self.assertEqual(error.held, 0)
        self.assertGreater(error.first, 0)

    async def test_stored_meanwhile(self) -> None:
        """When the line breaks while the file is stored, it is found on the grid."""

        async def work(reader: Any) -> Any:
            await StockPull(self.content)(reader)
            self.helper.answer = lambda: (results_for(self.content), None)
            await self.cut()

        await self.store(work)

    async def test_cut_while_asking(self) -> None:
        """A line may break at any moment, also when it has just come back."""
        pull = StockPull(self.content, upto=200_000, then=self.cut)
        answers = [self.cut, self.cut, lambda: self.next_upload()]

        def answer() -> Any:
            return answers.pop(0)() if self.uploads and answers else self.next_upload()

        self.patch(pull_sink, "_AGAIN", 0.05)
        self.helper.answer = answer
        await self.store(pull, pull)
        self.assertEqual(sum(pull.answers), SIZE)

    async def test_lost_at_first(self) -> None:
        """Without a connection no upload begins."""
        self.helper.answer = self.cut
        with self.assertRaises(NoHelper):
            await self.gateway.open(SIZE)
        self.gateway.connection.stop()
        with self.assertRaises(NoHelper):
            await self.gateway.open(SIZE)


class ErrorTests(_Case):
    async def test_once(self) -> None:
        """An error of the helper is not the end when it goes on better the next time."""
        pull = StockPull(self.content)

        def fail() -> None:
            raise RuntimeError("a server hung up")

        pull.upto, pull.then = 300_000, fail
        await self.store(pull, pull)
        self.assertEqual(sum(pull.answers), SIZE)

    async def test_after_progress(self) -> None:
        """Nor is one after each of many steps forward."""
        pull = StockPull(self.content)

        async def work(reader: Any) -> Any:
            def fail() -> None:
                raise RuntimeError("again")

            pull.upto, pull.then = len(pull.held) + 150_000, fail
            return await pull(reader)

        await self.store(work)
        self.assertGreater(len(self.uploads), 5)
        self.assertEqual(sum(pull.answers), SIZE)

    async def test_twice(self) -> None:
        """The same error at the same place is, and the client hears the helper's words."""

        async def work(reader: Any) -> Any:
            await reader.callRemote("read_encrypted", 0, 1000)
            raise RuntimeError("no servers\n  File x.py\n" + "long " * 1000)

        error = await self.fails(HelperFailed, work)
        self.assertEqual(error.reason, "no servers")
        self.assertEqual(len(self.uploads), 2)

    async def test_stored_in_spite(self) -> None:
        """A helper that stored the file and fails then is asked whether it is there."""

        async def work(reader: Any) -> Any:
            await StockPull(self.content)(reader)
            self.helper.answer = lambda: (results_for(self.content), None)
            raise RuntimeError("what now?")

        await self.store(work)

    async def test_no_upload(self) -> None:
        """What is no answer to the first question is an error."""
        self.rules_are_off(RIHelper, "upload_chk")
        for answer in (None, 1, (), (None,), (None, 5), (None, None, None), [None, None]):
            self.helper.answer = partial(_give, answer)
            with self.assertRaises(HelperFailed):
                await self.gateway.open(SIZE)
        self.helper.answer = lambda: (None, self.helper)
        with self.assertRaises(HelperFailed):
            await self.gateway.open(SIZE)

        def fail() -> None:
            raise RuntimeError("not now")

        self.helper.answer = fail
        with self.assertRaises(HelperFailed) as caught:
            await self.gateway.open(SIZE)
        self.assertEqual(caught.exception.reason, "not now")

    async def test_neither(self) -> None:
        """A helper that says neither that it is there nor how to bring it says nothing."""
        self.helper.answer = lambda: (None, None)
        sink = await self.gateway.open(SIZE)
        with self.assertRaises(HelperLied):
            await bring(sink, self.content)


class HostileTests(_Case):
    async def test_bad_pulls(self) -> None:
        """What is not in the file is refused, and the upload goes on."""
        refused: list[tuple[int, int]] = []

        async def work(reader: Any) -> Any:
            for offset, length in (
                (-1, 10),
                (0, -1),
                (SIZE + 1, 10),
                (SIZE, -10),
                (1 << 62, 1 << 62),
            ):
                try:
                    await reader.callRemote("read_encrypted", offset, length)
                except Exception:
                    refused.append((offset, length))
            return await StockPull(self.content)(reader)

        await self.store(work)
        self.assertEqual(len(refused), 5)

    async def test_greedy(self) -> None:
        """Who asks for a lot gets what one message holds; for none, none."""
        answers: list[int] = []

        async def work(reader: Any) -> Any:
            for length in (SIZE, 1 << 40, 0):
                pieces = await reader.callRemote("read_encrypted", 0, length)
                answers.append(sum(map(len, pieces)))
            pull = StockPull(self.content)
            results = await pull(reader)
            # Nothing is left to ask for.
            pieces = await reader.callRemote("read_encrypted", SIZE, 100)
            answers.append(sum(map(len, pieces)))
            return results

        await self.store(work)
        self.assertTrue(all(0 < each <= 256 * 1024 for each in answers[:2]), answers)
        self.assertEqual(answers[2:], [0, 0])

    async def test_two_at_once(self) -> None:
        """While one pull waits there is no other."""
        outcomes: list[Any] = []

        async def work(reader: Any) -> Any:
            first = reader.callRemote("read_encrypted", 10 * SEGMENT, 10)
            try:
                await reader.callRemote("read_encrypted", 10 * SEGMENT, 10)
            except Exception as error:
                outcomes.append(error)
            outcomes.append(b"".join(await first))
            return await StockPull(
                self.content, bytearray(self.content.ciphertext[: 10 * SEGMENT])
            )(reader)

        await self.store(work)
        self.assertEqual(len(outcomes), 2)
        self.assertIn("have not come yet", outcomes[0].failure.getErrorMessage())
        self.assertEqual(outcomes[1], self.content.ciphertext[10 * SEGMENT :][:10])

    async def test_backwards(self) -> None:
        """Who asks for what is gone ends the upload, with an error that says why."""

        async def work(reader: Any) -> Any:
            await reader.callRemote("read_encrypted", 15 * SEGMENT, 100)
            await reader.callRemote("read_encrypted", 0, 100)

        error = await self.fails(HelperForgot, work)
        self.assertEqual(error.held, 0)

    async def test_bytes_after_all(self) -> None:
        """One that seemed to have all of it, and then asks for some, gets what is here."""

        async def work(reader: Any) -> Any:
            await reader.callRemote("get_all_encoding_parameters")
            await pause(0.2)
            await reader.callRemote("read_encrypted", 0, 100)

        await self.fails(HelperForgot, work)

    async def test_other_types(self) -> None:
        """Questions of other types are refused by the wire, and the upload goes on."""
        self.rules_are_off(RIEncryptedUploadable, "read_encrypted")

        async def work(reader: Any) -> Any:
            for arguments in (("0", 10), (0, None), (0, [1])):
                try:
                    await reader.callRemote("read_encrypted", *arguments)
                except Exception:
                    continue
                raise AssertionError("it was answered")
            return await StockPull(self.content)(reader)

        self.works = [work]
        sink = await self.gateway.open(SIZE)
        await sink.abort()

    async def test_endless_close(self) -> None:
        """It may be closed as often as the helper likes, also in the middle."""

        async def work(reader: Any) -> Any:
            for _ in range(50):
                await reader.callRemote("close")
            return await StockPull(self.content)(reader)

        await self.store(work)

    async def test_after_the_end(self) -> None:
        """When the upload is over there is nothing to be had."""
        await self.store(StockPull(self.content))
        reader = self.uploads[0].readers[0]
        for method, *arguments in (
            ("get_size",),
            ("get_all_encoding_parameters",),
            ("read_encrypted", SIZE - 10, 10),
        ):
            with self.assertRaises(Exception) as caught:
                await reader.callRemote(method, *arguments)
            self.assertIn("brings no more", reason_of(caught.exception))
        await reader.callRemote("close")

    async def test_upload_of_another_type(self) -> None:
        """An upload that has no upload is no upload."""
        self.rules_are_off(RIUploadHelper, "upload")

        async def work(reader: Any) -> Any:
            return self.helper

        await self.fails(HelperLied, work)


class PatienceTests(_Case):
    patience = HelperPatience(absent=0.5, silent=0.4)

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        # Another one for all that the helper does after it has all bytes.
        self.patch(pull_sink, "SLOWEST", 1 << 40)
        self.patch(pull_sink, "CLEANUP", 0.1)

    async def waits(self) -> Any:
        return await Deferred()

    async def test_never_asks(self) -> None:
        """A helper that asks for nothing is not waited for for ever."""

        async def work(reader: Any) -> Any:
            return await self.waits()

        await self.fails(HelperSilent, work)

    async def test_asks_no_more(self) -> None:
        """Nor one that asked for something, and then for nothing."""
        await self.fails(HelperSilent, StockPull(self.content, upto=51_200, then=Deferred))

    async def test_never_answers(self) -> None:
        """Nor one that has all of it, and does not say what became of it."""

        async def work(reader: Any) -> Any:
            await StockPull(self.content)(reader)
            return await self.waits()

        await self.fails(HelperSilent, work)

    async def test_takes_its_time(self) -> None:
        """One that stores a file may be silent for longer, by the size of the file."""
        self.patch(pull_sink, "SLOWEST", SIZE / 2)

        async def work(reader: Any) -> Any:
            results = await StockPull(self.content)(reader)
            await pause(1.2)
            return results

        await self.store(work)

    async def test_never_opens(self) -> None:
        """Nor one that does not say whether the file is there."""
        self.helper.answer = Deferred
        with self.assertRaises(HelperSilent):
            await self.gateway.open(SIZE)

    async def test_never_back(self) -> None:
        """When the line broke and nobody comes back, the client hears it in the end."""

        async def work(reader: Any) -> Any:
            await reader.callRemote("read_encrypted", 0, 100)
            stopping: Deferred[Any] = maybeDeferred(self.tub.stopService)
            return await stopping

        await self.fails(NoHelper, work)

    async def test_slow_client(self) -> None:
        """A client may be slower than any helper."""
        self.works = [StockPull(self.content)]
        sink = await self.gateway.open(SIZE)
        await sink.write(self.content.ciphertext[:SEGMENT])
        await pause(1.0)
        await sink.write(self.content.ciphertext[SEGMENT:])
        self.assertEqual((await sink.close()).read_cap(KEY), self.content.cap)


class AbortTests(_Case):
    async def test_tells_the_helper(self) -> None:
        """The helper's pull fails, whether it waits or comes later."""
        for waits in (True, False):
            gate: Deferred[None] = Deferred()
            ended: list[Exception] = []

            async def work(reader: Any, gate: Any = gate, ended: Any = ended) -> Any:
                try:
                    await reader.callRemote("read_encrypted", 0, SEGMENT)
                    await gate
                    await reader.callRemote("read_encrypted", SEGMENT, 10)
                except Exception as error:
                    ended.append(error)
                    raise

            self.works = [work]
            sink = await self.gateway.open(SIZE)
            await sink.write(self.content.ciphertext[:SEGMENT])
            await until(lambda sink=sink: sink.window.sent == SEGMENT)  # type: ignore[misc]
            if waits:
                gate.callback(None)
                await until(lambda sink=sink: sink._reader.waits)  # type: ignore[misc]
            aborting = begin(sink.abort())
            if not waits:
                gate.callback(None)
            await aborting
            self.assertIn("brings no more", reason_of(ended[0]))
            self.assertEqual(len(self.uploads), 1)
            self.uploads.clear()

    async def test_helper_does_not_care(self) -> None:
        """A helper that does not take note is not waited for for long."""
        self.patch(pull_sink, "CLEANUP", 0.2)

        async def work(reader: Any) -> Any:
            await reader.callRemote("read_encrypted", 0, 10)
            return await Deferred()

        self.works = [work]
        sink = await self.gateway.open(SIZE)
        await sink.write(self.content.ciphertext[:SEGMENT])
        begun = REACTOR.seconds()
        await sink.abort()
        await sink.abort()
        self.assertLess(REACTOR.seconds() - begun, 2.0)

    async def test_without_a_line(self) -> None:
        """It ends at once when there is nobody to tell."""
        self.works = [StockPull(self.content)]
        sink = await self.gateway.open(SIZE)
        await sink.write(self.content.ciphertext[:SEGMENT])
        await self.tub.stopService()
        await until(lambda: not self.gateway.connection.connected)
        begun = REACTOR.seconds()
        await sink.abort()
        self.assertLess(REACTOR.seconds() - begun, 1.0)


class SmallTests(TestCase):
    def test_shape(self) -> None:
        """Segments are those of the file, not of the gateway."""
        sinks = pull_sink.StockHelperSinks(
            ENCODING,
            1,
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            REACTOR,
            PATIENCE,
        )
        sink = pull_sink.StockHelperSink(sinks, NewFile(INDEX, 57, 57))
        self.assertEqual(sink.chunk_size, 58)
