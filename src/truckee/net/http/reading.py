"""When a connection is read, and when it is not."""

from __future__ import annotations

from enum import Enum, auto

from attrs import define, field

from truckee.flow.inbound import Source


class Cause(Enum):
    """Why a connection is not read."""

    BODY = auto()  # the receiver of the body is busy
    PIPELINE = auto()  # enough requests wait behind the one that is answered
    TURN = auto()  # what was read is taken apart in steps


@define(eq=False)
class Reading:
    """Reads a transport unless there is a cause not to; one more read can follow each."""

    _transport: Source
    _causes: set[Cause] = field(factory=set, init=False)

    def stop(self, cause: Cause) -> None:
        """Do not read, for *cause*."""
        if not self._causes:
            self._transport.pauseProducing()
        self._causes.add(cause)

    def go_on(self, cause: Cause) -> None:
        """*cause* is none any more."""
        if cause in self._causes:
            self._causes.discard(cause)
            if not self._causes:
                self._transport.resumeProducing()

    def go_on_anyway(self) -> None:
        """Forget all causes: what comes is dropped."""
        self._causes.clear()
        self._transport.resumeProducing()

    def is_stopped_by(self, cause: Cause) -> bool:
        """Tell whether *cause* stops it."""
        return cause in self._causes
