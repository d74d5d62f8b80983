"""
Which layers of a process take its processor time, from py-spy's samples.

A sample belongs to the layer of its innermost frame that has one.  Frames of the standard
library, of Twisted's Deferreds and of native code that serve many layers have none: they
belong to whoever called them.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field, frozen

_PY_SPY = Path(sys.executable).with_name("py-spy")
_RATE = 200  # samples a second

_THREAD = re.compile(r"thread \((?P<id>[0-9]+)\)")
_FRAME = re.compile(r"(?P<function>.+) \((?P<place>[^()]+?)(?::[0-9]+)?\)")

OTHER = "other"

# Of functions of libc and the interpreter.
_NATIVE = {
    "sockets (kernel)": re.compile(r"_*(libc_)?(send|recv|sendto|recvfrom|sendmsg|writev)"),
    "files (kernel)": re.compile(
        r"_*(libc_)?(p?write|p?read|fsync|fdatasync|openat?|close|rename|unlink|mkdir"
        r"|rmdir|f?stat|fstatat|ftruncate|fallocate|posix_fallocate|readdir|flock)(64)?"
    ),
    "interpreter lock": re.compile(r"drop_gil|PyEval_SaveThread|PyThread_release_lock"),
}
# A sampler wakes those who wait here, so that they seem to work.
_WAITING = re.compile(
    r"PyThread_acquire_lock\w*|take_gil|PyEval_RestoreThread|_*(sem|pthread_cond)_\w*wait\w*"
    r"|select_epoll_poll_impl|epoll_wait|_*p?poll|select_poll_poll\w*|time_sleep"
    r"|clock_nanosleep"
)

# Of Python's files, by how their path begins; the first that fits.
_PYTHON = (
    ("twisted/protocols/tls", "TLS"),
    ("OpenSSL/", "TLS"),
    ("twisted/internet/_sslverify", "TLS"),
    ("twisted/internet/defer", ""),
    ("twisted/internet/", "event loop"),
    ("twisted/web/", "HTTP of Twisted"),
    ("twisted/protocols/", "event loop"),
    ("twisted/python/threadpool", "thread hand-offs"),
    ("twisted/_threads/", "thread hand-offs"),
    ("twisted/logger/", "logging"),
    ("foolscap/", "foolscap"),
    ("allmydata/", "tahoe-lafs"),
)


@frozen
class Sample:
    """What a thread was seen to do, and how often."""

    thread: int  # the system's identifier; that of the reactor's is the process's
    frames: Sequence[tuple[str, str]]  # function and file, outermost first
    count: int


@define
class Share:
    """How many samples a layer has."""

    reactor: int = 0  # in the thread of the event loop
    workers: int = 0
    native: int = 0  # of both, those inside compiled code

    @property
    def all(self) -> int:
        """Return the samples in all threads."""
        return self.reactor + self.workers


def parse(lines: Iterable[str]) -> Iterator[Sample]:
    """Yield the busy samples in py-spy's raw output, which names threads."""
    for line in lines:
        stack, _, count = line.rstrip("\n").rpartition(" ")
        thread, *frames = stack.split(";")
        found = _THREAD.match(thread)
        if found is None or not count.isdigit():
            continue
        split = [_FRAME.fullmatch(frame) for frame in frames]
        named = [(frame["function"], frame["place"]) for frame in split if frame]
        if not _waits(named):
            yield Sample(int(found["id"]), named, int(count))


def _waits(frames: Sequence[tuple[str, str]]) -> bool:
    """Tell whether the compiled code that was called last is one that waits."""
    for function, place in reversed(frames):
        if place.endswith(".py"):
            return False
        if _WAITING.fullmatch(function):
            return True
    return False


def layer_of(frames: Sequence[tuple[str, str]]) -> str:
    """Return the layer of a stack, whose outermost frame is the first."""
    for function, place in reversed(frames):
        layer = _python_layer(place) if place.endswith(".py") else _native_layer(function)
        if layer:
            return layer
    return OTHER


def _python_layer(place: str) -> str:
    if place.startswith("truckee/"):
        parts = Path(place).parts[:-1]
        deep = len(parts) > 2 and parts[1] in {"net", "immutable", "frontends", "helper"}
        return ".".join(parts[: 3 if deep else 2])
    return next((layer for start, layer in _PYTHON if place.startswith(start)), "")


def _native_layer(function: str) -> str:
    fits = (layer for layer, names in _NATIVE.items() if names.fullmatch(function))
    return next(fits, "")


def by_layer(samples: Iterable[Sample], reactor: int) -> dict[str, Share]:
    """Add up *samples* of a process whose event loop runs in thread *reactor*."""
    found: dict[str, Share] = {}
    for sample in samples:
        share = found.setdefault(layer_of(sample.frames), Share())
        if sample.thread == reactor:
            share.reactor += sample.count
        else:
            share.workers += sample.count
        if sample.frames and not sample.frames[-1][1].endswith(".py"):
            share.native += sample.count
    return found


def merge(parts: Iterable[Mapping[str, Share]]) -> dict[str, Share]:
    """Add up what several processes did."""
    found: dict[str, Share] = {}
    for part in parts:
        for layer, share in part.items():
            whole = found.setdefault(layer, Share())
            whole.reactor += share.reactor
            whole.workers += share.workers
            whole.native += share.native
    return found


def rows(layers: Mapping[str, Share], cost: float) -> list[dict[str, object]]:
    """Return a table, the largest first; *cost* is what all of it costs, in any unit."""
    total = sum(share.all for share in layers.values()) or 1
    ordered = sorted(layers.items(), key=lambda each: -each[1].all)
    table: list[dict[str, object]] = [
        {
            "layer": layer,
            "% of samples": 100 * share.all / total,
            "% reactor thread": 100 * share.reactor / total,
            "% workers": 100 * share.workers / total,
            "% in native code": 100 * share.native / total,
            "CPU ms/MiB": cost * share.all / total,
        }
        for layer, share in ordered
    ]
    summed = merge({"": share} for share in layers.values()).get("", Share())
    whole = {
        "layer": f"all {summed.all} samples",
        "% of samples": 100.0,
        "% reactor thread": 100 * summed.reactor / total,
        "% workers": 100 * summed.workers / total,
        "% in native code": 100 * summed.native / total,
        "CPU ms/MiB": cost,
    }
    return [*table, whole]


@define(eq=False)
class Recording:
    """What py-spy saw of one process; complete once its recording ended."""

    process: int
    path: Path
    layers: dict[str, Share] = field(factory=dict)


@contextmanager
def recording(process: int, path: Path) -> Iterator[Recording]:
    """Sample the busy threads of *process* until the end; *path* gets py-spy's output."""
    options = ["--format", "raw", "--rate", str(_RATE), "--native", "--threads"]
    with subprocess.Popen(
        [_PY_SPY, "record", *options, "--pid", str(process), "--output", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as sampler:
        assert sampler.stdout is not None
        said = ""
        while "Sampling process" not in said:
            if not (line := sampler.stdout.readline()):
                raise RuntimeError(f"py-spy does not sample: {said}")
            said += line
        found = Recording(process, path)
        try:
            yield found
        finally:
            sampler.send_signal(signal.SIGINT)
            sampler.stdout.read()
    with path.open(encoding="utf-8", errors="replace") as lines:
        found.layers = by_layer(parse(lines), process)
