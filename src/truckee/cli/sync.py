"""``truckee sync``: wait until what a gateway was brought is stored."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click
from attrs import define, field

from truckee.cli.finding import find_gateway, node_directory, node_url
from truckee.cli.gateway import Gateway
from truckee.cli.problems import Problem, tell
from truckee.cli.progress import Bar, amount
from truckee.cli.reacting import run
from truckee.cli.status import look

_EVERY = 0.5  # seconds between two looks


@click.command("sync", short_help="Wait until what was written is stored.")
@node_url
@node_directory
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def sync_command(node_url: str | None, node_directory: str | None, quiet: bool) -> None:
    """
    Wait until all files are stored that a gateway is being brought now.

    What begins later is not waited for.  When this ends with 0, the gateway can be stopped
    and nothing of these is lost.

    \b
    cp -r photos /mnt/grid && truckee sync && poweroff
    """
    url = find_gateway(node_url, node_directory)

    async def work(reactor: Any) -> None:
        gateway = Gateway(url, reactor)
        waiting = Waiting()
        bar = Bar(sys.stderr, None, time.monotonic, quiet)
        try:
            while waiting.look(await look(gateway)):
                bar.note(waiting.text, "waiting")
                await gateway.sleep(_EVERY)
        finally:
            bar.end()
        for number, why in sorted(waiting.failed.items()):
            tell(f"upload {number} is not stored: {why}")
        if waiting.failed:
            count = len(waiting.failed)
            files = "a file was" if count == 1 else f"{count} files were"
            raise Problem(f"{files} not stored; see truckee status --all")

    run(work)


@define(eq=False)
class Waiting:
    """Which uploads are waited for, and what became of them."""

    failed: dict[int, str] = field(factory=dict, init=False)  # by number: why
    text: str = field(default="", init=False)  # what is missing, for people
    _last: int | None = field(default=None, init=False)  # the last that began before
    _before: set[int] = field(factory=set, init=False)  # over before this began

    def look(self, status: Mapping[str, Any]) -> bool:
        """Take note of *status*; return whether there is something to wait for."""
        active, recent = _uploads(status["active"]), _uploads(status["recent"])
        if self._last is None:
            self._last = max([*active, *recent], default=0)
            self._before = set(recent)
        for number, task in recent.items():
            ours = number <= self._last and number not in self._before
            if ours and task.get("state") != "done":
                self.failed[number] = str(task.get("error") or task.get("state"))
        waiting = [active[number] for number in active if number <= self._last]
        self._describe(waiting)
        # Those that began last are listed; of more there may be older ones.
        more = int(status.get("active_count") or 0) > len(status["active"])
        return bool(waiting) or (more and bool(active))

    def _describe(self, waiting: Sequence[Mapping[str, Any]]) -> None:
        files = "1 file is" if len(waiting) == 1 else f"{len(waiting)} files are"
        self.text = f"{files} not stored yet, {amount(sum(map(_missing, waiting)))}"
        left = [float(task.get("eta") or 0) for task in waiting]
        if all(left):
            seconds = int(max(left, default=0))
            self.text += f", {seconds // 60}:{seconds % 60:02d} left"


def _uploads(tasks: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """Return those of *tasks* that are uploads, by number."""
    uploads = (task for task in tasks if task.get("type") == "upload")
    return {int(task.get("number") or 0): task for task in uploads}


def _missing(task: Mapping[str, Any]) -> int:
    size = task.get("size")
    whole = task.get("received") if size is None else size
    return max(0, int(whole or 0) - int(task.get("stored") or 0))
