"""Objects that are named by lines, worked on many at once; results come in their order."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import aclosing

from attrs import define, field, frozen

from truckee.cli.counter import Counter
from truckee.cli.line_input import LineInput, Place
from truckee.cli.line_output import LineOutput
from truckee.cli.ls import escaped
from truckee.cli.object_lines import BadLine, Item, Unit, parse_line
from truckee.cli.problems import Problem, Unreachable
from truckee.cli.walk_state import WalkState
from truckee.flow.in_order import InOrder
from truckee.flow.together import Work

HEALTHY, REPAIRED, SICK = "healthy", "repaired", "not healthy"
FAILED, BROKEN, PASSED = "failed", "broken lines", "passed over"
_ORDER = (HEALTHY, REPAIRED, SICK, FAILED)


@frozen
class Job:
    """One line to be worked on."""

    place: Place  # behind the line
    passed: int  # healthy objects in front of it that were passed over
    item: Item | None
    fault: str  # why there is no item


@define(eq=False)
class Jobs:
    """The lines of an input that are to be worked on."""

    _input: LineInput
    _passes: bool  # over what was found healthy before
    passed: int = field(default=0, init=False)  # of these

    def __aiter__(self) -> Jobs:
        return self

    async def __anext__(self) -> Job:
        while (read := await self._input.next()) is not None:
            line, place = read
            try:
                if line is None:
                    raise BadLine("it is too long")
                item = parse_line(line)
            except BadLine as error:
                return Job(place, self.passed, None, error.reason)
            if item is None:
                continue
            if self._passes and item.is_healthy:
                self.passed += 1
                continue
            return Job(place, self.passed, item, "")
        raise StopAsyncIteration


@frozen
class Done:
    """What became of a line."""

    job: Job
    unit: Unit
    kind: str  # what it counts as
    problem: str  # for people; empty: there is none


@define(eq=False)
class LineWork:
    """Reads lines, does *do* with each object and writes what it returns."""

    _input: LineInput
    _output: LineOutput
    _do: Callable[[Item], Work[tuple[Unit, str]]]
    _passes: bool
    _window: int  # lines under way, those that wait for one in front of them too
    _state: WalkState
    _counter: Counter
    _tell: Callable[[str], None]

    async def run(self) -> None:
        """
        Work on all lines.

        :raises Problem: when the input is another one than that of the state.
        :raises OSError: when something cannot be read or written.
        """
        await self._go_on()
        jobs = Jobs(self._input, self._passes)
        before = self._state.counts.get(PASSED, 0)
        work = InOrder(jobs, self._one, self._window)
        try:
            async with aclosing(work.results()) as results:
                async for some in results:
                    await self._finish(some, before)
            self._note({}, self._input.place, before + jobs.passed)
        finally:
            self._counter.clear()
            self._state.save()

    async def _go_on(self) -> None:
        """Skip what is done."""
        if self._state.cursor:
            place = _place_of(self._state.cursor)
            if place is None or not await self._input.skip_to(place):
                raise Problem(
                    "standard input has other lines than those that are done already: give "
                    "the same ones, or remove the state to start over"
                )
        self._counter.begin(self._part(self._input.place) or 0.0)

    async def _one(self, job: Job) -> Done:
        item, number = job.item, job.place.number
        if item is None:
            unit: Unit = {"line": number, "healthy": None, "error": job.fault}
            return Done(job, unit, BROKEN, f"line {number}: {job.fault}")
        shown = f"line {number}" + (f", {escaped(item.path)}" if item.path else "")
        try:
            unit, kind = await self._do(item)
        except Unreachable:
            raise
        except Problem as problem:
            text = problem.message
            unit = {**item.unit, "line": number, "healthy": None, "error": text}
            return Done(job, unit, FAILED, f"{shown}: {text}")
        return Done(job, unit, kind, f"{shown}: {unit['error']}" if "error" in unit else "")

    async def _finish(self, some: list[Done], before: int) -> None:
        """Write what is done, and note that."""
        lines = "".join(f"{json.dumps(done.unit)}\n" for done in some)
        await self._output.write(lines.encode("ascii"))
        more: dict[str, int] = {}
        for done in some:
            more[done.kind] = more.get(done.kind, 0) + 1
            if done.problem:
                self._tell(f"Error: {done.problem}")
        self._note(more, some[-1].job.place, before + some[-1].job.passed)

    def _note(self, more: dict[str, int], place: Place, passed: int) -> None:
        state = self._state
        counts = {kind: state.counts.get(kind, 0) + n for kind, n in more.items()}
        state.counts = {**state.counts, **counts, PASSED: passed}
        state.cursor = f"{place.number} {place.digest} {place.offset}"
        state.note()
        self._counter.show(objects_in(state.counts), self._part(place))

    def _part(self, place: Place) -> float | None:
        total = self._input.total
        return place.offset / total if total else None


def objects_in(counts: dict[str, int]) -> int:
    """Return how many objects were counted."""
    return sum(counts.get(kind, 0) for kind in (*_ORDER, PASSED))


def summary(counts: dict[str, int]) -> str:
    """Return what was counted, for people."""
    parts = [f"{counts[kind]:,} {kind}" for kind in _ORDER if counts.get(kind)]
    if counts.get(PASSED):
        parts.append(f"{counts[PASSED]:,} were healthy and {PASSED}")
    if counts.get(BROKEN):
        parts.append(f"{counts[BROKEN]:,} {BROKEN}")
    count = objects_in(counts)
    return ": ".join(filter(None, (f"{count:,} objects", ", ".join(parts))))


def _place_of(cursor: str) -> Place | None:
    try:
        number, digest, offset = cursor.split(" ")
        return Place(int(number), digest, int(offset))
    except ValueError:
        return None
