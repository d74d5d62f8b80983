"""The part of the table of bad surroundings that is about ``truckee storage``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from attrs import evolve

from tests.cli.forked import UNREAD, Surroundings
from tests.hostile.surroundings import FURL, NAMELESS, Case, Places
from truckee.node.config import GridShape
from truckee.node.create import create_grid
from truckee.node.layout import NodeDirectory


def make_node(places: Places) -> Path:
    """Return the directory of a new node with three storage directories."""
    node = places.empty()
    node.rmdir()
    create_grid(NodeDirectory(node), GridShape())
    return node


def storage(places: Places, gateway: Path) -> Iterator[Case]:
    """All of it; *gateway* is the directory of a node that runs."""
    node = make_node(places)
    commands = {"list": (), "add": ("new",), "replace": ("0", "new")}
    yield from _nodes(places, commands)
    yield from _streams(places, node)
    yield from _names(places, node)
    yield from _disks(places, node)
    running = ("storage", "replace", "-d", str(gateway), "0", str(places.top / "instead"))
    yield Case("replace in a running node", running, places.at_work, 1, ("--force",))


def _nodes(places: Places, commands: dict[str, tuple[str, ...]]) -> Iterator[Case]:
    client = f"[client]\nintroducer.furl = {FURL}\n"
    table: tuple[tuple[str, Path, int, str], ...] = (
        ("not there", places.top / "nowhere", 1, "truckee create-grid"),
        ("empty", places.empty(), 1, "truckee create-grid"),
        ("a file", places.file, 2, "is a file"),
        ("below a file", places.file / "x", 1, "truckee create-grid"),
        ("too long", places.top / ("n" * 300), 1, ""),
        ("with a line end", places.top / "a\nb", 1, "truckee create-grid"),
        ("no UTF-8", places.top / "ü\udcff", 1, "truckee create-grid"),
        ("a client", places.node(None, client), 1, "-d NODEDIR"),
        ("half a section", places.node(None, "[grid"), 1, "cannot be read"),
        ("binary", places.node(None, "\x00\x01"), 1, "cannot be read"),
        ("no directories", places.node(None, "[grid]\nstorage_dirs =\n"), 1, "one a line"),
    )
    homeless = evolve(places.at_work, environment={**NAMELESS, "HOME": ""})
    for command, more in commands.items():
        for name, path, code, words in table:
            arguments = ("storage", command, "-d", str(path), *more)
            yield Case(f"{command} -d {name}", arguments, places.at_work, code, (words,))
        arguments = ("storage", command, *more)
        words = "truckee create-grid"
        yield Case(f"{command} without a home", arguments, homeless, 1, (words,))
        gone = evolve(places.at_work, directory=places.empty(), gone=True)
        words = "change to another one"
        yield Case(f"{command} nowhere", arguments, gone, 1, (words,))


def _streams(places: Places, node: Path) -> Iterator[Case]:
    def around(*standard: str | None) -> Surroundings:
        return evolve(places.at_work, standard=standard)

    shown = ("storage", "list", "-d", str(node))
    closed, full = around("/dev/null", None, "err"), around("/dev/null", "/dev/full", "err")
    yield Case("list >&-", shown, closed, 1, ("standard output",))
    yield Case("list >/dev/full", shown, full, 1, ("No space left",))
    yield Case("list --json >/dev/full", (*shown, "--json"), full, 1, ("No space left",))
    for unread in (around("/dev/null", UNREAD, "err"), around("/dev/null", UNREAD, UNREAD)):
        yield Case("list to who has enough", shown, unread, 1, silent=True)
        yield Case("list --json to who has", (*shown, "--json"), unread, 1, silent=True)
        yield Case("--help to who has", ("storage", "--help"), unread, 1, silent=True)
    bad = ("storage", "replace", "-d", str(node), "7", "new")
    for name, stream in (("&-", None), ("/dev/full", "/dev/full"), ("|", UNREAD)):
        mute = around("/dev/null", "out", stream)
        yield Case(f"replace 2>{name}", bad, mute, 1, silent=True)


def _names(places: Places, node: Path) -> Iterator[Case]:
    here = places.at_work
    full = places.empty()
    (full / "x").write_bytes(b"x")
    link = places.top / "link-to-nowhere"
    link.symlink_to(places.top / "gone")
    for path, words in (
        ("a\nb", "printable"),
        ("a\rb", "printable"),
        ("\x1b[2J", "printable"),
        ("blank ", "printable"),
        ("ü\udcff", "printable"),
        ("\u2028", "printable"),
        ("n" * 300, "File name too long"),
        ("/proc/x", ""),
        ("/sys/x", ""),
        ("/dev/full/x", "make it first"),
        (f"{places.file}/x", "make it first"),
        ("a/b/c", "make it first"),
        (str(places.file), "not a directory"),
        (str(full), "not empty"),
        (str(link), "link to nowhere"),
        (str(node), "name another one"),
        (f"{node}/storage/1", "storage directory 1 already"),
        (f"{node}/private", "name another one"),
    ):
        add = ("storage", "add", "-d", str(node), path)
        yield Case(f"add {path[-20:]!r}", add, here, 1, (words,))
    for name in ("7", "-0", "ü", "\udcff", "a\nb", "", " ", "\x1b[2J", "n" * 300, "1e0"):
        replace = ("storage", "replace", "-d", str(node), "--", name, "new")
        words = "truckee storage list"
        yield Case(f"replace {name[:9]!r}", replace, here, 1, (words,))
    for arguments in (("add",), ("replace", "0"), ("list", "x"), ("drop", "1")):
        yield Case(f"usage {arguments}", ("storage", *arguments), here, 2, ("",))


def _disks(places: Places, node: Path) -> Iterator[Case]:
    small = evolve(places.at_work, limits={"size": 100})
    new = str(places.top / "on-a-full-disk")
    for command in (("add", new), ("replace", "--force", "0", new)):
        arguments = ("storage", command[0], "-d", str(node), *command[1:])
        yield Case(f"{command[0]} on a full disk", arguments, small, 1, ("disk",))
    if os.getuid():
        return
    # Of another user, who may look at it and not change it.
    theirs = make_node(places)
    for path in (theirs, *theirs.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    other = evolve(places.at_work, user=65534)
    place = places.empty()
    place.chmod(0o777)
    denied = ("Permission denied",)
    add = ("storage", "add", "-d", str(theirs), str(place))
    yield Case("add to another's node", add, other, 1, denied)
    replace = ("storage", "replace", "--force", "-d", str(theirs), "0", str(place))
    yield Case("replace in another's node", replace, other, 1, denied)
    private = make_node(places)
    private.chmod(0o700)
    for name, *more in (("list",), ("add", str(place)), ("replace", "0", str(place))):
        arguments = ("storage", name, "-d", str(private), *more)
        yield Case(f"{name} of what is another's", arguments, other, 2)
