"""
The same cuts on a real file system: ext4 in a file, of which a copy is taken.

The node runs in a process of its own.  It is stopped for the moment of the copy, so that
the copy is what the disk had of its writes at that moment and no later one.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from unittest import SkipTest

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.powercut import node
from tests.powercut.replay import Broken

_SIZE = 64 << 20  # bytes of the file system
_STEPS = 400


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """Mount *image* inside this context."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=False)
    if done.returncode:
        raise SkipTest("mounting a file system takes root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


async def cuts(count: int, seed: int) -> list[Broken]:
    """Return the cuts after which something was missing."""
    chance, broken = random.Random(seed), []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as room:
        place = Path(room)
        for number in range(count):
            promises = _cut(place, chance)
            with mounted(place / "copy", place / "after") as disk:
                found = await node.broken(disk / "node", promises, b"second")
            broken += [Broken(number, found)] if found else []
    return broken


def _cut(place: Path, chance: random.Random) -> list[object]:
    """Run a node for a moment; leave a copy of its disk, return what it promised."""
    image = place / "image"
    with image.open("wb") as file:
        file.truncate(_SIZE)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    promises: list[object] = []
    with mounted(image, place / "disk") as disk:
        command = [sys.executable, "-m", "tests.powercut.ext4", str(disk / "node")]
        process = subprocess.Popen(
            [*command, str(chance.randrange(1 << 32))], stdout=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            promises += _read_some(process.stdout, chance.randrange(1, 60))
            time.sleep(chance.random() * 0.05)
            process.send_signal(signal.SIGSTOP)
            os.set_blocking(process.stdout.fileno(), False)
            promises += _read_rest(process.stdout)
            shutil.copyfile(image, place / "copy")
        finally:
            process.kill()
            process.wait()
    return promises


def _read_some(pipe: IO[bytes], count: int) -> list[object]:
    return [pickle.load(pipe) for _ in range(count)]


def _read_rest(pipe: IO[bytes]) -> list[object]:
    """Return what it had promised before it was stopped."""
    found: list[object] = []
    while True:
        try:
            found.append(pickle.load(pipe))
        except (EOFError, TypeError, pickle.UnpicklingError, BlockingIOError):
            return found


async def _work(path: Path, seed: int) -> None:
    def promise(what: object) -> None:
        pickle.dump(what, sys.stdout.buffer)
        sys.stdout.buffer.flush()

    node.create(path)
    promise(node.Created())
    running = await node.running(path, b"first")
    await node.Workload(running, random.Random(seed), promise).steps(_STEPS)


if __name__ == "__main__":
    react(
        lambda reactor: Deferred.fromCoroutine(_work(Path(sys.argv[1]), int(sys.argv[2])))
    )
