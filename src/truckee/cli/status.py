"""``truckee status``: what a gateway is doing."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from math import isfinite
from os import terminal_size
from typing import Any, NoReturn, TextIO

import click
from attrs import define, field
from twisted.internet.defer import Deferred

from truckee.cli.finding import find_gateway, node_directory, node_url
from truckee.cli.gateway import Gateway
from truckee.cli.problems import Problem, Unreachable
from truckee.cli.progress import amount
from truckee.cli.reacting import run

_BAR = 20  # characters
_EVERY = 1.0  # seconds between two looks
_MOST = 4 << 20  # bytes of an answer
_PATIENCE = 15.0  # seconds until one
_NUMBERS = (
    "size",
    "total-size",
    "progress",
    "progress-encode-push",
    "stored",
    "sent",
    "objects",
    "rate",
    "eta",
)
_TEXTS = ("phase", "status", "route")
# A line that is too long for a terminal is cut there, and takes one line all the same.
_CUT, _WRAP = "\x1b[?7l", "\x1b[?7h"
_ROUTES = {"servers": "to the servers", "helper": "through the helper"}


@click.command("status", short_help="Show what a gateway is doing.")
@node_url
@node_directory
@click.option("-w", "--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print what the gateway tells.")
@click.option("--all", "show_all", is_flag=True, help="Also list what is over.")
def status_command(
    node_url: str | None,
    node_directory: str | None,
    watch: bool,
    as_json: bool,
    show_all: bool,
) -> None:
    """
    Show the uploads, downloads and other work of a gateway, and how far each is.

    \b
    truckee status               what is under way, a line each
    truckee status --watch       and how it goes on
    truckee status --json        for programs; with --watch a line a second
    """
    url = find_gateway(node_url, node_directory)
    if sys.stdout is None:
        raise Problem("standard output is closed: there is nowhere to show it")

    async def work(reactor: Any) -> None:
        gateway = Gateway(url, reactor)
        screen = Screen(sys.stdout, as_json, show_all, watch)
        screen.show(await look(gateway))
        while watch:
            await gateway.sleep(_EVERY)
            try:
                screen.show(await look(gateway))
            except Unreachable as problem:
                screen.tell(f"{problem.message} Trying again.")

    run(work, endless=watch)


async def look(gateway: Gateway) -> dict[str, Any]:
    """
    Return what the gateway tells.

    :raises Unreachable: if it is silent.
    :raises Problem: if it is none of ours.
    """
    asking = Deferred.fromCoroutine(gateway.text("GET", "status?t=json", most=_MOST))
    asking.addTimeout(_PATIENCE, gateway.reactor, onTimeoutCancel=_silent)
    text = await asking
    try:
        told = json.loads(text)
        if all(is_task(task) for task in (*told["active"], *told["recent"])):
            return dict(told)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        pass
    raise Problem(
        "this gateway does not tell what it is doing: it is no truckee; "
        "name one with -u URL or -d NODEDIR"
    )


def _silent(_: object, seconds: float) -> NoReturn:
    raise Unreachable(f"it is silent for {seconds:.0f} seconds")


def is_task(told: object) -> bool:
    """Tell whether *told*, which came from elsewhere, has what a line is made of."""
    return (
        isinstance(told, dict)
        and all(_is_number(told.get(name)) for name in _NUMBERS)
        and all(isinstance(told.get(name), str | None) for name in _TEXTS)
    )


def _is_number(told: object) -> bool:
    return told is None or (isinstance(told, int | float) and isfinite(told))


@define(eq=False)
class Screen:
    """Shows one state after the other; on a terminal each takes the place of the last."""

    _stream: TextIO
    _json: bool
    _all: bool
    _watch: bool
    _room: Callable[[], terminal_size] = shutil.get_terminal_size
    _lines: int = field(default=0, init=False)  # that are there now

    def show(self, told: Mapping[str, Any]) -> None:
        """Show what a gateway told."""
        if self._json:
            self._stream.write(json.dumps(told, indent=None if self._watch else 1) + "\n")
            self._stream.flush()
            return
        lines = [line_of(task) for task in told["active"]] or ["Nothing is under way."]
        if self._all:
            lines += ["", "Over:", *(line_of(task) for task in told["recent"])]
        self._draw(lines)

    def tell(self, text: str) -> None:
        """Say something instead; to people only."""
        if not self._json:
            self._draw([text])

    def _draw(self, lines: list[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        if self._watch and self._stream.isatty():
            # What has left the screen at its top cannot be drawn again.
            most = max(1, self._room().lines - 1)
            if len(lines) > most:
                kept = lines[: most - 1]
                lines = [*kept, f"... and {len(lines) - len(kept)} lines more"]
            back = f"\x1b[{self._lines}F\x1b[J" if self._lines else ""
            self._lines = len(lines)
            text = "".join((back, _CUT, *(f"{line}\n" for line in lines), _WRAP))
        self._stream.write(text)
        self._stream.flush()


def line_of(task: Mapping[str, Any]) -> str:
    """Return one task on a line; one of a gateway of Tahoe-LAFS says less of itself."""
    running = task.get("ended") is None
    size = task.get("size", task.get("total-size"))
    progress = task.get("progress", task.get("progress-encode-push"))
    done = int((progress or 0.0) * (size or 0)) if "size" not in task else _done(task)
    parts = [f"{task.get('type', 'task')} {task.get('number', '')}".ljust(13)]
    if running and progress is not None:
        progress = max(0.0, min(1.0, progress))
        bar = "#" * int(progress * _BAR)
        parts.append(f"[{bar:<{_BAR}}] {int(progress * 100):3d}%")
    if objects := task.get("objects"):
        parts.append(f"{int(objects)} objects")
    else:
        parts.append(amount(done) if size is None else f"{amount(done)} of {amount(size)}")
    if running and task.get("rate"):
        parts.append(f"{amount(int(task['rate']))}/s")
    if running and task.get("eta") is not None:
        left = int(task["eta"])
        parts.append(f"{left // 60}:{left % 60:02d} left")
    phase = task.get("phase", task.get("status"))
    way = _ROUTES.get(task.get("route") or "")
    state = ", ".join(part for part in (phase, way) if part)
    if task.get("error"):
        state += f": {task['error']}"
    parts.append(state)
    # What others wrote must not move the cursor.
    return "".join(c if c.isprintable() else "?" for c in "  ".join(parts))


def _done(task: Mapping[str, Any]) -> int:
    """Return the bytes that are safe, or were given out."""
    return int(task.get("sent" if task.get("type") == "download" else "stored") or 0)
