"""
The programs that the pages' commands start: real ones, forked from warm processes.

A command such as ``truckee`` is a small script in the sandbox.  It hands its arguments,
environment and streams to this process, which starts the program with them and gives back
its exit code.  Nodes listen where the sandbox says, and ``truckee run`` comes back to the
shell once the node is up, as if the reader had gone on in another terminal.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field

from tests import warm
from tests.processes import START_TIME, truckee

_CLIENT = """\
#!{python} -IS
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect({address!r})
told = [{name!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]
socket.send_fds(s, [json.dumps(told).encode()], [0, 1, 2])
sys.exit(int(s.recv(16) or b"70"))
"""
# With a web port of their own, and so with --webport.
_WITH_WEB = ("create-grid", "create-client")
_STOCK = ("tahoe", "grid-manager")
_STOP = "press-ctrl-c"  # in hidden comments of pages: ends all nodes


@define(eq=False)
class _RunningNode:
    process: subprocess.Popen[Any]
    config: str


@define(eq=False)
class Programs:
    """Starts programs for the scripts in one sandbox."""

    _address: Path  # of the socket
    _web_port: int
    _listening: socket.socket = field(init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _nodes: dict[Path, _RunningNode] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(str(self._address))
        self._listening.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def install(
        self, directory: Path, names: Sequence[str] = ("truckee", _STOP, *_STOCK)
    ) -> None:
        """Write the scripts into a directory."""
        for name in names:
            text = _CLIENT.format(
                python=sys.executable, address=str(self._address), name=name
            )
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)

    def close(self) -> None:
        """Stop what runs, and start nothing more."""
        self._listening.close()
        self._stop_all()

    def logs(self) -> str:
        """Return what the nodes printed, for a test that failed."""
        return "".join(
            f"--- {place}\n{_log(place).read_text(errors='replace')[-2000:]}"
            for place in self._nodes
        )

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            told, streams, _, _ = socket.recv_fds(connection, 1 << 18, 3)
            try:
                name, arguments, directory, environment = json.loads(told)
                code = self._do(name, arguments, Path(directory), environment, streams)
            except Exception as error:  # for whoever reads the page's output
                os.write(streams[2], f"{error!r}\n".encode())
                code = 70
            finally:
                for stream in streams:
                    os.close(stream)
            with suppress(OSError):
                connection.send(b"%d" % code)

    def _do(
        self,
        name: str,
        arguments: list[str],
        where: Path,
        environment: dict[str, str],
        streams: list[int],
    ) -> int:
        if name == _STOP:
            self._stop_all()
            return 0
        if name in _STOCK:
            command = [str(Path(sys.executable).with_name(name)), *arguments]
            return self._start(command, where, environment, streams).wait(START_TIME)
        if arguments[:1] == ["run"]:
            return self._run(arguments[1:], where, environment, streams)
        if (
            arguments[:1]
            and arguments[0] in _WITH_WEB
            and "--webport" not in str(arguments)
        ):
            arguments.insert(1, self._web)
        process = self._start(truckee(*arguments), where, environment, streams)
        code = process.wait(START_TIME)
        if not code and arguments[:1] and arguments[0].startswith("create-"):
            _give_all_space(where / arguments[-1])
        return code

    @property
    def _web(self) -> str:
        return f"--webport=tcp:{self._web_port}:interface=127.0.0.1"

    def _start(
        self,
        command: list[str],
        where: Path,
        environment: dict[str, str],
        streams: Sequence[int],
    ) -> subprocess.Popen[Any]:
        read, write, errors = streams
        with self._lock:
            return warm.start(
                command, cwd=where, env=environment, stdin=read, stdout=write, stderr=errors
            )

    def _run(
        self,
        arguments: list[str],
        where: Path,
        environment: dict[str, str],
        streams: list[int],
    ) -> int:
        place = where / (arguments[-1] if arguments else "truckee-node")
        if not arguments and not place.exists():
            command = truckee("create-grid", self._web, str(place))
            made = self._start(command, where, environment, streams).wait(START_TIME)
            assert made == 0
            _give_all_space(place)
        config = (place / "tahoe.cfg").read_text() if place.exists() else ""
        self._stop_those_in_the_way(place, config)
        with open(os.devnull) as nothing, _log(place).open("wb") as log:
            ends = (nothing.fileno(), log.fileno(), log.fileno())
            process = self._start(truckee("run", *arguments), where, environment, ends)
        self._nodes[place] = _RunningNode(process, config)
        last = "Ctrl-C stops it." if str(self._web_port) in config else " is running"
        deadline = time.monotonic() + START_TIME
        while last not in (printed := _log(place).read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                os.write(streams[2], printed.encode())
                return process.returncode or 70
            time.sleep(0.02)
        os.write(streams[1], printed.encode())
        return 0

    def _stop_all(self) -> None:
        for node in self._nodes.values():
            if node.process.poll() is None:
                node.process.terminate()
        for node in self._nodes.values():
            node.process.wait(120)

    def _stop_those_in_the_way(self, place: Path, config: str) -> None:
        """Stop what runs this node, or another one at the same port, as its user would."""
        port = f":{self._web_port}:"
        for other, node in self._nodes.items():
            if other == place or (port in config and port in node.config):
                if node.process.poll() is None:
                    node.process.send_signal(signal.SIGTERM)
                node.process.wait(120)


def _log(place: Path) -> Path:
    return place.with_name(f"{place.name}.log")


def _give_all_space(place: Path) -> None:
    """Let shares use all of the disk: tests run on small ones too."""
    config = place / "tahoe.cfg"
    config.write_text(
        config.read_text().replace("\nreserved_space = 1G", "\nreserved_space = 0")
    )
