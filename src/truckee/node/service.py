"""A node under Twisted's launcher."""

from __future__ import annotations

import atexit
import os
import sys

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.errors import TruckeeError
from truckee.node.build import Node

log = Logger()


class NodeService(Service):
    """A node for ``twistd``."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def startService(self) -> None:
        """:raises SystemExit: when the node cannot start, with a text for the operator."""
        super().startService()
        reactor = self._node.reactor
        early: list[Failure] = []

        def failed(failure: Failure) -> None:
            if reactor.running:
                log.critical("{reason}", reason=_reason(failure))
                atexit.register(_end_with_failure)
                reactor.stop()
            else:
                early.append(failure)

        Deferred.fromCoroutine(self._node.start()).addErrback(failed)
        if early:
            # There is no reactor to stop yet.
            raise SystemExit(f"Error: {_reason(early[0])}")

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._node.stop())


def _end_with_failure() -> None:
    """Exit with 1, which twistd does not by itself once its reactor ran."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _reason(failure: Failure) -> str:
    """Return what the operator is told; a traceback only of what nobody expected."""
    expected = failure.check(TruckeeError, OSError)
    return str(failure.value) if expected else failure.getTraceback()
