"""Stock clients at our helper, over real connections: good ones, and others."""

from __future__ import annotations

import random
from typing import Any

from foolscap.api import RemoteException, Violation
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.grids import failing, files_below, until
from tests.helper.helped import (
    INDEX,
    PARAMETERS,
    Content,
    Gateway,
    Helped,
    begin,
    cut,
)
from tests.helper.stock_ends import Reader, StockClient
from truckee.codec.caps import ChkVerifyCap, parse_cap
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import ueb_hash
from truckee.codec.ueb import ueb_of_fields
from truckee.helper.ownership import Owner, name_of
from truckee.helper.protocol import RIEncryptedUploadable
from truckee.helper.pull_results import UploadResults
from truckee.helper.server.limits import HelperLimits
from truckee.helper.server.pull_client import ClientPatience
from truckee.helper.wire import CHK_UPLOAD, HELPER, LARGEST_PIECE, MOST_PIECES

SIZE = 3000
LARGE = Encoding(2, 3, 1 << 16)


class _Case(TestCase):
    timeout = 120
    limits = HelperLimits()
    encoding = Encoding(2, 3, 64)

    async def setUp(self) -> None:  # type: ignore[override]
        self.helped = Helped.new(self, limits=self.limits, encoding=self.encoding)
        self.helped.listen()
        # As the tubs of our nodes.
        self.helped.tub.unsafeTracebacks = False
        self.client = await StockClient.of(self.helped)
        self.content = Content(SIZE, self.encoding)

    def impatient(self, seconds: float = 0.3) -> None:
        self.helped.stock.patience = ClientPatience(seconds, 0.01, 0.05)

    async def assert_told(self, work: Any, text: str) -> None:
        """*work* fails, and a stock client shows *text* of it, and no path."""
        try:
            await work
        except RemoteException as error:
            # What a stock client shows of an error.
            shown = str(error)
        else:
            raise AssertionError("it did not fail")
        self.assertIn(text, shown)
        self.assertNotIn(str(self.helped.home), shown)
        self.assertNotIn(".py", shown)


class StoreTests(_Case):
    async def test_versions(self) -> None:
        """Stock clients find the keys that they look for."""
        self.assertIn(HELPER, await self.client.helper.callRemote("get_version"))
        _, upload = await self.client.open()
        self.assertEqual((await upload.callRemote("get_version"))[CHK_UPLOAD], {})

    async def test_store(self) -> None:
        """A file is asked for once, from its start to its end, and stored."""
        for size in (1, 55, 56, 63, 64, 65, 127, 128, 1000):
            content = Content(size)
            reader = Reader(content)
            results = await self.client.store(reader)
            self.assertEqual(
                reader.calls[:2], [("get_size",), ("get_all_encoding_parameters",)]
            )
            self.assertEqual(reader.reads, [(0, size)])
            await until(lambda reader=reader: reader.closed == 1)  # type: ignore[misc]
            self.assertEqual(results.uri_extension_hash, content.cap.ueb_hash)
            await self.helped.assert_stored(content)
            self.helped.remove_shares()

    async def test_results(self) -> None:
        """All that stock clients look for is there, in the types that they know."""
        results = await self.client.store(Reader(self.content))
        cap = self.content.cap
        told = vars(results)
        ueb = ueb_of_fields(told.pop("uri_extension_data"))
        self.assertEqual(ueb_hash(ueb), cap.ueb_hash)
        self.assertEqual(told.pop("uri_extension_hash"), cap.ueb_hash)
        self.assertEqual(told.pop("verifycapstr"), str(cap.verify_cap()).encode())
        timings = told.pop("timings")
        self.assertTrue(all(type(each) is float for each in timings.values()))
        self.assertEqual(
            set(timings),
            {"cumulative_fetch", "total_fetch", "total_encode_and_push", "total"},
        )
        self.assertEqual(sorted(told.pop("sharemap")), [0, 1, 2])
        self.assertEqual(len(told.pop("servermap")), 3)
        self.assertEqual(
            told,
            {
                "file_size": SIZE,
                "ciphertext_fetched": SIZE,
                "preexisting_shares": 0,
                "pushed_shares": 3,
                "uri": None,
            },
        )

    async def test_server_ids(self) -> None:
        """Servers are told of by what others call them, each under its own name."""
        for server in self.helped.grid.servers:
            server.name = "all the same"
        self.helped.stock._server_id = lambda seed: b"v0-" + seed
        results = await self.client.store(Reader(self.content))
        ids = {b"v0-" + server.lease_seed for server in self.helped.grid.servers}
        self.assertEqual(set(results.servermap), ids)
        self.assertEqual({each for on in results.sharemap.values() for each in on}, ids)
        for share, servers in results.sharemap.items():
            for server_id in servers:
                self.assertIn(share, results.servermap[server_id])

    async def test_present(self) -> None:
        """Of a file that it brought before nothing is asked for, and all is told."""
        first = await self.client.store(Reader(self.content))
        await until(lambda: not self.helped.uploads.active)
        reader = Reader(self.content)
        told = vars(await self.client.store(reader))
        self.assertEqual(reader.reads, [])
        for name in ("uri_extension_hash", "uri_extension_data", "sharemap"):
            self.assertEqual(told.pop(name), vars(first)[name])
        self.assertEqual(
            told,
            {
                "file_size": None,
                "ciphertext_fetched": None,
                "preexisting_shares": 3,
                "pushed_shares": 0,
                "servermap": {},
                "timings": {},
                "uri": None,
            },
        )

    async def test_stored_by_others(self) -> None:
        """A file that others stored is asked for: nobody else can tell what it must be."""
        await self.client.store(Reader(self.content))
        reader = Reader(self.content)
        other = await StockClient.of(self.helped, 2)
        results = await other.store(reader)
        self.assertEqual(reader.reads, [(0, SIZE)])
        self.assertEqual((results.preexisting_shares, results.pushed_shares), (3, 0))
        await self.helped.assert_stored(self.content)

    async def test_a_share_is_missing(self) -> None:
        """A file of which a share is missing is asked for, and told of as it is then."""
        await self.client.store(Reader(self.content))
        await until(lambda: not self.helped.uploads.active)
        server = self.helped.grid.servers[0]
        for path in files_below(server.directory.home(INDEX)):
            path.unlink()
        reader = Reader(self.content)
        results = await self.client.store(reader)
        self.assertEqual(reader.reads, [(0, SIZE)])
        self.assertEqual((results.preexisting_shares, results.pushed_shares), (2, 1))
        await self.helped.assert_stored(self.content)

    async def test_shares_leave_meanwhile(self) -> None:
        """Shares are written while the file still arrives."""
        gate: Deferred[None] = Deferred()

        def mood(*call: Any) -> Any:
            return gate if call[0] == "read_encrypted" and call[1] > 0 else None

        content = Content(LARGEST_PIECE + 1, self.encoding)
        storing = begin(self.client.store(Reader(content, mood)))
        await until(lambda: self.helped.under_way())
        upload = self.helped.upload()
        await until(lambda: upload.stored > LARGEST_PIECE - 64)
        self.assertNotEqual(self.helped.incoming_shares(), [])
        gate.callback(None)
        await storing
        await self.helped.assert_stored(content)


class LargeTests(_Case):
    encoding = LARGE

    async def test_pieces(self) -> None:
        """A large file is asked for in pieces that follow each other, one at a time."""
        content = Content(3 * LARGEST_PIECE + 17, LARGE)
        reader = Reader(content)
        await self.client.store(reader)
        self.assertEqual(
            reader.reads,
            [(at, LARGEST_PIECE) for at in range(0, 3 * LARGEST_PIECE, LARGEST_PIECE)]
            + [(3 * LARGEST_PIECE, 17)],
        )
        await self.helped.assert_stored(content)

    async def test_short_answers(self) -> None:
        """A client may answer with less than it was asked for."""
        chance = random.Random(1)

        def mood(*call: Any) -> Any:
            if call[0] == "read_encrypted":
                start, length = call[1:]
                end = start + chance.randrange(1, length + 1)
                return [content.ciphertext[start:end]]
            return None

        content = Content(LARGEST_PIECE + 17, LARGE)
        await self.client.store(Reader(content, mood))
        await self.helped.assert_stored(content)


class ResumeTests(_Case):
    encoding = LARGE

    async def test_connection_lost(self) -> None:
        """When a client is cut off, it goes on at the byte where it was."""
        content = Content(4 * LARGEST_PIECE, LARGE)
        for lost in (0, 1, 2, 3):

            def mood(*call: Any, lost: int = lost) -> Any:
                if call[0] == "read_encrypted" and call[1] == lost * LARGEST_PIECE:
                    cut(self.client.tub)
                    return Deferred()
                return None

            with self.assertRaises(Exception):  # noqa: B017
                await self.client.store(Reader(content, mood))
            await self.helped.assert_settled()
            self.assertEqual(self.helped.uploads.used, lost * LARGEST_PIECE)
            self.client = await StockClient.of(self.helped)
            reader = Reader(content)
            results = await self.client.store(reader)
            self.assertEqual(reader.reads[0][0], lost * LARGEST_PIECE)
            self.assertEqual(results.ciphertext_fetched, (4 - lost) * LARGEST_PIECE)
            await self.helped.assert_stored(content)
            self.helped.remove_shares()

    async def test_restart(self) -> None:
        """What a helper held when it died is not asked for again."""
        content = Content(3 * LARGEST_PIECE, LARGE)

        def mood(*call: Any) -> Any:
            return Deferred() if call[1:] and call[1] > 0 else None

        storing = begin(self.client.store(Reader(content, mood)))
        await until(lambda: self.helped.uploads.used == LARGEST_PIECE)
        await self.helped.restart()
        with self.assertRaises(Exception):  # noqa: B017
            await storing
        self.client = await StockClient.of(self.helped)
        reader = Reader(content)
        await self.client.store(reader)
        self.assertEqual(reader.reads[0][0], LARGEST_PIECE)
        await self.helped.assert_stored(content)

    async def test_all_held(self) -> None:
        """Of a complete file that could not be stored nothing is asked for."""
        servers = self.helped.grid.servers
        for server in servers:
            server.mood = failing("allocate")
        content = Content(SIZE, LARGE)
        await self.assert_told(
            self.client.store(Reader(content)), "Shares could be placed on"
        )
        await self.helped.assert_settled()
        self.assertEqual(self.helped.uploads.used, SIZE)
        for server in servers:
            server.mood = failing()
        reader = Reader(content)
        results = await self.client.store(reader)
        self.assertEqual(reader.reads, [])
        self.assertEqual(results.ciphertext_fetched, 0)
        await self.helped.assert_stored(content)


class TogetherTests(_Case):
    encoding = LARGE

    async def test_each_its_own(self) -> None:
        """Clients with one file, stock ones and a gateway, have uploads of their own."""
        content = Content(3 * LARGEST_PIECE, LARGE)
        gate: Deferred[None] = Deferred()

        def mood(*call: Any) -> Any:
            return gate if call[1:] == (LARGEST_PIECE, LARGEST_PIECE) else None

        readers = [Reader(content, mood), Reader(content)]
        other = await StockClient.of(self.helped, 2)
        gateway = await Gateway.of(self.helped, number=3)
        first = begin(self.client.store(readers[0]))
        await until(lambda: self.helped.uploads.used == LARGEST_PIECE)
        await other.store(readers[1])
        self.assertEqual(readers[1].reads[0][0], 0)
        cap = await gateway.push(content)
        self.assertEqual(cap, content.cap)
        gate.callback(None)
        results = await first
        self.assertEqual(results.uri_extension_hash, content.cap.ueb_hash)
        self.assertEqual(len(readers[0].reads), 3)
        await self.helped.assert_stored(content)

    async def test_too_many(self) -> None:
        """More clients at once than are served are sent away."""
        self.helped.stock._clients = 256
        await self.assert_told(
            self.client.store(Reader(self.content)), "as many uploads under way as it takes"
        )
        self.helped.stock._clients = 0
        await self.client.store(Reader(self.content))


class HostileTests(_Case):
    async def refused(self, mood: Any, text: str) -> Reader:
        """A client in this mood is told *text*; another one then brings the file."""
        reader = Reader(self.content, mood)
        await self.assert_told(self.client.store(reader), text)
        await until(lambda: reader.closed)
        await self.helped.assert_settled()
        await self.client.store(Reader(self.content))
        await self.helped.assert_stored(self.content)
        self.helped.remove_shares()
        return reader

    async def test_silent(self) -> None:
        """A client that does not answer is not waited for for ever, whatever is asked."""
        for method in ("get_size", "get_all_encoding_parameters", "read_encrypted"):
            self.impatient()
            await self.refused(
                lambda *call, method=method: Deferred() if call[0] == method else None,
                "no more of its file",
            )

    async def test_nothing(self) -> None:
        """A client that has no bytes is asked again, not too often, and not for ever."""
        for nothing in ([], [b""], [b"", b""]):
            self.impatient()
            reader = await self.refused(
                lambda *call, nothing=nothing: (
                    nothing if call[0] == "read_encrypted" else None
                ),
                "no more of its file",
            )
            self.assertLess(len(reader.reads), 30)
            self.assertEqual(set(reader.reads), {(0, SIZE)})

    async def test_nothing_at_first(self) -> None:
        """A client that had no bytes may have some later."""
        self.impatient(5.0)
        answers = [[], [b""], []]

        def mood(*call: Any) -> Any:
            return answers.pop() if call[0] == "read_encrypted" and answers else None

        await self.client.store(Reader(self.content, mood))
        await self.helped.assert_stored(self.content)

    async def test_too_much(self) -> None:
        """A client that answers with more than it was asked for is not asked again."""
        data = self.content.ciphertext
        for pieces in ([data + b"x"], [data, b"x"], [data] * 10):
            reader = await self.refused(
                lambda *call, pieces=pieces: (
                    pieces if call[0] == "read_encrypted" else None
                ),
                "where 3000 were asked for",
            )
            self.assertEqual(len(reader.reads), 1)

    async def test_flood(self) -> None:
        """More than any answer may hold is refused while it comes."""
        for pieces in ([bytes(LARGEST_PIECE + 1)], [b"x"] * (MOST_PIECES + 1)):
            self.rules_are_off("read_encrypted")
            await self.refused(
                lambda *call, pieces=pieces: (
                    pieces if call[0] == "read_encrypted" else None
                ),
                "The client could not bring its file",
            )

    async def test_other_types(self) -> None:
        """Answers of other types are errors, and the connection stays."""
        for method, answer in (
            ("get_size", "12"),
            ("get_size", b"12"),
            ("get_size", [1]),
            ("get_all_encoding_parameters", [2, 1, 3, 64]),
            ("get_all_encoding_parameters", (2, 1, 3)),
            ("get_all_encoding_parameters", (2, 1, 3, b"64")),
            ("read_encrypted", b"bytes"),
            ("read_encrypted", (b"bytes",)),
            ("read_encrypted", ["text"]),
            ("read_encrypted", [1]),
        ):
            self.rules_are_off(method)
            await self.refused(
                lambda *call, method=method, answer=answer: (
                    answer if call[0] == method else None
                ),
                "The client could not bring its file",
            )

    def rules_are_off(self, method: str) -> None:
        """Let this process send as a client what foolscap would not let it."""
        readers: Any = RIEncryptedUploadable
        self.patch(readers[method], "checkResults", lambda *_: None)

    async def test_no_file(self) -> None:
        """A size or a shape that no file has is refused before anything is asked for."""
        for method, answer, text in (
            ("get_size", 0, "a file of 0 bytes"),
            ("get_size", -1, "a file of -1 bytes"),
            ("get_all_encoding_parameters", (0, 1, 3, 64), "shares must be"),
            ("get_all_encoding_parameters", (4, 1, 3, 64), "shares must be"),
            ("get_all_encoding_parameters", (2, 1, 257, 64), "shares must be"),
            ("get_all_encoding_parameters", (2, 4, 3, 64), "no file is stored like that"),
            ("get_all_encoding_parameters", (2, 0, 3, 64), "no file is stored like that"),
            ("get_all_encoding_parameters", (2, 1, 3, 63), "no file is stored like that"),
            ("get_all_encoding_parameters", (2, 1, 3, 0), "segment size must be"),
            ("get_all_encoding_parameters", (2, 1, 3, -64), "segment size must be"),
            ("get_all_encoding_parameters", (2, 1, 3, 1 << 40), "segment size must be"),
            ("get_all_encoding_parameters", (2, 1, 3, 4000), "not one of this file"),
        ):
            reader = await self.refused(
                lambda *call, method=method, answer=answer: (
                    answer if call[0] == method else None
                ),
                text,
            )
            self.assertEqual(reader.reads, [])

    async def test_raises(self) -> None:
        """What a client says of its own error is passed on, in one line."""

        def mood(*call: Any) -> Any:
            if call[0] == "read_encrypted":
                raise ValueError("my disk\nis gone")
            return None

        await self.refused(mood, "my disk")

    async def test_close_fails(self) -> None:
        """What a client makes of the end is its own business."""

        def mood(*call: Any) -> Any:
            if call[0] == "close":
                raise ValueError("no")
            return None

        await self.client.store(Reader(self.content, mood))
        await self.helped.assert_stored(self.content)
        self.helped.remove_shares()
        endless = Reader(
            self.content, lambda *call: Deferred() if call[0] == "close" else None
        )
        await self.client.store(endless)
        await self.helped.assert_stored(self.content)

    async def test_no_reader(self) -> None:
        """Only a reader is taken for one."""
        _, upload = await self.client.open()
        for thing in (None, 1, b"reader", self.client.helper):
            with self.assertRaises((Violation, RemoteException)):
                await upload.callRemote("upload", thing)
        await self.helped.assert_settled()

    async def test_storage_index(self) -> None:
        """A storage index has 16 bytes."""
        for index in (b"", b"short"):
            await self.assert_told(self.client.open(index), "has 16 bytes")

    async def test_other_shape(self) -> None:
        """A file that somebody brings in another shape is not mixed up with this one."""
        owner = Owner.by_tub(str(self.client.tub.getTubID()).encode())
        upload = await self.helped.uploads.open(INDEX, PARAMETERS, SIZE + 1, owner=owner)
        await self.assert_told(self.client.store(Reader(self.content)), "Try again soon")
        upload.leave()  # type: ignore[union-attr]
        await self.helped.assert_settled()


class LimitTests(_Case):
    limits = HelperLimits(spool=2000, size=5000)

    async def test_spool(self) -> None:
        """A file for which there is no room is refused before anything is asked for."""
        reader = Reader(self.content)
        await self.assert_told(self.client.store(reader), "no space left for ciphertext")
        self.assertEqual(reader.reads, [])
        await self.helped.assert_nothing_kept()

    async def test_size(self) -> None:
        """So is one that is larger than any may be."""
        reader = Reader(Content(5001))
        await self.assert_told(self.client.store(reader), "larger than the helper takes")
        self.assertEqual(reader.reads, [])
        await self.helped.assert_nothing_kept()


class SecretTests(_Case):
    async def test_unexpected(self) -> None:
        """Of an error that nobody thought of a client hears that there was one."""
        owner = Owner.by_tub(str(self.client.tub.getTubID()).encode())
        path = self.helped.home / "CHK_incoming" / name_of(INDEX, owner)
        path.mkdir()
        await self.assert_told(self.client.store(Reader(self.content)), "The helper failed")
        path.rmdir()
        self.assertNotEqual(self.flushLoggedErrors(), [])
        await self.client.store(Reader(self.content))
        await self.helped.assert_stored(self.content)


class CapTests(_Case):
    async def test_cap(self) -> None:
        """The cap in the results is that of the file."""
        results: UploadResults = await self.client.store(Reader(self.content))
        cap = parse_cap(vars(results)["verifycapstr"].decode())
        assert isinstance(cap, ChkVerifyCap)
        self.assertEqual(cap, self.content.cap.verify_cap())
