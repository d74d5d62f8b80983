"""
Stock's own code on directories, in a process of its own: tables, children, metadata.

``work`` sends a list of jobs and gives a list of answers; the process stays for the next.
No server is involved: stock is given the bytes of tables and gives bytes.  Caps are texts;
bytes of them that are no UTF-8 come through.
"""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from select import select
from time import process_time
from traceback import format_exc
from types import SimpleNamespace
from typing import Any, get_args

from attrs import frozen

Row = tuple[str, str | None, str | None, dict[str, Any] | None]  # name, rw, ro, metadata


@frozen
class Refusal:
    """Stock did not do it."""

    kind: str  # the name of its exception


@frozen
class MakeChild:
    """What do these caps give?  The answer is [rw, ro]."""

    rw: str | None
    ro: str | None
    immutable: bool


@frozen
class Pack:
    """Pack the children of a new directory; without a key an immutable one."""

    rows: list[Row]
    write_key: bytes | None


@frozen
class ReadTable:
    """Read a table as the directory of a cap does; the answer are rows."""

    packed: bytes
    cap: str


@frozen
class Show:
    """Read a table and show it as JSON."""

    packed: bytes
    cap: str


@frozen
class ChangeTable:
    """Link children, then unlink names, at one time; the answer is the new table."""

    packed: bytes
    cap: str
    rows: list[Row]
    removed: list[str]
    now: float


@frozen
class TimeTable:
    """Read a table, and link a child; the answer are the seconds of CPU time of each."""

    packed: bytes
    cap: str
    row: Row


@frozen
class Update:
    """Bring the metadata of a link up to date; the answer is JSON."""

    old: dict[str, Any] | None
    new: dict[str, Any] | None
    now: float


Job = MakeChild | Pack | ReadTable | Show | ChangeTable | TimeTable | Update
KINDS = {kind.__name__: kind for kind in get_args(Job)}


@cache
def _process() -> subprocess.Popen[bytes]:
    """Return the process of stock; it ends with its standard input, that is, with us."""
    return subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )


def work(jobs: Sequence[Job]) -> list[Any]:
    """Let stock do *jobs*; what it refuses is a ``Refusal``."""
    plain = [[type(job).__name__, _fields(job)] for job in jobs]
    process = _process()
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(plain, default=_plain).encode("ascii") + b"\n")
    process.stdin.flush()
    ready, _, _ = select([process.stdout], [], [], 300)
    answer = process.stdout.readline() if ready else b""
    found = json.loads(answer or b'{"error": "stock went away, or is very slow"}', **_REAL)
    if isinstance(found, dict):
        raise AssertionError(found["error"])
    assert len(found) == len(jobs)
    answers: list[Any] = found
    return answers


def _fields(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in type(job).__annotations__}


def _plain(value: Any) -> Any:
    if isinstance(value, Refusal):
        return {"refusal": value.kind}
    return {"bytes": b64encode(value).decode("ascii")}


def _object(found: dict[str, Any]) -> Any:
    match found:
        case {"bytes": str(text)} if len(found) == 1:
            return b64decode(text)
        case {"refusal": str(kind)} if len(found) == 1:
            return Refusal(kind)
    return found


_REAL: dict[str, Any] = {"object_hook": _object}


def _cap(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")


def _text(cap: bytes | None) -> str | None:
    return None if cap is None else cap.decode("utf-8", "surrogateescape")


def _seconds(act: Callable[[], object]) -> float:
    before = process_time()
    act()
    return process_time() - before


def _do(job: Job) -> Any:  # noqa: PLR0911
    from allmydata import dirnode, uri  # noqa: PLC0415
    from allmydata.client import SecretHolder  # noqa: PLC0415
    from allmydata.nodemaker import NodeMaker  # noqa: PLC0415
    from allmydata.web import directory  # noqa: PLC0415
    from twisted.internet import defer  # noqa: PLC0415

    secrets = SecretHolder(b"l" * 32, b"c" * 32)
    numbers = {"k": 3, "n": 10}
    maker = NodeMaker(None, secrets, None, None, None, numbers, None, None)

    def node_of(rw: str | None, ro: str | None, immutable: bool = False) -> Any:
        node = maker.create_from_cap(_cap(rw), _cap(ro), deep_immutable=immutable)
        node.raise_error()
        return node

    match job:
        case MakeChild():
            node = node_of(job.rw, job.ro, job.immutable)
            return [_text(node.get_write_uri()), _text(node.get_readonly_uri())]
        case Pack():
            nodes = {
                name: (node_of(rw, ro), metadata) for name, rw, ro, metadata in job.rows
            }
            return dirnode.pack_children(nodes, job.write_key, job.write_key is None)
        case Update():
            return json.dumps(dirnode.update_metadata(job.old, job.new, job.now))
    opened = node_of(job.cap, None)
    assert isinstance(opened, dirnode.DirectoryNode), uri
    if isinstance(job, ChangeTable):
        dirnode.time = SimpleNamespace(time=lambda: job.now)
        readonly = opened._create_readonly_node
        entries = {name: (node_of(rw, ro), new) for name, rw, ro, new in job.rows}
        adder = dirnode.Adder(opened, entries, create_readonly_node=readonly)
        packed = adder.modify(job.packed, None, True)
        for name in job.removed:
            deleter = dirnode.Deleter(opened, name, must_exist=False)
            packed = deleter.modify(packed, None, True) or packed
        return packed
    if isinstance(job, TimeTable):
        name, rw, ro, new = job.row
        adder = dirnode.Adder(opened, {name: (node_of(rw, ro), new)})
        reading = _seconds(lambda: opened._unpack_contents(job.packed))
        return [reading, _seconds(lambda: adder.modify(job.packed, None, True))]
    children = opened._unpack_contents(job.packed)
    if isinstance(job, Show):
        opened.list = lambda: defer.succeed(children)
        request = SimpleNamespace(
            setHeader=lambda *of: None, setResponseCode=lambda code: None
        )
        shown = directory._directory_json_metadata(request, opened)
        answers: list[Any] = []
        shown.addCallback(answers.append)
        return json.loads(answers[0])
    return [
        [name, _text(node.get_write_uri()), _text(node.get_readonly_uri()), metadata]
        for name, (node, metadata) in children.items()
    ]


def _answer(job: Job) -> Any:
    try:
        return _do(job)
    except Exception as error:
        return Refusal(type(error).__name__)


def main() -> None:
    """Read lines of jobs from the standard input, write answers to the standard output."""
    for line in sys.stdin:
        try:
            jobs = [KINDS[name](**fields) for name, fields in json.loads(line, **_REAL)]
            found: Any = [_answer(job) for job in jobs]
        except Exception:
            found = {"error": format_exc()}
        print(json.dumps(found, default=_plain), flush=True)


if __name__ == "__main__":
    main()
