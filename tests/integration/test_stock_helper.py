"""Stock clients at our helper, and our gateway at a stock helper, all of them real."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import psutil
from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.helper_line import Line
from tests.integration.stock_grid import (
    MIB,
    Grid,
    Helper,
    NodeProcess,
    Program,
    Shape,
    content,
    grid,
    reaches,
    sizes_around,
    use_helper,
    write_helper,
)
from tests.processes import START_TIME, ask, eventually
from tests.soak import WHOLE
from truckee.codec.caps import ChkReadCap, parse_cap

SERVERS = 4
SHAPES = (Shape(2, 3, 4, segment=20_001), Shape(3, 3, 4))

# Files in each direction.
# Every fifth size, another one for each shape, unless there is time.
FILES, EVERY = (50, 1) if WHOLE else (10, 5)

# Large enough to be cut in the middle, and where that begins.
LARGE = 48 * MIB
CUT = 12 * MIB
# What a line carries while a file is to be cut: the rest takes seconds, which is longer
# than a busy machine takes to see that the time has come.
RATE = 6 * MIB  # bytes per second

LIMIT = 64 * MIB  # of one file at our helper
# Each try has a file of its own: what was stored once is not sent again.
_SEEDS = count(1000)


@define(eq=False)
class _Way:
    """A gateway, the helper that it uses, and the line between them."""

    gateway: NodeProcess
    program: Program  # of the gateway
    helper: Helper
    line: Line
    other: NodeProcess  # reads what was stored

    @property
    def helper_program(self) -> Program:
        return "ours" if self.program == "stock" else "stock"

    def start_helper(self) -> None:
        self.helper.spawn(self.helper_program)
        self.helper.wait_until(partial(reaches, self.helper, SERVERS))

    def start_gateway(self) -> None:
        self.gateway.spawn(self.program)
        self.gateway.wait_until(partial(reaches, self.gateway, SERVERS))

    def renew(self) -> None:
        """Have both nodes run, with nothing at the helper that a test before left there."""
        if self.helper.running and self.held():
            self.helper.kill()
        if not self.helper.running:
            for place in ("CHK_incoming", "CHK_encoding"):
                for path in (self.helper.directory / "helper" / place).glob("*"):
                    path.unlink()
            self.start_helper()
            if self.gateway.running:
                self.gateway.kill()
        if not self.gateway.running:
            self.start_gateway()
        self.wait_for_helper()

    def wait_for_helper(self) -> None:
        """Return when the gateway is connected to its helper."""
        self.gateway.wait_until(self._linked)
        # They still have to greet each other, which nobody tells of: what the page of a
        # stock gateway says of its helper stays as it was at first.
        time.sleep(0.5)

    def put_again(self, data: bytes, arguments: str = "") -> str:
        """Store what was cut off; a gateway may not know yet that its helper is back."""
        deadline = time.monotonic() + START_TIME
        while True:
            try:
                return self.gateway.put(data, arguments=arguments)
            except subprocess.CalledProcessError as error:
                if time.monotonic() > deadline:
                    raise AssertionError(str(error.output[-6000:])) from error
                time.sleep(1)

    def _linked(self) -> bool:
        links = psutil.Process(self.gateway.process.pid).net_connections("tcp4")
        return any(
            link.status == psutil.CONN_ESTABLISHED and link.raddr.port == self.line.port
            for link in links
        )

    def counters(self) -> dict[str, int]:
        """Return what the helper counts."""
        found: dict[str, int] = json.loads(
            ask(f"{self.helper.url}helper_status?t=json").body
        )
        return found

    def fetched(self) -> int:
        """Return the bytes that the helper got since its start."""
        return int(self.counters()["chk_upload_helper.fetched_bytes"])

    def held(self) -> int:
        """Return the bytes of the one file that waits at the helper."""
        return sum(self.helper.spool().values())


class _Shared:
    """The grid of this module."""

    cleanup = ExitStack()
    grid: Grid
    from_stock: _Way  # to our helper
    from_ours: _Way  # to a stock helper


def setUpModule() -> None:
    """Run all of it."""
    with ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = stack.enter_context(
            grid(room, servers=SERVERS, shape=SHAPES[0], gateways=())
        )
        mine, theirs = (write_helper(room / name, made.furl) for name in ("mine", "theirs"))
        for helper in (mine, theirs):
            stack.callback(_end, helper)
        config = mine.directory / "tahoe.cfg"
        config.write_text(config.read_text() + f"max-size = {LIMIT}\n")
        near, far = (stack.enter_context(Line(helper.port)) for helper in (mine, theirs))
        _Shared.grid = made
        _Shared.from_stock = _Way(made.stock, "stock", mine, near, made.ours)
        _Shared.from_ours = _Way(made.ours, "ours", theirs, far, made.stock)
        for way in (_Shared.from_stock, _Shared.from_ours):
            furl = way.helper.helper_furl.replace(
                f":{way.helper.port}/", f":{way.line.port}/"
            )
            use_helper(way.gateway, furl)
        mine.spawn("ours")
        theirs.spawn("stock")
        for helper in (mine, theirs):
            helper.wait_until(partial(reaches, helper, SERVERS))
        made.start_gateways()
        for way in (_Shared.from_stock, _Shared.from_ours):
            way.wait_for_helper()
        _Shared.cleanup = stack.pop_all()


def _end(node: NodeProcess) -> None:
    if node.running:
        node.stop()


def tearDownModule() -> None:
    """End it."""
    _Shared.cleanup.close()


class _Case(SynchronousTestCase):
    def assert_read(self, way: _Way, cap: str, data: bytes) -> None:
        """The other program reads the file, and nothing of it waits at the helper."""
        # Not assertEqual: a failure would print the file.
        self.assertTrue(way.other.get(cap) == data, len(data))
        eventually(lambda: way.held() == 0)


class FilesTests(_Case):
    def test_both_ways(self) -> None:
        """
        What went through a helper of the other kind is a file like any other: sizes around
        every boundary, shares of two kinds, random and convergent keys.
        """
        seed = 100
        for first, shape in enumerate(SHAPES):
            _Shared.grid.restart_gateways(shape)
            for way in (_Shared.from_stock, _Shared.from_ours):
                way.wait_for_helper()
                before = way.counters()["chk_upload_helper.upload_requests"]
                sizes = sizes_around(shape, EVERY * FILES // len(SHAPES))
                sizes = sizes[2 * first % EVERY :: EVERY]
                for number, size in enumerate(sizes):
                    seed += 1
                    data = content(seed, size)
                    key = "?key=CHK" if number % 2 and way.program == "ours" else ""
                    cap = way.gateway.put(data, arguments=key)
                    self.assertTrue(way.other.get(cap) == data, (shape, size, way.program))
                after = way.counters()["chk_upload_helper.upload_requests"]
                self.assertEqual(after - before, sum(size > 55 for size in sizes))
                eventually(lambda way=way: way.held() == 0)  # type: ignore[misc]


class SecondTests(_Case):
    def test_sends_nothing(self) -> None:
        """A convergent file that is there already is not sent again, either way."""
        for seed, way in enumerate((_Shared.from_stock, _Shared.from_ours)):
            data = content(seed, 3 * MIB + 7)
            first = way.gateway.put(data, arguments="?key=CHK")
            fetched = way.fetched()
            self.assertEqual(way.gateway.put(data, arguments="?key=CHK"), first)
            self.assertEqual(way.fetched(), fetched)
            self.assert_read(way, first, data)


class ResultsTests(_Case):
    def test_page(self) -> None:
        """A stock gateway shows its user which servers have the shares."""
        data = content(6, 100_000)
        for _ in range(2):  # the second time it is there already
            page = ask(
                "--form",
                "file=@-",
                f"{_Shared.from_stock.gateway.url}uri?t=upload",
                data=data,
            )
            self.assertEqual(page.status, 200)
            known = json.loads(ask(f"{_Shared.from_stock.gateway.url}?t=json").body)[
                "servers"
            ]
            names = [server["nodeid"].removeprefix("v0-")[:8] for server in known]
            found = [name for name in names if f"[{name}]".encode() in page.body]
            self.assertGreaterEqual(len(found), 3, page.body)


class ErrorTests(_Case):
    def test_text(self) -> None:
        """A stock client shows our words for what is wrong, and no path of ours."""
        way = _Shared.from_stock
        reply = ask(
            "--request",
            "PUT",
            "--data-binary",
            "@-",
            f"{way.gateway.url}uri",
            data=bytes(LIMIT + 1),
        )
        self.assertEqual(reply.status, 500)
        self.assertIn(b"is larger than the helper takes", reply.body)
        self.assertNotIn(str(way.helper.directory).encode(), reply.body)
        self.assertNotIn(b".py", reply.body)
        self.assertEqual(way.held(), 0)


def _start(server: NodeProcess) -> None:
    if not server.running:
        server.spawn("stock")


class UnhappyTests(_Case):
    def test_servers_are_missing(self) -> None:
        """
        Without servers enough the client hears why, in the helper's words or before
        anything is sent; when they are back, what the helper has is not sent again.
        """
        ways = (_Shared.from_stock, _Shared.from_ours)
        missing = _Shared.grid.servers[2:]
        for server in missing:
            server.stop()
            self.addCleanup(_start, server)
        for way in ways:
            eventually(lambda way=way: reaches(way.helper, SERVERS - 2))  # type: ignore[misc]
        content_of = {way: content(21 + place, 3 * MIB) for place, way in enumerate(ways)}
        for way, status, words in zip(
            ways,
            (500, 503),
            (b"placed on 2 servers only", b"connected to 2 storage servers"),
            strict=True,
        ):
            reply = ask(
                "--upload-file", "-", f"{way.gateway.url}uri?key=CHK", data=content_of[way]
            )
            self.assertEqual(reply.status, status)
            self.assertIn(words, reply.body)
        for server in missing:
            _start(server)
        for way in ways:
            for node in (way.helper, way.other):
                node.wait_until(partial(reaches, node, SERVERS))
        for way in ways:
            fetched = way.fetched()
            cap = way.gateway.put(content_of[way], arguments="?key=CHK")
            if way is _Shared.from_stock:
                self.assertEqual(way.fetched(), fetched)
            self.assert_read(way, cap, content_of[way])


@contextmanager
def _putting(
    way: _Way, data: bytes, arguments: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """
    Send a file in the background, until the helper has some of it.

    The line is slow while that is looked for, and until whoever asked has done the rest.
    """
    way.line.rate = RATE
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        command = ["curl", "--silent", "--show-error", "--max-time", "100", "--upload-file"]
        url = f"{way.gateway.url}uri{arguments}"
        sending = subprocess.Popen(
            [*command, file.name, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            eventually(lambda: way.held() > CUT, START_TIME)
            yield sending
        finally:
            way.line.rate = 0.0
            sending.kill()
            sending.wait()


class CutTests(_Case):
    @classmethod
    def setUpClass(cls) -> None:
        """Large segments: files that are cut in the middle are stored soon after."""
        _Shared.grid.restart_gateways(SHAPES[-1])
        for way in (_Shared.from_stock, _Shared.from_ours):
            way.wait_for_helper()

    def setUp(self) -> None:
        """Whatever the test before left, also of its own first try."""
        for way in (_Shared.from_stock, _Shared.from_ours):
            way.renew()

    def test_helper_killed_under_stock_client(self) -> None:
        """
        Our helper is killed while a stock client sends: the client fails, and when it
        sends the file again, the helper asks for the rest only.
        """
        way, data = _Shared.from_stock, content(next(_SEEDS), LARGE)
        with _putting(way, data) as sending:
            way.helper.kill()
            sending.communicate()
        held = way.held()
        self.assertTrue(CUT < held < LARGE, held)
        way.start_helper()
        way.wait_for_helper()
        cap = way.put_again(data)
        self.assertEqual(way.fetched(), LARGE - held)
        self.assert_read(way, cap, data)

    def test_stock_client_killed(self) -> None:
        """A stock client that dies goes on, when it is back, where it was."""
        way, data = _Shared.from_stock, content(next(_SEEDS), LARGE)
        before = way.fetched()
        with _putting(way, data):
            way.gateway.kill()
        held = way.held()
        self.assertTrue(CUT < held < LARGE, held)
        way.start_gateway()
        way.wait_for_helper()
        cap = way.put_again(data)
        self.assertEqual(way.fetched() - before, LARGE)
        self.assert_read(way, cap, data)

    def test_stock_helper_killed(self) -> None:
        """
        A stock helper is killed while our gateway's client sends: when it is back it gets
        the rest, and the client notices nothing.
        """
        way = _Shared.from_ours
        for key in ("", "?key=CHK"):
            data = content(next(_SEEDS), LARGE)
            with _putting(way, data, key) as sending:
                way.helper.kill()
                held = way.held()
                self.assertTrue(CUT < held < LARGE, held)
                way.start_helper()
                out, errors = sending.communicate()
                self.assertEqual(sending.returncode, 0, errors)
            cap = parse_cap(out.decode())
            assert isinstance(cap, ChkReadCap), out
            self.assertEqual(way.fetched(), LARGE - held)
            self.assert_read(way, str(cap), data)

    def test_our_gateway_killed(self) -> None:
        """Our gateway dies; the same file, sent again, goes on where it was."""
        way, data = _Shared.from_ours, content(next(_SEEDS), LARGE)
        before = way.fetched()
        with _putting(way, data, "?key=CHK"):
            way.gateway.kill()
        eventually(lambda: _steady(way))
        held = way.held()
        self.assertTrue(CUT < held < LARGE, held)
        way.start_gateway()
        way.wait_for_helper()
        cap = way.put_again(data, arguments="?key=CHK")
        self.assertEqual(way.fetched() - before, LARGE)
        self.assert_read(way, cap, data)


def _steady(way: _Way) -> bool:
    """Tell whether what the helper holds does not grow any more."""
    held = way.held()
    time.sleep(0.3)
    return way.held() == held
