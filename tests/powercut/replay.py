"""Cuts the power at moments of what was recorded, and starts the node on what is left."""

from __future__ import annotations

import random
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from attrs import frozen

from tests.powercut.disk import Disk, Mark
from tests.powercut.recorder import Recorder

Check = Callable[[Path, list[object]], Awaitable[list[str]]]


@frozen
class Broken:
    """Promises that were broken by one cut."""

    step: int
    what: Sequence[str]


async def cut_at(recorder: Recorder, step: int, seed: int, check: Check) -> Broken | None:
    """Cut after so many steps; return what *check* finds broken on what is left."""
    disk, promises = Disk(recorder.disk_root), []
    for each in recorder.steps[:step]:
        if isinstance(each, Mark):
            promises.append(each.promise)
        else:
            disk.apply(each)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        left = Path(place) / "left"
        disk.cut(random.Random(seed), left)
        try:
            found = await check(left, promises)
        except Exception:
            found = [traceback.format_exc()[-2000:]]
    return Broken(step, found) if found else None
