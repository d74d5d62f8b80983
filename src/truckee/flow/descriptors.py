"""File descriptors of this process: how many it may have, and the error when they end."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define
from twisted.logger import Logger

from truckee.errors import Unavailable

log = Logger()

# More than all limits on connections and open files of a node add up to.  Where there is
# no limit, a much larger number only makes child processes slow to start.
ENOUGH = 65_536
_ENDED = (errno.EMFILE, errno.ENFILE)


@define
class TooManyOpenFiles(Unavailable):
    """
    This node has no file descriptor left. Try again in a moment. If that happens often, its
    operator should raise the limit (ulimit -n, or LimitNOFILE= of systemd).
    """


@contextmanager
def descriptor_errors() -> Iterator[None]:
    """:raises TooManyOpenFiles: for what the system says when descriptors end."""
    try:
        yield
    except OSError as error:
        if ended(error):
            raise TooManyOpenFiles from error
        raise


def ended(error: BaseException) -> bool:
    """Tell whether *error* says that no descriptor is left."""
    return isinstance(error, TooManyOpenFiles) or (
        isinstance(error, OSError) and error.errno in _ENDED
    )


def raise_limit(enough: int = ENOUGH) -> int:
    """
    Allow this process as many descriptors as it may have, at most *enough*.

    Returns how many these are.  The soft limit is 1024 on most systems, for programs that
    use select(2); those that may have more are expected to ask for it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = resource.RLIM_INFINITY
    wanted = enough if hard == infinite else min(hard, enough)
    if soft == infinite or soft >= wanted:
        return soft if soft != infinite else enough
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        # macOS has a limit beside the hard one (kern.maxfilesperproc).
        log.warn(
            "The limit of {soft} descriptors could not be raised: {error}",
            soft=soft,
            error=str(error),
        )
        return soft
    return wanted
