"""
magic-folder's own integration tests, whose Tahoe-LAFS nodes are ours or stock's.

    python -m tests.soak.magic_folder ENVIRONMENT SDIST [--nodes ours,stock] [--only WORDS]
        [--patience 1] [--keep DIR]

SDIST is magic-folder's source archive (24.3.0 has been tried), ENVIRONMENT a virtual
environment apart from that of truckee, made with

    python3 -m venv ENVIRONMENT
    ENVIRONMENT/bin/pip install 'SDIST[test]' tahoe-lafs==1.20.0

The tests run from a copy.  Each node that has a [client] section is run by ``truckee run``
when nodes are ours, storage included; the introducer, and the making of node directories,
are Tahoe-LAFS's.  A busy machine wants *patience*: by this the tests' own waits for what
has to come are multiplied.  They listen on fixed ports, so one run at a time, or each in a
network namespace of its own.  The exit code is 1 when ours fail where stock's do not, or
where stock's were not tried; one test looks for a log that only stock's command writes.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from attrs import frozen

from tests.processes import truckee
from tests.report import report

# The tests ask tox for the environment of the nodes; this answers in its place.
TOX = """\
import sys

if "--showconfig" in sys.argv:
    print("[testenv:tahoe1_17]")
    print("env_dir = {nodes}")
"""
# They start this as Python of that environment: python -m allmydata.scripts.runner …
STOCK = """\
#!/bin/sh
exec {python} "$@"
"""
OURS = """\
#!/bin/sh
for last; do :; done
case " $* " in
*" run "*)
    if grep -q '^.client.' "$last/tahoe.cfg"; then
        exec {truckee} "$last"
    fi ;;
esac
exec {python} "$@"
"""
# What a node says when it runs.
GREETINGS = {"stock": '"client running"', "ours": '" is running"'}

# It wants the file of the option --eliot-destination.
OF_STOCK = frozenset({"test_magic_folder.test_eliot_logs_are_written"})


@frozen
class Outcome:
    """What the tests did."""

    passed: frozenset[str]
    failed: frozenset[str]
    seconds: float

    def row(self, nodes: str) -> dict[str, object]:
        """Return what is printed of it."""
        return {
            "nodes": nodes,
            "cases": len(self.passed) + len(self.failed),
            "passed": len(self.passed),
            "tests": len(_tests(self.passed | self.failed)),
            "passed in every case": len(_tests(self.passed) - _tests(self.failed)),
            "seconds": self.seconds,
        }


def _tests(cases: frozenset[str]) -> set[str]:
    """Return the tests; one that has parameters is several cases."""
    return {case.partition("[")[0] for case in cases}


def prepare(room: Path, environment: Path, sdist: Path, nodes: str, patience: int) -> None:
    """Have in *room* a copy of the tests, and the program of their nodes."""
    with tarfile.open(sdist) as archive:
        for member in archive:
            _, _, name = member.name.partition("/")
            if member.isfile() and re.fullmatch(r"integration/\w+\.py|pytest\.ini", name):
                member.name = name
                archive.extract(member, room, filter="data")
    for path in (room / "integration").glob("*.py"):
        text = path.read_text("utf-8")
        text = text.replace(GREETINGS["stock"], GREETINGS[nodes])
        path.write_text(more_patient(text, patience), "utf-8")
    (room / "tox").mkdir()
    (room / "tox" / "__init__.py").touch()
    (room / "tox" / "__main__.py").write_text(TOX.format(nodes=room / "nodes"))
    program = room / "nodes" / "bin" / "python"
    program.parent.mkdir(parents=True)
    script = OURS if nodes == "ours" else STOCK
    python = shlex.quote(str(environment / "bin" / "python"))
    program.write_text(script.format(python=python, truckee=shlex.join(truckee("run"))))
    program.chmod(0o755)


def more_patient(text: str, patience: int) -> str:
    """Return the module *text* with longer waits for what has to come."""
    parts = re.split(r"(?m)^(?=def |class |@)", text)
    return "".join(
        re.sub(r"< (timeout|float\(timeout\)):", rf"< \1 * {patience}:", part)
        if part.startswith("def await_")
        else part
        for part in parts
    )


def run(room: Path, environment: Path, only: str) -> Outcome:
    """Run the tests of *room*; what they print goes on as it comes."""
    begin = time.monotonic()
    subprocess.run(
        [
            environment / "bin" / "python",
            *("-m", "pytest", "integration", "-v", "-ra", "--tb=short"),
            *("-p", "no:cacheprovider", f"--basetemp={room / 'made'}"),
            *(f"--junitxml={room / 'outcome.xml'}", "-k", only),
        ],
        cwd=room,
        env=os.environ | {"PYTHONPATH": str(room)},
        check=False,
    )
    return outcome(room / "outcome.xml", time.monotonic() - begin)


def outcome(path: Path, seconds: float) -> Outcome:
    """Return what pytest wrote to *path*; a case that could not begin has failed."""
    passed: set[str] = set()
    failed: set[str] = set()
    for case in ElementTree.parse(path).iter("testcase"):
        module = case.get("classname", "").removeprefix("integration.")
        bad = case.find("failure") is not None or case.find("error") is not None
        (failed if bad else passed).add(f"{module}.{case.get('name')}")
    return Outcome(frozenset(passed - failed), frozenset(failed), seconds)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and what failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", type=Path)
    parser.add_argument("sdist", type=Path)
    parser.add_argument("--nodes", default="ours,stock")
    parser.add_argument("--only", default="", help="as pytest's -k has it")
    parser.add_argument("--patience", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="where the nodes and logs stay")
    options = parser.parse_args(arguments)
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        for nodes in options.nodes.split(","):
            room = (options.keep or Path(name)).absolute() / nodes
            room.mkdir(parents=True)
            environment = options.environment.absolute()
            prepare(room, environment, options.sdist, nodes, options.patience)
            outcomes[nodes] = run(room, environment, options.only)
    report("magic-folder", [each.row(nodes) for nodes, each in outcomes.items()])
    for nodes, each in outcomes.items():
        for case in sorted(each.failed):
            print(f"failed with nodes of {nodes}: {case}")
    ours, stock = outcomes.get("ours"), outcomes.get("stock")
    allowed = OF_STOCK | (stock.failed if stock else frozenset())
    raise SystemExit(bool(ours and ours.failed - allowed))


if __name__ == "__main__":
    main()
