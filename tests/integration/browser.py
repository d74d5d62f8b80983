"""Programs of Node, and a browser that is driven through one; both only where they are."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import psutil
from twisted.trial.unittest import SynchronousTestCase

from tests.processes import GridProcess, running

JAVASCRIPT = Path(__file__).parents[1] / "js"
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def missing(*, browser: bool) -> str | None:
    """Return why these tests cannot run here, if they cannot."""
    if NODE is None:
        return "there is no node here"
    if browser and CHROMIUM is None:
        return "there is no chromium here"
    if not (JAVASCRIPT / "node_modules").is_dir():
        return "there are no node_modules here: npm install in tests/js"
    return None


def run_node(script: str, *arguments: str, timeout: float = 120.0) -> Any:
    """Return what a script of ``tests/js`` prints, which is JSON."""
    done = subprocess.run(
        [str(NODE), script, *arguments],
        cwd=JAVASCRIPT,
        check=True,
        stdout=subprocess.PIPE,
        timeout=timeout,
    )
    return json.loads(done.stdout)


class BrowserError(Exception):
    """What the page, or the one who drives it, complains of."""


class Browser:
    """A headless browser with a profile of its own; a context manager that closes it."""

    def __init__(self, profile: Path) -> None:
        self._process = subprocess.Popen(
            [str(NODE), "browser.mjs", str(CHROMIUM), str(profile)],
            cwd=JAVASCRIPT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._answer()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def do(self, code: str, *args: object) -> Any:
        """Return what *code* does with ``page``, ``context`` and ``args``."""
        assert self._process.stdin is not None
        line = json.dumps({"code": code, "args": args}) + "\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        return self._answer()

    def kill(self) -> None:
        """Let the browser die at this very moment."""
        driver = psutil.Process(self._process.pid)
        family = [*driver.children(recursive=True), driver]
        for each in family:
            each.kill()
        psutil.wait_procs(family, 30)
        self._process.wait(120)

    def close(self) -> None:
        """End it in good order."""
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BrowserError("it is gone")
        answer = json.loads(line)
        if "error" in answer:
            raise BrowserError(answer["error"])
        return answer["result"]


class BrowserCase(SynchronousTestCase):
    """A grid in one process and a browser in front of it, for all tests of a class."""

    cleanup: ClassVar[ExitStack]
    grid: ClassVar[GridProcess]
    browser: ClassVar[Browser]

    @classmethod
    def setUpClass(cls) -> None:
        with ExitStack() as stack:
            place = Path(
                stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            )
            cls.grid = GridProcess.create(
                place / "node", needed=2, happy=2, total=3, storage_dirs=3
            )
            stack.enter_context(running(cls.grid))
            cls.browser = stack.enter_context(Browser(place / "profile"))
            cls.cleanup = stack.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.cleanup.close()
