"""
A logger for conch, which would log names and whole packets, with passwords in them.

What it fails with is logged without any of that.
"""

from __future__ import annotations

from twisted.logger import ILogObserver, LogEvent, Logger
from zope.interface import implementer

log = Logger()


@implementer(ILogObserver)
def _observe(event: LogEvent) -> None:
    failure = event.get("log_failure")
    if failure is not None:
        log.debug("SSH: {kind}", kind=failure.type.__name__)


# For ``_log`` of classes of conch.
QUIET = Logger("conch", observer=_observe)
