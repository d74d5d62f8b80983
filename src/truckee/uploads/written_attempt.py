"""One upload of what a file has, maybe while it is written."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from truckee.flow.together import Group, Work
from truckee.immutable.upload.uploader import Cap
from truckee.uploads.written_stream import WrittenStream


@define(eq=False)
class Attempt:
    """``start`` it, and ``give_up`` in any case; then nothing of it is left."""

    stream: WrittenStream
    sized: bool  # whether it was known how much it is
    _upload: Work[Cap]
    _ended: Callable[[Attempt], None]  # called when there is an outcome
    _over: Callable[[], None]  # called once, when its place is free again
    outcome: Cap | Exception | None = field(default=None, init=False, repr=False)
    _work: Group = field(factory=Group, init=False, repr=False)
    _has_place: bool = field(default=True, init=False)

    def start(self) -> None:
        """Begin."""
        self._work.start(self._run())

    async def _run(self) -> None:
        try:
            self.outcome = await self._upload
        except Exception as error:
            self.outcome = error
        self._ended(self)

    async def give_up(self) -> None:
        """Stop it if it goes on; return when it has ended.  May be called twice."""
        self.stream.stop()
        await self._work.stop()
        if self._has_place:
            self._has_place = False
            self._over()
