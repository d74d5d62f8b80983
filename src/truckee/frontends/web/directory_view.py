"""What people see of a directory: its page, which is sent while it is made."""

from __future__ import annotations

from collections.abc import Sequence

from truckee.codec.caps import DirectoryCap
from truckee.frontends.http.streamed import in_worker, send_stream
from truckee.frontends.web.directory_page import (
    HEADERS,
    directory_page,
    rows_of,
    wanted_names,
)
from truckee.frontends.web.directory_web import DirectoryWeb
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import Answer


async def show_directory(
    request: StreamingRequest, web: DirectoryWeb, cap: DirectoryCap, names: Sequence[str]
) -> None:
    """Send the page of the directory to which *names* lead."""
    directory = await web.directories.read(cap)
    async with web.directories.hold(directory):
        pieces = directory_page(directory, web.frames.of(request), names)
        await send_stream(request, HEADERS, in_worker(web.directories.cpu, pieces))


async def show_rows(
    request: StreamingRequest, web: DirectoryWeb, cap: DirectoryCap, names: str
) -> Answer:
    """Return some rows of the page alone.  :raises BadArgument: *names* is no list"""
    wanted, frame = wanted_names(names), web.frames.of(request)
    directory = await web.directories.read(cap)
    rows = await web.directories.cpu.run(rows_of, directory, frame, wanted)
    return Answer(rows, 200, HEADERS)
