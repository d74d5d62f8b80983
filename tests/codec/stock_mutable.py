"""
Stock's own code on mutable files, in a process of its own: shares made, read and changed.

``work`` sends a list of jobs and gives a list of answers; the process stays for the next.
The shares of a file are kept in memory on one server, as ``{number: bytes}``.  Stock's
random salts are given to it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from select import select
from traceback import format_exc
from types import SimpleNamespace
from typing import Any

from attrs import define, field, frozen

Shares = dict[int, bytes]


def pattern(length: int, start: int = 0) -> bytes:
    """Return contents of which no piece repeats soon."""
    return bytes((start + at) % 251 for at in range(length))


def salts(seed: int) -> Iterator[bytes]:
    """Give salts without end, others for each *seed*."""
    number = 0
    while True:
        yield b"%08d%08d" % (seed, number)
        number += 1


@frozen
class Make:
    """Make a file: its shares, in answer, hold ``pattern(size)``."""

    format: str  # SSK or MDMF
    needed: int
    total: int
    size: int


@frozen
class Read:
    """Read and verify a file: is it healthy, and what is in it?"""

    cap: str
    shares: Shares


@frozen
class Change:
    """Write ``pattern(length, 7)`` at an offset; the answer are all its shares."""

    cap: str
    shares: Shares
    offset: int
    length: int
    seed: int


Job = Make | Read | Change
KINDS = {kind.__name__: kind for kind in (Make, Read, Change)}


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


def work(private_key: bytes, jobs: Sequence[Job]) -> list[Any]:
    """Let stock do *jobs*; a file is made with *private_key* and salts of seed 0."""
    plain = [_plain((type(job).__name__, _fields(job))) for job in jobs]
    line = json.dumps([_plain(private_key), plain])
    process = _process()
    assert process.stdin and process.stdout
    process.stdin.write(line.encode("ascii") + b"\n")
    process.stdin.flush()
    ready, _, _ = select([process.stdout], [], [], 300)
    answer = process.stdout.readline() if ready else b""
    found = json.loads(answer or b'{"error": "stock went away, or is very slow"}')
    if "error" in found:
        raise AssertionError(found["error"])
    answers: list[Any] = _real(found["answers"])
    return answers


def _fields(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in type(job).__annotations__}


def _plain(value: Any) -> Any:
    """Return *value* as JSON can have it."""
    match value:
        case bytes():
            return {"bytes": b64encode(value).decode("ascii")}
        case dict():
            return {"items": [[_plain(key), _plain(each)] for key, each in value.items()]}
        case list() | tuple():
            return [_plain(each) for each in value]
    return value


def _real(value: Any) -> Any:
    """Return what ``_plain`` was given, with lists for tuples."""
    match value:
        case {"bytes": text}:
            return b64decode(text)
        case {"items": items}:
            return {_real(key): _real(each) for key, each in items}
        case list():
            return [_real(each) for each in value]
    return value


@define(eq=False)
class Server:
    """All that stock's mutable files ask of a server, its connection and its broker."""

    shares: Shares = field(repr=False)

    def get_servers_for_psi(self, index: bytes, for_upload: bool = False) -> list[Server]:
        """Return the servers of a grid of one."""
        return [self]

    def get_storage_server(self) -> Server:
        """Return where requests go."""
        return self

    def get_serverid(self) -> bytes:
        """Return any name."""
        return b"s" * 20

    get_lease_seed = get_foolscap_write_enabler_seed = get_serverid
    get_name = get_longname = get_permutation_seed = get_serverid

    def upload_permitted(self) -> bool:
        """Take all."""
        return True

    def slot_readv(
        self, index: bytes, numbers: Sequence[int], reads: Sequence[tuple[int, int]]
    ) -> Any:
        """Return the bytes of some shares, or of all."""
        return self._later(
            {
                number: [share[offset : offset + length] for offset, length in reads]
                for number, share in self.shares.items()
                if not numbers or number in numbers
            }
        )

    def slot_testv_and_readv_and_writev(
        self, index: bytes, secrets: Any, vectors: Mapping[int, Any], reads: Any
    ) -> Any:
        """Write without looking: nobody else does."""
        for number, (_tests, writes, _length) in vectors.items():
            share = bytearray(self.shares.get(number, b""))
            for offset, data in writes:
                share += bytes(max(offset - len(share), 0))
                share[offset : offset + len(data)] = data
            self.shares[number] = bytes(share)
        return self._later((True, {}))

    def advise_corrupt_share(self, *about: Any) -> None:
        """Let it be."""

    def _later(self, result: Any) -> Any:
        from twisted.internet import reactor, task  # noqa: PLC0415

        return task.deferLater(reactor, 0, lambda: result)


def _numbers_of(share: bytes, *others: bytes) -> tuple[int, int]:
    """Return k and N of a share: stock changes files with those of its configuration."""
    return (share[41], share[42]) if share[0] else (share[57], share[58])


async def _do(job: Job, keys: tuple[Any, Any]) -> Any:
    from allmydata import uri  # noqa: PLC0415
    from allmydata.client import SecretHolder  # noqa: PLC0415
    from allmydata.interfaces import MDMF_VERSION, SDMF_VERSION  # noqa: PLC0415
    from allmydata.monitor import Monitor  # noqa: PLC0415
    from allmydata.mutable import publish  # noqa: PLC0415
    from allmydata.mutable.filenode import MutableFileNode  # noqa: PLC0415

    private, public = keys
    random = salts(job.seed if isinstance(job, Change) else 0)
    own = {**vars(os), "urandom": lambda size: next(random)[:size]}
    publish.os = SimpleNamespace(**own)
    server = Server({} if isinstance(job, Make) else dict(job.shares))
    if isinstance(job, Make):
        numbers = job.needed, job.total
    else:
        numbers = _numbers_of(*job.shares.values())
    node = MutableFileNode(
        server,
        SecretHolder(b"l" * 32, b"c" * 32),
        {"k": numbers[0], "n": numbers[1]},
        None,
    )
    if isinstance(job, Make):
        version = MDMF_VERSION if job.format == "MDMF" else SDMF_VERSION
        contents = publish.MutableData(pattern(job.size))
        await node.create_with_keys((public, private), contents, version=version)
        return [node.get_uri().decode("ascii"), server.shares]
    node.init_from_cap(uri.from_string(job.cap.encode("ascii")))
    if isinstance(job, Change):
        best = await node.get_best_mutable_version()
        await best.update(publish.MutableData(pattern(job.length, 7)), job.offset)
        return server.shares
    checked = await node.check(Monitor(), verify=True)
    return [checked.is_healthy(), await node.download_best_version()]


def main() -> None:
    """Read lines of jobs from the standard input, write answers to the standard output."""
    from allmydata.crypto import rsa  # noqa: PLC0415
    from allmydata.interfaces import IDisplayableServer  # noqa: PLC0415
    from twisted.internet import defer, task, threads  # noqa: PLC0415
    from zope.interface import classImplements  # noqa: PLC0415

    classImplements(Server, IDisplayableServer)  # type: ignore[misc]

    async def all_of_them() -> None:
        while line := await threads.deferToThread(sys.stdin.readline):
            private_key, plain = json.loads(line)
            keys = rsa.create_signing_keypair_from_string(_real(private_key))
            jobs = [KINDS[name](**_real(fields)) for name, fields in plain]
            try:
                found: Any = {"answers": [_plain(await _do(job, keys)) for job in jobs]}
            except Exception:
                found = {"error": format_exc()}
            print(json.dumps(found), flush=True)

    task.react(lambda _reactor: defer.ensureDeferred(all_of_them()))


if __name__ == "__main__":
    main()
