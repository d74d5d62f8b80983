"""The pages are true: every block of shell in them is run as it stands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from attrs import define, field
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.documents import TOP, Block, blocks, commands, indented_code, pages
from tests.grid_managers import Manager
from tests.grids import new_directory
from tests.integration.page_sandbox import Places, Sandbox, missing
from tests.integration.stock import TAHOE
from tests.integration.stock_grid import (
    Helper,
    NodeProcess,
    Program,
    Shape,
    reaches,
    write_helper,
    write_introducer,
    write_node,
)
from tests.ports import free_port, free_ports
from tests.processes import SharedNode
from truckee.node.config import load_config
from truckee.node.layout import NodeDirectory

# More of them would be a page that nobody proves.
_MOST_NOT_RUN = 10
# Programs of some pages that not every machine has.
_NEEDED = ("openssl", "base32")
# For a page that says where a gateway runs, and not how it was started.
_node = SharedNode(2, "")


@define(eq=False)
class _Friends:
    """A grid of other machines, which pages join: it starts at the first need."""

    _cleanup: ExitStack = field(factory=ExitStack, init=False)
    _places: tuple[str, str] | None = field(default=None, init=False)

    def __call__(self) -> tuple[str, str]:
        """Return the furls of its introducer and its helper, once all of it runs."""
        if self._places is None:
            if not TAHOE.exists():
                raise SkipTest("tahoe-lafs is not installed")
            self._places = self._start(
                Path(self._cleanup.enter_context(tempfile.TemporaryDirectory()))
            )
        return self._places

    def _start(self, place: Path) -> tuple[str, str]:
        ports = free_ports(3)
        introducer, furl = write_introducer(place / "introducer", ports[0])
        shape = Shape(1, 1, 2)
        servers = [
            write_node(place / name, furl, port, storage=True, web=False)
            for name, port in zip(("attic", "cellar"), ports[1:], strict=True)
        ]
        helper: Helper = write_helper(place / "helper", furl, shape)
        self._spawn(introducer, "stock")
        introducer.wait_until(introducer.listens)
        for node in (*servers, helper):
            self._spawn(node, "ours")
        helper.wait_until(lambda: reaches(helper, len(servers)))
        return furl, helper.helper_furl

    def _spawn(self, node: NodeProcess, program: Program) -> None:
        node.spawn(program)
        self._cleanup.callback(node.stop)

    def close(self) -> None:
        """End all of it."""
        self._places = None
        self._cleanup.close()


_friends = _Friends()


def tearDownModule() -> None:
    _node.close()
    _friends.close()


def shell_of(page: Path) -> list[Block]:
    """Return the blocks of shell in a page."""
    return [block for block in blocks(page) if block.is_shell]


def is_checkout(page: Path) -> bool:
    """Whether the commands of a page are typed in a copy of the repository."""
    return ".venv/bin" in "".join(block.text for block in shell_of(page))


class PageTests(SynchronousTestCase):
    """Below, a test for each page that has something to run."""

    def run_page(self, page: Path) -> None:
        """Run the blocks of a page, and compare what they print with what it shows."""
        run = [block for block in shell_of(page) if block.not_run is None]
        text = "\n".join([*(b.text for b in run), *(f for b in run for f in b.first)])
        for program in _NEEDED:
            if program in text and shutil.which(program) is None:
                raise SkipTest(f"{program} is not installed")
        introducer = helper = "none"
        if "introducer.example" in text:
            introducer, helper = _friends()
        url, port = "", free_port()
        if "3456" in text and "truckee run" not in text:
            url = _node().url
            port = int(url.rstrip("/").rpartition(":")[2])
        places = Places(port, introducer, helper, (free_port(), free_port()))
        sandbox = Sandbox(new_directory(self), places, url)
        self.addCleanup(sandbox.close)
        outcomes = sandbox.run(run, sandbox.checkout if is_checkout(page) else sandbox.home)
        for outcome in outcomes:
            place = f"{outcome.block.place}: {outcome.command.text}\n{outcome.output}"
            if outcome.code:
                self.fail(f"exit code {outcome.code}: {place}\n{sandbox.programs.logs()}")
            lost = missing(outcome.command.output, outcome.output)
            self.assertEqual(lost, [], f"not printed by {place}")
        wanted = sum(len(commands(block)) for block in run)
        self.assertEqual(len(outcomes), wanted)


def _test_of(page: Path) -> Callable[[PageTests], None]:
    def test(self: PageTests) -> None:
        self.run_page(page)

    test.__doc__ = f"{page.relative_to(TOP)} can be followed from its start to its end."
    return test


for _page in pages():
    if any(block.not_run is None for block in shell_of(_page)):
        _name = f"test_{_page.stem.replace('-', '_').lower()}"
        assert not hasattr(PageTests, _name)
        setattr(PageTests, _name, _test_of(_page))


class BlockTests(SynchronousTestCase):
    all: ClassVar[list[Block]] = [block for page in pages() for block in blocks(page)]

    def test_what_is_not_run(self) -> None:
        """Few blocks are not run, each for a reason, and bash can read them too."""
        left = [block for block in self.all if block.not_run is not None]
        self.assertLessEqual(len(left), _MOST_NOT_RUN)
        for block in left:
            self.assertTrue(block.is_shell, block.place)
            self.assertTrue(block.not_run, f"no reason: {block.place}")
            for command in commands(block):
                done = subprocess.run(
                    ["bash", "-n"],
                    input=command.text.encode(),
                    capture_output=True,
                    check=False,
                )
                self.assertEqual(done.stderr, b"", block.place)

    def test_shell_says_that_it_is(self) -> None:
        """What is typed stands in a fence that says so: else nobody would run it."""
        for block in self.all:
            if not block.is_shell:
                self.assertNotRegex(block.text, r"(?m)^\$ ", block.place)
                self.assertFalse(block.first, block.place)
            if not block.language:
                self.assertNotRegex(block.text, r"(?m)^(curl|truckee|tahoe) ", block.place)
        for page in pages():
            self.assertEqual(indented_code(page), [], page.name)

    def test_configurations(self) -> None:
        """A node can read each piece of tahoe.cfg, and knows every name in it."""
        read = 0
        for block in self.all:
            if block.language == "ini" and "[Service]" not in block.text:
                node = NodeDirectory(new_directory(self))
                certificate = Manager().sign("v0-a", "2099-01-01T00:00:00+00:00")
                (node.path / "friends.cert").write_text(json.dumps(certificate))
                node.private.mkdir()
                aliases = [f"{name}: URI:DIR2-LIT:\n" for name in ("tahoe", "photos")]
                (node.private / "aliases").write_text("".join(aliases))
                text = Places(3456, "none", _FURL).placed(block.text, node.path)
                sections = (
                    text if "[storage]" in text else f"{text}\n[storage]\nenabled = false\n"
                )
                node.config.write_text(sections)
                try:
                    mistakes = load_config(node).mistakes
                except Exception as error:
                    self.fail(f"{block.place}: {error}")
                texts = [each.text for each in mistakes]
                unknown = [
                    each for each in texts if re.search("not known|There is no", each)
                ]
                self.assertEqual(unknown, [], block.place)
                read += 1
        self.assertGreater(read, 5)

    def test_what_differs_is_found(self) -> None:
        """Another word is a difference; another number, id or cap is none."""
        given = "Made a 3-of-10 grid in /home/you/grid\nURI:CHK:a:b:1:2:3\n"
        self.assertEqual(missing(["Made a 2-of-3 grid in /home/you/grid"], given), [])
        self.assertEqual(missing(["Made a … grid in …", "…", "URI:CHK:x…"], given), [])
        for line in ("Makes a 2-of-3 grid in /home/you/grid", "Made a 2-of-3 grid"):
            self.assertEqual(missing([line], given), [line])
        self.assertEqual(missing(["URI:CHK:…", "Made …"], given), ["Made …"])


_FURL = f"pb://{'a' * 32}@tcp:127.0.0.1:1/{'b' * 32}"
