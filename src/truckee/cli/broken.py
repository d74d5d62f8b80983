"""Why a request got no answer, in words: the machine here, the line, or what is there."""

from __future__ import annotations

import errno

from OpenSSL import SSL
from twisted.internet import error as net
from twisted.web import http
from twisted.web._newclient import ParseError

from truckee.cli.problems import Problem, Unreachable, printable, reason_within

# Errors of a connection that are no news of the other end.
_LOCAL = (
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.EPERM,
    errno.EACCES,
)
# The first that fits counts.
_LINE: tuple[tuple[type[BaseException], str], ...] = (
    (net.ConnectionRefusedError, "nothing listens there"),
    (net.DNSLookupError, "no machine is known by that name"),
    (net.UnknownHostError, "no machine is known by that name"),
    (net.NoRouteError, "there is no way to that machine"),
    (net.TimeoutError, "it is silent"),
    (net.TCPTimedOutError, "it is silent"),
    (http._DataLoss, "it broke off its answer"),
    (http.PotentialDataLoss, "it closed the connection"),
    (net.ConnectionDone, "it closed the connection"),
    (net.ConnectionLost, "the connection was cut"),
    (net.ConnectionAborted, "the connection was cut"),
    (SSL.Error, "it does not speak TLS, or shows a certificate that is not trusted here"),
)


def problem_within(error: BaseException, url: str = "") -> Problem:
    """Return what went wrong while a gateway was asked, or while it answered."""
    inner = _innermost(error)
    if isinstance(inner, Problem):
        return inner  # of our own side, while it made the body of the request
    for kind, reason in _LINE:
        if isinstance(inner, kind):
            return Unreachable(reason, url)
    where = f" at {url}" if url else ""
    if isinstance(inner, ParseError | http._MalformedChunkedDataError | ValueError):
        return Problem(
            f"what answers{where} is no gateway of Tahoe-LAFS: it does not speak HTTP; "
            "name one with -u URL or -d NODEDIR"
        )
    if isinstance(inner, net.ConnectError) and inner.osError:
        inner = OSError(inner.osError, "")
        if inner.errno not in _LOCAL:
            return Unreachable(reason_within(inner), url)
    if isinstance(inner, OSError):
        return Problem(f"cannot speak to the gateway{where}: {reason_within(inner)}")
    return Unreachable(printable(str(inner)) or type(inner).__name__, url)


def _innermost(error: BaseException) -> BaseException:
    """Return what the libraries have wrapped."""
    for _ in range(8):
        reasons = getattr(error, "reasons", None)
        if not reasons:
            return error
        values = [getattr(each, "value", each) for each in reasons]
        ours = [each for each in values if isinstance(each, Problem)]
        error = (ours or values)[0]
    return error
