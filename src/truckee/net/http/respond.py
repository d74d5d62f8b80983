"""
Answers: what a resource gives back, and what becomes of an error.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES, Request

from truckee.errors import Corrupt, Misuse, Refused, TruckeeError, Unavailable
from truckee.flow.descriptors import TooManyOpenFiles, ended
from truckee.net.http import upload_head
from truckee.status.failures import shown_reason

log = Logger()

TEXT = "text/plain;charset=utf-8"

# An error is of the moment, and caches may keep some of them (404, 410) unless told.
_ERROR = {"content-type": TEXT, "cache-control": "no-store"}


# What has a traceback in the log already.
_INSIDE = b"Something went wrong inside the gateway. Its log says more.\n"

# Of statuses that Twisted does not know.
_PHRASES = {426: b"Upgrade Required", 460: b"Checksum Mismatch"}


@frozen
class Answer:
    """A whole response, small enough to be in memory."""

    body: bytes = field(default=b"", repr=False)
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)


@define
class WrongMethod(Misuse):
    """This address does not take {method}; it takes {allowed}."""

    method: str
    allowed: str  # as in the Allow header


@define
class NotFound(Misuse):
    """
    There is nothing at this address.
    Files are at /uri/CAP and /file/CAP/@@named=/NAME.
    """


@define
class BodyTooLarge(Refused):
    """The body is larger than the {limit} bytes that are taken here."""

    limit: int


# The first class that fits gives the status.  Frontends add their own leaves in front.
_FAMILIES: tuple[tuple[type[TruckeeError], int], ...] = (
    (WrongMethod, 405),
    (NotFound, 404),
    (BodyTooLarge, 413),
    *upload_head.STATUSES,
    (Misuse, 400),
    (Refused, 403),
    (Corrupt, 500),
    (Unavailable, 503),
)


@define(eq=False)
class Responder:
    """Turn results and errors into responses, by one table of statuses."""

    _leaves: tuple[tuple[type[TruckeeError], int], ...] = ()
    # What browsers are shown of an error.
    _show: Callable[[Request, Answer], Answer] = lambda _, answer: answer

    def of_error(self, error: BaseException) -> Answer:
        """Return the answer for *error*; only our own errors tell the client anything."""
        if ended(error):
            # Wherever it was that a descriptor was missing, nothing is wrong with the rest.
            error = TooManyOpenFiles()
        if not isinstance(error, TruckeeError):
            return Answer(_INSIDE, 500, _ERROR)
        table = (*self._leaves, *_FAMILIES)
        status = next((code for kind, code in table if isinstance(error, kind)), 500)
        headers = dict(_ERROR)
        if isinstance(error, WrongMethod):
            headers["allow"] = error.allowed
        if isinstance(error, upload_head.EncodedBody):
            headers["accept-encoding"] = "identity"
        return Answer(f"{error}\n".encode(), status, headers)

    def send(self, request: Request, answer: Answer) -> None:
        """Write *answer* and finish *request*; the log has what the node failed at."""
        if _is_failure(answer) and not request.responseHeaders.hasHeader(b"x-task-id"):
            # What a task failed of, its end tells.
            log.warn(
                "{method} was answered {status}: {reason}",
                method=request.method.decode("ascii", "replace"),
                status=answer.status,
                reason=shown_reason(answer.body.decode("utf-8", "replace")),
            )
        if answer.status >= 400:
            answer = self._show(request, answer)
        set_head(request, answer.status, answer.headers)
        if answer.status not in NO_BODY_CODES:
            request.setHeader(b"content-length", b"%d" % len(answer.body))
        if request.method != b"HEAD":
            request.write(answer.body)
        request.finish()

    def run(
        self, request: Request, work: Coroutine[Deferred[Any], Any, Answer | None]
    ) -> None:
        """
        Answer *request* with what *work* returns, or with its error.

        *work* is cancelled when the client goes away, unless it keeps what came until then
        (``StreamingRequest.keeps_parts``).  It may write the response itself
        and return None once that is complete; an error after its first byte cuts the
        connection, so that the client sees that something is missing.
        """
        done = Deferred.fromCoroutine(work)
        gone = request.notifyFinish()
        gone.addErrback(lambda _: leave())

        def leave() -> None:
            if not getattr(request, "keeps_parts", False):
                done.cancel()

        def succeed(answer: Answer | None) -> None:
            if request._disconnected or request.finished:
                return
            if answer is None:
                request.finish()
            else:
                self.send(request, answer)

        def fail(failure: Failure) -> None:
            error = failure.value or RuntimeError("nothing")
            cancelled = isinstance(error, CancelledError) and request._disconnected
            if not cancelled and not isinstance(error, TruckeeError):
                log.failure("A request failed", failure=failure)
            if request._disconnected or request.finished:
                return
            if request.startedWriting:
                transport: Any = request.transport
                transport.abortConnection()
            else:
                self.send(request, self.of_error(error))

        done.addCallbacks(succeed, fail)
        done.addErrback(lambda failure: log.failure("An answer failed", failure=failure))


def set_head(request: Request, status: int, headers: Mapping[str, str]) -> None:
    """Set what goes before a body."""
    request.setResponseCode(status, _PHRASES.get(status))
    for name, value in headers.items():
        request.setHeader(name.encode(), value.encode("utf-8"))


def _is_failure(answer: Answer) -> bool:
    """Tell whether an operator wants to know of *answer*."""
    failed = answer.status == 410 or answer.status >= 500
    return failed and answer.body != _INSIDE


def check_method(request: Request, allowed: tuple[bytes, ...]) -> None:
    """:raises WrongMethod: unless *request* has one of the methods *allowed*."""
    if request.method not in allowed:
        names = b", ".join(allowed).decode("ascii")
        raise WrongMethod(request.method.decode("ascii", "replace"), names)
