"""
Commands in surroundings of their own: real processes, forked from one that is warm.

Python and its libraries are loaded once; a case takes some hundredths of a second then.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from attrs import define, field, frozen

from tests.processes import Done
from tests.warm import LOADED, fresh_reactor
from truckee.cli import main

UNREAD = "unread"  # in the place of a path: a pipe whose reader has gone
TIME = 60.0  # seconds in which a command ends
# Before a command has no right to read them, or no file to open them with.
_LOADED = (
    *LOADED["truckee"],
    "truckee.cli.storage",
    "difflib",
    "encodings.utf_8_sig",
    "encodings.ascii",
)
_LIMITS = {
    "files": resource.RLIMIT_NOFILE,
    "size": resource.RLIMIT_FSIZE,
    "memory": resource.RLIMIT_AS,
}


@frozen
class Surroundings:
    """What a command finds around it."""

    directory: Path  # it begins there
    environment: Mapping[str, str | None] = field(factory=dict)  # None: without it
    standard: Sequence[str | None] = (
        "/dev/null",
        "out",
        "err",
    )  # paths, UNREAD; None: closed
    limits: Mapping[str, int] = field(factory=dict)
    gone: bool = False  # whether the directory is removed meanwhile
    user: int = 0


@define(eq=False)
class Forks:
    """The warm process."""

    _process: subprocess.Popen[bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )

    def run(self, around: Surroundings, *arguments: str) -> Done:
        """Return what a command did."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with tempfile.TemporaryDirectory() as place:
            os.chmod(place, 0o777)
            told = {
                "arguments": [os.fsencode(each).decode("latin-1") for each in arguments],
                "directory": str(around.directory),
                "environment": dict(around.environment),
                "standard": [_standard(name, place) for name in around.standard],
                "limits": dict(around.limits),
                "gone": around.gone,
                "user": around.user,
            }
            self._process.stdin.write(json.dumps(told).encode() + b"\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            return Done(code, _text(place, "out"), _text(place, "err"))

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(TIME)
        self._process.stdout.close()


def _standard(name: str | None, place: str) -> str | None:
    return str(Path(place) / name) if name in ("out", "err") else name


def _text(place: str, name: str) -> str:
    try:
        return (Path(place) / name).read_text("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _serve() -> None:
    for name in _LOADED:
        import_module(name)
    for line in sys.stdin:
        told = json.loads(line)
        child = os.fork()
        if not child:
            _become(told)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(code, flush=True)


def _become(told: dict[str, Any]) -> NoReturn:
    """Be the command."""
    code = 99
    try:
        signal.alarm(int(TIME))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _stand_in(told)
        sys.argv = ["truckee", *_arguments(told)]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 98
    except BaseException as error:
        os.write(2, f"Traceback of a test: {error!r}\n".encode())
    finally:
        os._exit(code)


def _arguments(told: dict[str, Any]) -> list[str]:
    return [os.fsdecode(each.encode("latin-1")) for each in told["arguments"]]


def _unread_pipe() -> int:
    """Return the end to write to of a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def _stand_in(told: dict[str, Any]) -> None:
    os.chdir(told["directory"])
    if told["gone"]:
        os.rmdir(told["directory"])
    for name, value in told["environment"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    fresh_reactor()
    for descriptor, (stream, name) in enumerate(
        zip(("stdin", "stdout", "stderr"), told["standard"], strict=True)
    ):
        mode = "r" if descriptor == 0 else "w"
        if name is None:
            os.close(descriptor)
            setattr(sys, stream, None)
            continue
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT
        opened = _unread_pipe() if name == UNREAD else os.open(name, flags, 0o666)
        os.dup2(opened, descriptor)
        if opened != descriptor:
            os.close(opened)
        # It is the process's own, to its end.
        setattr(sys, stream, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))
    for limit, most in told["limits"].items():
        resource.setrlimit(_LIMITS[limit], (most, most))
    if told["user"]:
        os.setuid(told["user"])


if __name__ == "__main__":
    _serve()
