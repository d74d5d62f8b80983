"""A table of bad surroundings in which commands end with one sentence and their code."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from attrs import evolve, field, frozen

from tests.cli.forked import Surroundings

FURL = "pb://" + "a" * 32 + "@tcp:introducer.example:3458/" + "s" * 32
CHK = "URI:CHK:" + "a" * 26 + ":" + "a" * 52 + ":2:3:1000"
NAMELESS = {"HOME": None, "TRUCKEE_NODE_URL": None, "XDG_STATE_HOME": None}
HTTP = b"HTTP/1.1 "
OK = HTTP + b"200 OK\r\nConnection: close\r\n"


def _page(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


# What listens there and is no gateway, and the code of put, get and status.
OTHERS: dict[str, tuple[bytes, tuple[int, int, int]]] = {
    "page": (_page(b"<html>Welcome to nginx!</html>"), (1, 1, 1)),
    "cups": (_page(b"<!DOCTYPE html>", b"404 Not Found"), (4, 4, 4)),
    "no method": (_page(b"", b"405 Method Not Allowed"), (1, 1, 1)),
    "redirect": (
        HTTP + b"301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
        (1, 1, 1),
    ),
    "password": (_page(b"<html>", b"401 Unauthorized"), (1, 1, 1)),
    "forbidden": (_page(b"no\x1b[2J way", b"403 Forbidden"), (5, 5, 5)),
    "proxy": (_page(b"<html>", b"502 Bad Gateway"), (1, 1, 1)),
    "broken": (_page(b"Traceback", b"500 Error"), (1, 1, 1)),
    "full": (_page(b"no space", b"507 Insufficient Storage"), (5, 5, 5)),
    "mute": (b"", (3, 3, 3)),
    "ssh": (b"SSH-2.0-OpenSSH_9.2\r\n", (1, 1, 1)),
    "smtp": (b"220 mail.example ESMTP\r\n", (1, 1, 1)),
    "binary": (bytes(range(256)) * 4, (1, 1, 1)),
    "tls": (b"\x15\x03\x01\x00\x02\x02\x0a", (1, 1, 1)),
    "odd version": (b"HTTP/9.x 200 OK\r\n\r\n", (1, 1, 1)),
    "odd status": (b"HTTP/1.1 abc OK\r\n\r\n", (1, 1, 1)),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", (3, 3, 3)),
    "cut body": (OK + b"Content-Length: 900\r\n\r\nxyz", (3, 1, 3)),
    "odd length": (OK + b"Content-Length: x\r\n\r\nxyz", (1, 1, 1)),
    "odd chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nxyz", (1, 1, 1)),
    "cut chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nxyz", (3, 3, 3)),
    "deep json": (_page(b"[" * 200_000), (1, 1, 1)),
    "odd json": (_page(b'{"truckee": {}, "active": 7, "offset": "x"}'), (1, 1, 1)),
    "liar": (_page(b'{"truckee": 1, "active": [], "recent": [1e999]}'), (1, 1, 1)),
    "list": (_page(b"[]"), (1, 1, 1)),
    "empty": (_page(b""), (1, 1, 1)),
    "latin": (_page(b"\xfc\xff" * 9), (1, 1, 1)),
}


@frozen
class Case:
    """A command and what is around it; it ends with *code* and one sentence."""

    name: str
    arguments: tuple[str, ...]
    around: Surroundings
    code: int
    words: tuple[str, ...] = ()  # some of the sentence
    silent: bool = field(default=False)  # there is nobody to hear it


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Answer everybody so, at once, and close; give the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    line, _ = listening.accept()
                except OSError:
                    return
                with line:
                    try:
                        line.settimeout(5)
                        line.recv(65536)
                        line.sendall(answer)
                        line.shutdown(socket.SHUT_WR)
                        while line.recv(65536):
                            pass
                    except OSError:
                        continue

        Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


class Places:
    """Directories and files for the cases, in *top*."""

    def __init__(self, top: Path, gateway: str) -> None:
        """Make them; *gateway* is the address of one that works."""
        self.top, self.gateway = top, gateway
        self.file = top / "file"
        self.file.write_bytes(b"x" * 1000)
        self.note_is_file = top / "state-is-a-file"
        self.note_is_file.write_bytes(b"")
        (top / "fifo-out").mkdir()
        os.mkfifo(top / "fifo-out" / "file.part")
        self.at_work = Surroundings(top, dict(NAMELESS))
        self._count = 0

    def node(self, url: bytes | None, config: str = "", directory: bool = False) -> Path:
        """Return a new node directory with a node.url; None: without."""
        self._count += 1
        node = self.top / f"node-{self._count}"
        node.mkdir()
        if config:
            (node / "tahoe.cfg").write_text(config)
        if directory:
            (node / "node.url").mkdir()
        elif url is not None:
            (node / "node.url").write_bytes(url)
        return node

    def empty(self) -> Path:
        """Return a new directory."""
        return self.node(None)


def _with(around: Surroundings, **changed: Any) -> Surroundings:
    return evolve(around, **changed)


def _more(name: str, file: str) -> tuple[str, ...]:
    """Return what a command takes beside a gateway."""
    return {"put": (file,), "get": (CHK,)}.get(name, ())


def addresses(places: Places) -> Iterator[Case]:
    """Addresses that are none, and some where nobody is."""
    good = places.at_work
    file = str(places.file)
    none = (
        "", " ", "localhost", "127.0.0.1:3456", ":3456", "//x", "ftp://x/", "unix:/run/x",
        "http://", "http:///x", "http://:80", "http://[::1", "http://::1:3456x", "http://x:y",
        "http://x:0", "http://x:-1", "http://x:99999", "http://x:1:2", "http://a b/",
        "http://x/?q=1", "http://x/#f", "http://u:p@x/", "http://ü/", "http://x\n/",
        "http://a..b/", f"http://{'a' * 64}.example/", "http://x/\x1b[2J", "file:///etc",
        "\udcff", "URI:CHK:a:b", "http://.", "https://[::1]:0/",
    )  # fmt: skip
    words: tuple[str, ...]
    for number, url in enumerate(none):
        name = ("put", "get", "status")[number % 3]
        more = _more(name, file)
        words = ("-u", "http://127.0.0.1:3456/")
        yield Case(f"{name} -u {url!r}", (name, "-u", url, *more), good, 1, words)
        around = _with(good, environment={**NAMELESS, "TRUCKEE_NODE_URL": url})
        if url.strip() and url.isascii():
            yield Case(f"$URL {url!r} {name}", (name, *more), around, 1, ("NODE_URL",))
    away = (
        "http://127.0.0.1:1",
        "http://[::1]:1/",
        "http://localhost:1/x/",
        "http://no-such-machine.invalid/",
        "https://127.0.0.1:1",
        "http://[::ffff:127.0.0.1]:1/",
        "http://0.0.0.0:1",
    )
    for number, url in enumerate(away):
        name = ("put", "get", "status")[number % 3]
        more = _more(name, file)
        words = ("does not answer", "-u URL", "-d NODEDIR")
        yield Case(f"{name} {url}", (name, "-u", url, *more), good, 3, words)


def nodes(places: Places) -> Iterator[Case]:
    """Node directories of all kinds."""
    cfg = "[node]\nnickname = x\n"
    table: tuple[tuple[str, Path, str], ...] = (
        ("not there", places.top / "nowhere", "is not there"),
        ("empty", places.empty(), "has no node.url"),
        ("not started", places.node(None, cfg), "truckee run"),
        ("starting", places.node(b"", cfg), "is starting"),
        ("port 0", places.node(b"http://127.0.0.1:0/", cfg), "no address"),
        ("binary", places.node(bytes(range(128, 255)), cfg), "no address"),
        ("zeros", places.node(bytes(9), cfg), "no address"),
        ("a directory", places.node(None, cfg, directory=True), "Is a directory"),
        ("lines", places.node(b"http://x/\nhttp://y/\n", cfg), "no address"),
        ("too long", places.top / ("n" * 300), "File name too long"),
    )
    for name, node, words in table:
        yield Case(f"-d {name}", ("status", "-d", str(node)), places.at_work, 1, (words,))
        arguments = ("put", "-d", str(node), str(places.file))
        yield Case(f"put -d {name}", arguments, places.at_work, 1, (words, "-u URL"))
    file = ("status", "-d", str(places.file))
    yield Case("-d a file", file, places.at_work, 2, ("is a file",))


def others(places: Places, stack: ExitStack) -> Iterator[Case]:
    """Other programs in the place of a gateway."""
    for name, (answer, codes) in OTHERS.items():
        url = stack.enter_context(answering(answer))
        put, get, status = codes
        here = places.at_work
        yield Case(f"put to {name}", ("put", "-u", url, str(places.file)), here, put)
        yield Case(f"status of {name}", ("status", "-u", url), here, status)
        target = str(places.empty() / "file")
        yield Case(f"get from {name}", ("get", "-u", url, CHK, target), here, get)


def streams(places: Places) -> Iterator[Case]:
    """Standard input, output and errors that are closed, full, or something odd."""
    here, file, url = places.at_work, str(places.file), places.gateway
    nowhere = str(places.empty())

    def around(*standard: str | None) -> Surroundings:
        return _with(here, standard=standard)

    odd = places.top / "odd-cap"
    odd.write_bytes(b"\xff\xfe\xfd\n")
    closed_in, closed_out = around(None, "out", "err"), around("/dev/null", None, "err")
    full = around("/dev/null", "/dev/full", "err")
    put, get = ("put", "-u", url), ("get", "-u", url)
    yield Case("put <&-", put, closed_in, 1, ("standard input is closed",))
    yield Case("get - <&-", (*get, "-"), closed_in, 1, ("standard input is closed",))
    yield Case("get - </dev/null", (*get, "-"), here, 1, ("there is no cap",))
    yield Case("get - <odd", (*get, "-"), around(str(odd), "out", "err"), 4, ("no cap",))
    yield Case("put >&-", (*put, file), closed_out, 1, ("-o FILE",))
    yield Case("get >&-", (*get, CHK), closed_out, 1, ("standard output is closed",))
    yield Case("status >&-", ("status", "-u", url), closed_out, 1, ("standard output",))
    yield Case("put >/dev/full", (*put, file), full, 1, ("is stored", "No space left"))
    arguments: tuple[str, ...]
    for name in ("status", "--help", "--version"):
        arguments = (name, "-u", url) if name == "status" else (name,)
        yield Case(f"{name} >/dev/full", arguments, full, 1, ("No space left",))
    for name in ("put", "get", "status", "create-grid", "run"):
        mute = around("/dev/null", "out", None)
        arguments = (name, *{"get": (CHK, "x"), "put": (file,)}.get(name, ()))
        code = 2 if name == "create-grid" else 1
        if name == "run":
            arguments = (name, nowhere)
        yield Case(f"{name} 2>&-", arguments, mute, code, silent=True)
        mute = around("/dev/null", "out", "/dev/full")
        yield Case(f"{name} 2>/dev/full", arguments, mute, code, silent=True)


def paths(places: Places) -> Iterator[Case]:
    """Files that cannot be read, and places where none can be written."""
    here, url, file = places.at_work, places.gateway, str(places.file)
    put, get = ("put", "-u", url), ("get", "-u", url)
    for name, words in (
        ("/nowhere/x", "No such file"),
        ("", ""),
        (".", "is a directory"),
        ("/", "is a directory"),
        (f"{file}/x", "Not a directory"),
        ("n" * 300, "File name too long"),
        ("/proc/self/mem", ""),
        ("ü\udcff", "No such file"),
        ("a\nb", "No such file"),
    ):
        yield Case(f"put {name[:20]!r}", (*put, name), here, 1, (words,))
        output = (*put, file, "-o", name)
        if name not in ("ü\udcff", "a\nb", "n" * 300, "/proc/self/mem", ""):
            yield Case(f"put -o {name[:20]!r}", output, here, 1)
            yield Case(f"get to {name[:20]!r}", (*get, CHK, name), here, 1)
    yield Case("put -o /proc", (*put, file, "-o", "/proc/x"), here, 1, ("cannot write",))
    yield Case("put -o /dev/full", (*put, file, "-o", "/dev/full"), here, 1, ("is stored",))
    part = str(places.top / "fifo-out" / "file")
    yield Case("a part that is a FIFO", (*get, CHK, part), here, 1, ("move it away",))
    resume = (*put, "--resume", file)
    homeless = _with(here, environment={**NAMELESS, "HOME": "here"})
    yield Case("--resume, no HOME", resume, homeless, 1, ("HOME",))
    for state in (places.note_is_file, Path("/proc/x"), Path("/dev/null")):
        environment = {**NAMELESS, "XDG_STATE_HOME": str(state)}
        around = _with(here, environment=environment)
        yield Case(f"--resume, notes in {state.name}", resume, around, 1)
    for cap, code in (
        ("", 1),
        (" ", 1),
        ("x", 4),
        ("ü", 4),
        ("\udcff", 4),
        ("U" * 70000, 4),
    ):
        yield Case(f"get {cap[:9]!r}", (*get, cap), here, code)
    yield Case("an odd key", (*put, "--key", "ü", file), here, 2)
    yield Case("another odd key", (*put, "--key", "abc", file), here, 1)
    yield Case("an odd range", (*get, "--range", "x", CHK), here, 2)
    for arguments in ((*put, "x"), (*get, CHK, "x"), ("status",)):
        gone = _with(here, directory=places.empty(), gone=True)
        yield Case(f"{arguments[0]} in no directory", arguments, gone, 1)


def making(places: Places) -> Iterator[Case]:
    """Nodes where none can be made, or run."""
    here = places.at_work
    ends = ("--port=1", "--location=a:1")
    commands: dict[str, tuple[str, ...]] = {
        "create-grid": (),
        "create-client": (f"--introducer={FURL}",),
        "create-storage": (f"--introducer={FURL}", *ends),
        "create-helper": (f"--introducer={FURL}", *ends),
    }
    for name, options in commands.items():
        for place, words in (
            ("/proc/x", "/proc"),
            (f"{places.file}/x", "Not a directory"),
            ("n" * 300, "File name too long"),
            ("/dev/full/x", "Not a directory"),
            (str(places.top), "is not empty"),
        ):
            yield Case(f"{name} {place[:9]}", (name, *options, place), here, 1, (words,))
        gone = _with(here, directory=places.empty(), gone=True)
        yield Case(f"{name} nowhere", (name, *options, "x"), gone, 1)
        small = _with(here, limits={"size": 300})
        target = str(places.empty() / "node")
        yield Case(f"{name} on a full disk", (name, *options, target), small, 1)
        file = (name, *options, str(places.file))
        yield Case(f"{name} in place of a file", file, here, 2)
    for node, words in (
        (places.top / "nowhere", "no node in"),
        (places.empty(), "no node in"),
        (places.file, "no node in"),
        (places.top / ("n" * 300), ""),
        (places.node(None, "[node"), ""),
        (places.node(None, "\x00\x01"), ""),
        (places.node(None, "nickname = x\n"), ""),
    ):
        yield Case(f"run {node.name[:9]}", ("run", str(node)), here, 1, (words,))
    gone = _with(here, directory=places.empty(), gone=True)
    yield Case("run nowhere", ("run",), gone, 1)
    yield Case("run in /proc", ("run",), _with(here, directory=Path("/proc")), 1)


def limits(places: Places) -> Iterator[Case]:
    """A process that may have next to nothing."""
    here, url, file = places.at_work, places.gateway, str(places.file)
    few = _with(here, limits={"files": 9})
    for name, more in (("put", (file,)), ("get", (CHK,)), ("status", ())):
        for most in (5, 6):
            few = _with(here, limits={"files": most})
            yield Case(
                f"{name}, {most} files", (name, "-u", url, *more), few, 1, ("files",)
            )
    other = _with(here, user=65534)
    secret = places.top / "secret"
    secret.write_bytes(b"x")
    secret.chmod(0)
    private = places.node(b"http://127.0.0.1:1/")
    private.chmod(0o700)
    if os.getuid() == 0:
        denied = ("Permission denied",)
        yield Case("another's file", ("put", "-u", url, str(secret)), other, 1, denied)
        yield Case("another's node", ("status", "-d", str(private)), other, 2)
        target = str(places.top / "theirs")
        yield Case("another's directory", ("get", "-u", url, CHK, target), other, 1, denied)
        yield Case("another's -o", ("put", "-u", url, file, "-o", target), other, 1, denied)
        yield Case("no room for a grid", ("create-grid", target), other, 1, denied)
        yield Case("run another's", ("run", str(private)), other, 2)


def all_cases(places: Places, stack: ExitStack) -> list[Case]:
    """Return the whole table."""
    return [
        *addresses(places),
        *nodes(places),
        *others(places, stack),
        *streams(places),
        *paths(places),
        *making(places),
        *limits(places),
    ]
