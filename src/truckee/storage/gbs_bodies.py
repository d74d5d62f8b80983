"""Bodies of requests over HTTPS that are bytes of a share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from truckee.storage import gbs_schema
from truckee.storage.gbs_http import Question, Refusal

# Of a body that comes in tiny pieces, each of which costs more than its bytes.
_MAX_PARTS = 256

# Stores bytes at an offset.
Write = Callable[[int, list[bytes]], Coroutine[Deferred[Any], Any, None]]


async def write_range(question: Question, size: int, write: Write) -> None:
    """
    Have *write* store the body of *question* while it comes.

    It is for a range of a share that has *size* bytes at most.  What was written stays when
    the rest is missing.  :raises Refusal:
    """
    begin, end = _range(question, size)
    position, parts, held = begin, list[bytes](), 0
    async for chunk in question.body:
        # What is more than the range has is dropped.
        parts.append(chunk[: end - position - held])
        held += len(parts[-1])
        if len(parts) > _MAX_PARTS:
            parts = [b"".join(parts)]
        if held >= question.piece:
            await write(position, parts)
            position, parts, held = position + held, [], 0
    if held:
        await write(position, parts)
    if position + held < end:
        raise Refusal(400, "The body is shorter than its range.")


def _range(question: Question, size: int) -> tuple[int, int]:
    """Return the (begin, end) of the bytes that a body is said to be."""
    try:
        begin, end = gbs_schema.parse_content_range(question.header("Content-Range"))
    except ValueError as error:
        raise Refusal(416, str(error)) from None
    if end > size:
        raise Refusal(416, "The range ends behind the end of the share.")
    if question.bodyLength is not None and question.bodyLength < end - begin:
        raise Refusal(400, "The body is shorter than its range.")
    return begin, end
