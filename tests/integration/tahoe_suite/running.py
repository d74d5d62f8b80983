"""
Runs tests of Tahoe-LAFS in this process; each grid of theirs gets a gateway of ours.

    python -m tests.integration.tahoe_suite.running RESULT NAME...

Their servers stay in this process, and so does their client, which makes files, damages
shares and looks at them.  A node of ours has the same directories as a grid of its own,
and it is what their client's ``node.url`` names.  Where a mutable file is made by both
sides, both write what the other one reads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from allmydata.test import no_network
from allmydata.util import base32
from twisted.trial.reporter import Reporter
from twisted.trial.runner import TestLoader, TrialRunner

from tests import warm
from tests.processes import START_TIME, truckee

_CONFIG = """[node]
nickname = tested
web.port = tcp:0:interface=127.0.0.1
[client]
shares.needed = {}
shares.happy = {}
shares.total = {}
upload.default-key = CHK
cache.limit = 0
[storage]
enabled = false
[grid]
reserved_space = 0
storage_dirs =
"""
_WHY = 2000  # characters

_set_up_grid = no_network.GridTestMixin.set_up_grid
_asked: set[str] = set()  # the tests that had a gateway


def _with_gateway(self: Any, *given: Any, **options: Any) -> Any:
    """Set up a grid as the test asks for it, and our gateway on it."""
    result = _set_up_grid(self, *given, **options)
    _asked.add(self.id())
    client = Path(self.get_clientdir())
    process, url = _start(self, client, oneshare=options.get("oneshare", False))
    self.addCleanup(_stop, process)
    (client / "node.url").write_text(f"{url}\n")
    self.client_baseurls[0] = url
    return result


def _start(self: Any, client: Path, oneshare: bool) -> tuple[subprocess.Popen[bytes], str]:
    number = sum(1 for _ in Path(self.basedir).glob("ours*"))
    node = Path(self.basedir).absolute() / f"ours{number}"
    (node / "private").mkdir(parents=True)
    directories = []
    for _, server, directory in self.iterate_servers():
        identity = base32.b2a(server.my_nodeid).decode("ascii")
        (Path(directory) / "server-id").write_text(f"{identity}\n")
        directories.append(os.path.abspath(directory))
    shape = (1, 1, 1) if oneshare else (3, min(7, len(directories)), 10)
    config = _CONFIG.format(*shape) + "".join(f"    {each}\n" for each in directories)
    (node / "tahoe.cfg").write_text(config)
    for name in ("convergence", "secret", "api_auth_token"):
        theirs = client / "private" / name
        if theirs.exists():
            (node / "private" / name).write_bytes(theirs.read_bytes())
    with (node / "log").open("wb") as log:
        process = warm.start(truckee("run", str(node)), stdout=log, stderr=log)
    place, end = node / "node.url", time.monotonic() + START_TIME
    while not (place.exists() and place.read_text().endswith("\n")):
        if process.poll() is not None or time.monotonic() > end:
            raise AssertionError((node / "log").read_text(errors="replace"))
        time.sleep(0.02)
    return process, place.read_text().strip()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)


class _Notes(Reporter):
    """Notes what became of each test."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.found: dict[str, str] = {}  # why a test failed; empty: it did not

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self.found.setdefault(test.id(), "")

    def addFailure(self, test: Any, failure: Any) -> None:
        super().addFailure(test, failure)
        self._note(test, failure)

    def addError(self, test: Any, error: Any) -> None:
        super().addError(test, error)
        self._note(test, error)

    def _note(self, test: Any, failure: Any) -> None:
        told = failure[1] if isinstance(failure, tuple) else failure.value
        text = f"{type(told).__name__}: {told}"[-_WHY:]
        self.found[test.id()] = f"{self.found.get(test.id(), '')}{text}\n"


def main() -> None:
    """Run the tests that the command line names."""
    result, *names = sys.argv[1:]
    no_network.GridTestMixin.set_up_grid = _with_gateway
    runner = TrialRunner(_Notes, workingDirectory=os.path.abspath("trial"))
    notes: Any = runner.run(TestLoader().loadByNames(names))
    prefix = "allmydata.test."
    told = {
        test.removeprefix(prefix): (not why, test in _asked, why)
        for test, why in notes.found.items()
    }
    Path(result).write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
