"""
Processes that begin with their program loaded: forked from one that has loaded it.

Python takes two seconds of a processor to load a node, ours or stock's, and a test of ten
of them would spend its time with that alone.  What is forked is a process as any other: it
has its own identifier, descriptors, environment and reactor, it is a child of the one
that asked for it, and it runs the program from its first line.  One thing is another: the
tubs that it makes have few RSA keys between them.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import inspect
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.keys import share_keys

# What each kind of program loads before it is asked for.
LOADED = {
    "truckee": (
        *(f"truckee.cli.{name}" for name in ("run", "put", "get", "status")),
        *(
            f"truckee.cli.{name}"
            for name in ("alias", "backup", "check", "cp", "ln", "ls", "rm")
        ),
        *(f"truckee.cli.create_{name}" for name in ("client", "grid", "helper", "storage")),
        "truckee.node.build",
        "encodings.idna",
        "twisted.internet.endpoints",
    ),
    "tahoe": (
        "allmydata.scripts.runner",
        "allmydata.cli.grid_manager",
        "allmydata.client",
        "allmydata.introducer.server",
        "twisted.scripts._twistd_unix",
    ),
}
# RSA keys of all tubs that are made in processes of one kind: stock's gateways make one tub
# for each server, at each start.
_KEYS = 2
# Set where a process is to run as a user's does: a forked one is up to 40 % slower.
COLD = "TRUCKEE_TESTS_COLD"
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
# Python and the loader look at these before the program does.
_EARLY = ("PYTHON", "LD_", "LC_", "LANG", "FAKETIME")
_PLAIN = {
    "pass_fds": (),
    "preexec_fn": None,
    "shell": False,
    "executable": None,
    "gid": None,
    "gids": None,
    "uid": None,
}
# Programs of stock.
_STOCK = [str(Path(sys.executable).with_name(name)) for name in ("tahoe", "grid-manager")]


def start(
    command: Sequence[str | os.PathLike[str]], **options: Any
) -> subprocess.Popen[Any]:
    """Start a command, as :class:`subprocess.Popen` does; warm where it can be."""
    kind = _kind([os.fspath(each) for each in command])
    if kind and COLD not in os.environ and _same_early(options.get("env")):
        return _Warm(kind, command, **options)
    return subprocess.Popen(command, **options)


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    check: bool,
    input: bytes | None = None,  # as subprocess has it
    capture_output: bool = False,
    timeout: float | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[bytes]:
    """Return what a command did, as :func:`subprocess.run` does; warm where it can be."""
    if input is not None:
        options["stdin"] = subprocess.PIPE
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(command, **options) as process:
        try:
            output, errors = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, output, errors)
    if check:
        done.check_returncode()
    return done


def _kind(command: list[str]) -> str:
    if command[:3] == [sys.executable, "-m", "truckee"]:
        return "truckee"
    return "tahoe" if command[0] in _STOCK else ""


def _same_early(environment: dict[str, str] | None) -> bool:
    def early(given: Any) -> dict[str, str]:
        return {
            name: given[name] for name in given if name.startswith(_EARLY) and given[name]
        }

    return environment is None or early(environment) == early(os.environ)


class _Warm(subprocess.Popen[bytes]):
    """A process of this kind: only how it begins is another."""

    def __init__(self, kind: str, command: Any, **options: Any) -> None:
        self._kind_of_program = kind
        super().__init__(command, **options)

    def _execute_child(self, *given: Any) -> None:
        """Have it forked, in the place of fork and exec."""
        names = list(inspect.signature(subprocess.Popen._execute_child).parameters)[1:]  # type: ignore[attr-defined]
        asked = dict(zip(names, given, strict=True))
        for name, value in _PLAIN.items():
            assert asked[name] == value, f"{name} takes an ordinary Popen"
        ends = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        told = {
            "arguments": list(map(os.fsdecode, asked["args"])),
            "directory": os.fsdecode(asked["cwd"] or os.getcwd()),
            "environment": dict(os.environ if asked["env"] is None else asked["env"]),
            "umask": asked["umask"],
            "session": asked["start_new_session"],
            "streams": [theirs != -1 for theirs in ends],
        }
        descriptors = [theirs for theirs in ends if theirs != -1]
        try:
            self.pid = _source(self._kind_of_program).fork(told, descriptors)
            self._child_created = True
        finally:
            pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
            self._close_pipe_fds(*(asked[name] for name in pipes))  # type: ignore[attr-defined]


class _Source:
    """The process that others are forked from."""

    def __init__(self, kind: str) -> None:
        ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", kind, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=Path(__file__).parents[1],
        )
        theirs.close()

    def fork(self, told: dict[str, Any], descriptors: list[int]) -> int:
        """Have a process forked; return its identifier.  It is a child of this one."""
        socket.send_fds(self._ours, [json.dumps(told).encode()], descriptors)
        answer = self._ours.recv(64)
        if not answer:
            raise ChildProcessError("what processes are forked from is gone")
        return int(answer)

    def close(self) -> None:
        """End it; those that were forked live on."""
        self._ours.close()
        self._process.wait(60)


@cache
def _source(kind: str) -> _Source:
    source = _Source(kind)
    atexit.register(source.close)
    return source


# In the process that others are forked from:


def _serve(kind: str, theirs: socket.socket) -> None:
    for name in LOADED[kind]:
        import_module(name)
    share_keys(_KEYS)
    # A look of the garbage collector would copy all that is shared.
    gc.collect()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(theirs, 1 << 18, 3)
        if not message:
            return
        reader, writer = os.pipe()
        between = os.fork()
        if not between:
            child = os.fork()
            if child:
                os.write(writer, b"%d" % child)
                os._exit(0)
            for descriptor in (reader, writer, theirs.detach()):
                os.close(descriptor)
            _become(json.loads(message), descriptors)
            return
        for descriptor in (writer, *descriptors):
            os.close(descriptor)
        # Its parent is gone then, and so it is a child of the process that asked.
        os.waitpid(between, 0)
        with os.fdopen(reader, "rb") as pipe:
            theirs.send(pipe.read(64))


def _become(told: dict[str, Any], descriptors: list[int]) -> None:
    """Be the program, to its end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(told["environment"])
    os.chdir(told["directory"])
    if told["umask"] >= 0:
        os.umask(told["umask"])
    if told["session"]:
        os.setsid()
    # None of them is 0, 1 or 2: those of the process we come from are open.
    given = iter(descriptors)
    for number, there in enumerate(told["streams"]):
        if there:
            descriptor = next(given)
            os.dup2(descriptor, number)
            os.close(descriptor)
    _fresh_streams()
    fresh_reactor()
    _end(_run(told["arguments"]))


def _run(arguments: list[str]) -> int:
    try:
        if arguments[1:3] == ["-m", "truckee"]:
            sys.argv[:] = ["truckee", *arguments[3:]]
            runpy.run_module("truckee", run_name="__main__", alter_sys=True)
        else:
            sys.argv[:] = arguments
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        raise
    return 0


def _end(code: int) -> None:
    """End as Python does, but without taking apart what is shared."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)


def _fresh_streams() -> None:
    """Make what Python makes of descriptors 0, 1 and 2 when it starts."""
    for number, name, mode, errors in (
        (0, "stdin", "r", None),
        (1, "stdout", "w", None),
        (2, "stderr", "w", "backslashreplace"),
    ):
        old = getattr(sys, name)
        raw = io.FileIO(number, mode, closefd=False)
        opened = io.TextIOWrapper(
            io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw),
            encoding=old.encoding,
            errors=errors or old.errors,
            line_buffering=number == 2 or (number == 1 and raw.isatty()),
        )
        setattr(sys, name, opened)
        setattr(sys, f"__{name}__", opened)


def fresh_reactor() -> None:
    """Have a reactor that shares nothing with the process we come from."""
    reactor: Any = sys.modules.get("twisted.internet.reactor")
    if reactor is not None:
        vars(reactor).clear()
        reactor.__init__()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
