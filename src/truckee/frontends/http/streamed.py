"""Answers that are made while they are sent, in bounded memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing

from twisted.web.http import Request

from truckee.flow.cpu import Workers
from truckee.flow.outbound import Outbound
from truckee.net.http.respond import set_head


async def in_worker(
    workers: Workers, pieces: Iterator[bytes]
) -> AsyncGenerator[bytes, None]:
    """Give *pieces*, each made by a worker when it is asked for."""
    while piece := await workers.run(next, pieces, b""):
        yield piece


async def send_stream(
    request: Request,
    headers: Mapping[str, str],
    pieces: AsyncGenerator[bytes, None],
    status: int = 200,
) -> None:
    """
    Answer *request* with *pieces*, each made when the client has taken the one before.

    None of them is empty.  The head waits for the first one: until then an error has a
    status.  A HEAD gets the head alone.
    """
    async with aclosing(pieces):
        piece = await anext(pieces, b"")
        set_head(request, status, {"x-accel-buffering": "no", **headers})
        if request.method == b"HEAD":
            return
        with Outbound(request) as outbound:
            while piece:
                written = outbound.write(piece)
                del piece  # the transport has it, and nobody else for as long
                await written
                piece = await anext(pieces, b"")
