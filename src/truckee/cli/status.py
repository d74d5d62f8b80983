"""``truckee status``: what a gateway is doing."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import click
from attrs import define, field

from truckee.cli.gateway import (
    Gateway,
    Problem,
    Unreachable,
    find_gateway,
    node_directory,
    node_url,
    run,
)
from truckee.cli.progress import amount

_BAR = 20  # characters
_EVERY = 1.0  # seconds between two looks
_MOST = 4 << 20  # bytes of an answer
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
    """Return what the gateway tells.  :raises Problem: if it is none of ours."""
    text = await gateway.text("GET", "status?t=json", most=_MOST)
    try:
        told = json.loads(text)
        if isinstance(told["active"], list) and isinstance(told["recent"], list):
            return dict(told)
    except (ValueError, KeyError, TypeError):
        pass
    raise Problem("this gateway does not tell what it is doing: it is no truckee")


@define(eq=False)
class Screen:
    """Shows one state after the other; on a terminal each takes the place of the last."""

    _stream: TextIO
    _json: bool
    _all: bool
    _watch: bool
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
        if self._watch and self._stream.isatty():
            if self._lines:
                self._stream.write(f"\x1b[{self._lines}F\x1b[J")
            self._lines = len(lines)
        self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()


def line_of(task: Mapping[str, Any]) -> str:
    """Return one task on a line; one of a gateway of Tahoe-LAFS says less of itself."""
    running = task.get("ended") is None
    size = task.get("size", task.get("total-size"))
    progress = task.get("progress", task.get("progress-encode-push"))
    done = int((progress or 0.0) * (size or 0)) if "size" not in task else _done(task)
    parts = [f"{task.get('type', 'task')} {task.get('number', '')}".ljust(13)]
    if running and progress is not None:
        bar = "#" * int(progress * _BAR)
        parts.append(f"[{bar:<{_BAR}}] {int(progress * 100):3d}%")
    parts.append(amount(done) if size is None else f"{amount(done)} of {amount(size)}")
    if running and task.get("rate"):
        parts.append(f"{amount(int(task['rate']))}/s")
    if running and task.get("eta") is not None:
        left = int(task["eta"])
        parts.append(f"{left // 60}:{left % 60:02d} left")
    phase = task.get("phase", task.get("status"))
    way = _ROUTES.get(task.get("route", ""))
    state = ", ".join(part for part in (phase, way) if part)
    if task.get("error"):
        state += f": {task['error']}"
    parts.append(state)
    # What others wrote must not move the cursor.
    return "".join(c if c.isprintable() else "?" for c in "  ".join(parts))


def _done(task: Mapping[str, Any]) -> int:
    """Return the bytes that are safe, or were given out."""
    return int(task.get("sent" if task.get("type") == "download" else "stored") or 0)
