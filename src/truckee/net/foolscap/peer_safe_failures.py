"""
Errors as a stock client shows them.

It shows its user the traceback of a remote error, and nothing else of it.  Ours go to
nobody: they name files of this machine.  So the text of the error stands in their place.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from attrs import define
from foolscap.call import FailureSlicer
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.errors import TruckeeError, Unavailable

log = Logger()
T = TypeVar("T")

_MOST = 1000  # characters


@define
class HelperBroke(Unavailable):
    """The helper failed. Its operator finds the reason in its log."""


class ToldFailure(Failure):
    """An error whose text is for the peer."""


class _ToldSlicer(FailureSlicer):
    """Foolscap finds it by the class that it slices."""

    slices = ToldFailure

    def getStateToCopy(self, obj: Failure, broker: Any) -> dict[str, Any]:
        state: dict[str, Any] = FailureSlicer.getStateToCopy(self, obj, broker)
        state["traceback"] = str(obj.value).encode("utf-8")[:_MOST] + b"\n"
        return state


def answered(work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """Let *work* run for a peer, who is told in our words what goes wrong."""
    answer = Deferred.fromCoroutine(work)
    answer.addErrback(_tell)
    return answer


def _tell(failure: Failure) -> Failure:
    if isinstance(failure.value, TruckeeError):
        return ToldFailure(failure.value)
    log.failure("A call of a client failed", failure)
    return ToldFailure(HelperBroke())
