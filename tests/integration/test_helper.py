"""A gateway, its helper and storage servers, all of them processes that can be killed."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.helper_line import HelpedGrid, helped_grid, putting, until_held
from tests.integration.stock_grid import Shape, content
from tests.integration.test_disk_full import small_disk
from tests.processes import Reply, ask, eventually

MB = 1_000_000
SHAPE = Shape(2, 3, 4)
KEY = "00112233445566778899aabbccddee"  # and two digits

# A file that is cut in the middle, and the rate at which it leaves.
LARGE = 12 * MB
RATE = 8 * MB
CUT = 4 * MB
# A cut may cost so many bytes, beside what carries them.
AGAIN = 1 << 20
OVERHEAD = 0.02


class _Shared:
    """The grid of this module."""

    cleanup = ExitStack()
    helped: HelpedGrid
    seed = 0


def setUpModule() -> None:
    """Run all of it."""
    with ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _Shared.helped = stack.enter_context(helped_grid(room, shape=SHAPE))
        _Shared.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End it."""
    _Shared.cleanup.close()


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.helped = _Shared.helped
        self.gateway = self.helped.gateway
        self.addCleanup(self.restore)

    def restore(self) -> None:
        """Have everything run for the next test."""
        self.helped.line.rate = 0.0
        for node in (self.helped.helper, self.gateway):
            self.assertNotIn("Traceback", node.log())
        if not self.helped.helper.running:
            self.helped.start_helper()
        if not self.gateway.running:
            self.helped.start_gateway()
        self.gateway.wait_until(self.helped.linked)

    def new_file(self, size: int) -> bytes:
        """Return bytes that no other test has."""
        _Shared.seed += 1
        return content(_Shared.seed, size)

    def new_key(self) -> str:
        """Return a key that no other test has."""
        _Shared.seed += 1
        return f"{KEY}{_Shared.seed:02x}"

    def put(self, data: bytes, arguments: str = "", chunked: bool = False) -> Reply:
        with putting(self.gateway, data, arguments, chunked) as sending:
            reply = sending.reply()
            assert reply is not None
            return reply

    def route(self, data: bytes, arguments: str = "?", chunked: bool = False) -> Any:
        """Store a file; return what is told of it."""
        reply = self.put(data, f"{arguments}&output=json", chunked)
        self.assertEqual(reply.status, 200, reply.body)
        told = json.loads(reply.body)
        self.assert_read(told["cap"], data)
        return told

    def assert_read(self, cap: str, data: bytes) -> None:
        # Not assertEqual: a failure would print the file.
        self.assertTrue(self.gateway.get(cap) == data, len(data))
        eventually(lambda: self.helped.held() == 0)


class RouteTests(_Case):
    def test_kinds(self) -> None:
        """Files of every kind go through it, and come out whole; the client can tell."""
        for size in (56, 100_000, 3 * MB + 1):
            for chunked in (False, True):
                for arguments in ("?", "?key=CHK", f"?key={self.new_key()}"):
                    told = self.route(self.new_file(size), arguments, chunked)
                    self.assertEqual(told["route"], "helper", arguments)
                    self.assertEqual(sorted(told["shares"]), ["0", "1", "2", "3"])
                    self.assertEqual(told["happiness"], 4)

    def test_same_cap(self) -> None:
        """The cap is the same with a length, without one, and without the helper."""
        data = self.new_file(2 * MB)
        caps = set()
        for arguments, chunked in (
            ("?key=CHK", False),
            ("?key=CHK", True),
            ("?key=CHK&helper=no", False),
        ):
            caps.add(self.route(data, arguments, chunked)["cap"])
            self.helped.grid.clear()
        self.assertEqual(len(caps), 1)
        key, caps = self.new_key(), set()
        for chunked in (False, True):
            caps.add(self.route(data, f"?key={key}", chunked)["cap"])
            self.helped.grid.clear()
        self.assertEqual(len(caps), 1)

    def test_present(self) -> None:
        """Of a convergent file that is there nothing is sent."""
        data = self.new_file(3 * MB)
        first = self.route(data, "?key=CHK")["cap"]
        before, fetched = self.helped.line.sent, self.helped.fetched()
        self.assertEqual(self.route(data, "?key=CHK")["cap"], first)
        self.assertEqual(self.helped.fetched(), fetched)
        self.assertLess(self.helped.line.sent - before, 20_000)

    def test_not_wanted(self) -> None:
        """With helper=no it goes from here."""
        before = self.helped.fetched()
        for chunked in (False, True):
            told = self.route(self.new_file(MB), "?helper=no", chunked)
            self.assertEqual(told["route"], "servers")
        self.assertEqual(self.helped.fetched(), before)

    def test_given_key_again(self) -> None:
        """A second file under a given key is refused, and none of it leaves."""
        key = f"?key={self.new_key()}"
        data = self.new_file(2 * MB)
        self.assertEqual(self.route(data, key)["route"], "helper")
        before = self.helped.fetched()
        self.assertEqual(self.put(self.new_file(2 * MB), key).status, 409)
        self.assertEqual(self.put(self.new_file(2 * MB), key, chunked=True).status, 409)
        self.assertEqual(self.helped.fetched(), before)
        self.assertEqual(self.route(data, key)["route"], "servers")

    def test_not_there(self) -> None:
        """While no helper is there, files go from here."""
        self.helped.helper.kill()
        eventually(lambda: not self.helped.linked())
        for chunked in (False, True):
            reply = self.put(self.new_file(MB), "?output=json", chunked)
            self.assertEqual(json.loads(reply.body)["route"], "servers")


class CutTests(_Case):
    """Each of them cuts a file in the middle, and counts what is sent in all."""

    def setUp(self) -> None:
        super().setUp()
        self.data = self.new_file(LARGE)
        self.helped.line.rate = RATE
        self.before = self.helped.line.sent

    def assert_sent_once(self, cuts: int = 1) -> None:
        sent = self.helped.line.sent - self.before
        self.assertLess(sent, LARGE * (1 + OVERHEAD) + cuts * AGAIN)

    def test_helper_killed(self) -> None:
        """The helper dies and comes back: the same request goes on and gets its cap."""
        for arguments, chunked in (("?key=CHK", False), ("", True)):
            self.before = self.helped.line.sent
            data = self.data if arguments else self.new_file(LARGE)
            with putting(self.gateway, data, arguments, chunked) as sending:
                held = until_held(self.helped, CUT)
                self.helped.helper.kill()
                self.assertLess(held, LARGE)
                self.helped.start_helper()
                reply = sending.reply()
            assert reply is not None
            self.assertEqual(reply.status, 200, reply.body)
            self.assert_read(reply.text, data)
            self.assert_sent_once()

    def test_line_reset(self) -> None:
        """The line breaks three times: the client notices nothing."""
        with putting(self.gateway, self.data) as sending:
            for part in (1, 2, 3):
                until_held(self.helped, part * LARGE // 5)
                self.helped.line.reset()
            reply = sending.reply()
        assert reply is not None
        self.assertEqual(reply.status, 200, reply.body)
        self.assert_read(reply.text, self.data)
        self.assert_sent_once(3)

    def test_line_silent(self) -> None:
        """The line carries nothing for a few seconds: nothing is sent again."""
        with putting(self.gateway, self.data, chunked=True) as sending:
            until_held(self.helped, CUT)
            self.helped.line.silent = True
            try:
                with self.assertRaises(AssertionError):
                    eventually(lambda: sending.process.poll() is not None, 3.0)
            finally:
                self.helped.line.silent = False
            reply = sending.reply()
        assert reply is not None
        self.assert_read(reply.text, self.data)
        self.assert_sent_once(0)

    def test_gateway_killed(self) -> None:
        """
        The gateway dies: the same file brought again goes on where it was, whether its key
        is given or that of its content.
        """
        for arguments in ("?key=CHK", f"?key={self.new_key()}"):
            data = self.new_file(LARGE)
            self.before = self.helped.line.sent
            with putting(self.gateway, data, arguments) as sending:
                until_held(self.helped, CUT)
                self.gateway.kill()
                self.assertIsNone(sending.reply())
            self.helped.start_gateway()
            reply = self.put(data, arguments)
            self.assertEqual(reply.status, 200, reply.body)
            self.assert_read(reply.text, data)
            self.assert_sent_once()

    def test_client_killed(self) -> None:
        """
        The client dies: a file that it may bring again waits for it, one that nobody can
        bring again is forgotten.
        """
        key = f"?key={self.new_key()}"
        with putting(self.gateway, self.data, key) as sending:
            until_held(self.helped, CUT)
            sending.process.kill()
        held = self.helped.held()
        self.assertGreaterEqual(held, CUT)
        reply = self.put(self.data, key)
        self.assertEqual(reply.status, 200, reply.body)
        self.assert_read(reply.text, self.data)
        self.assert_sent_once()
        with putting(self.gateway, self.new_file(LARGE)) as sending:
            until_held(self.helped, CUT)
            sending.process.kill()
        eventually(lambda: self.helped.held() == 0)

    def test_another_file_meanwhile(self) -> None:
        """Under a given key no other file follows one that was cut, longer or shorter."""
        key = f"?key={self.new_key()}"
        with putting(self.gateway, self.data, key) as sending:
            until_held(self.helped, CUT)
            sending.process.kill()
        eventually(lambda: self.idle())
        before = self.helped.fetched()
        for size in (MB, 2 * LARGE):
            for chunked in (False, True):
                reply = self.put(self.new_file(size), key, chunked)
                self.assertEqual(reply.status, 409, reply.body)
        self.assertEqual(self.helped.fetched(), before)
        self.helped.line.rate = 0.0
        reply = self.put(self.data, key)
        self.assert_read(reply.text, self.data)
        self.assert_sent_once()

    def idle(self) -> bool:
        told = json.loads(ask(f"{self.helped.helper.url}helper_status?t=json").body)
        return not told["truckee"]["uploads"]


class DiskTests(_Case):
    def test_full(self) -> None:
        """
        A helper whose disk is full answers so (507); a file that still fits goes on
        meanwhile, and one that does not is not lost: it goes without the helper.
        """
        with ExitStack() as cleanup:
            self.helped.helper.stop()
            small_disk(self.helped.helper.directory / "helper", cleanup, 8 << 20)
            # It will be told that the disk it had is not the one that comes back.
            known = self.helped.helper.directory / "helper-id"
            cleanup.callback(known.unlink, missing_ok=True)
            cleanup.callback(self.helped.helper.stop)
            self.helped.start_helper()
            self.gateway.wait_until(self.helped.linked)
            self.helped.line.rate = 4 * MB
            small, large = self.new_file(3 * MB), self.new_file(20 * MB)
            with putting(self.gateway, small) as first:
                until_held(self.helped, MB)
                for chunked in (False, True):
                    reply = self.put(large, chunked=chunked)
                    self.assertEqual(reply.status, 507, reply.body)
                    self.assertRegex(reply.text, "(?i)helper has no space")
                reply = first.reply() or Reply(0, {}, b"")
            self.assertEqual(reply.status, 200, reply.body)
            self.assert_read(reply.text, small)
            self.helped.line.rate = 0.0
            self.assertEqual(self.route(large, "?helper=no")["route"], "servers")
