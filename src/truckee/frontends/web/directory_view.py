"""What is seen of a directory, its page and its JSON: both are sent while they are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from truckee.codec.caps import DirectoryCap
from truckee.codec.entity_tags import listing_tag
from truckee.frontends.http.conditions import is_known
from truckee.frontends.http.sending import header
from truckee.frontends.http.streamed import in_worker, send_stream
from truckee.frontends.web.directory_listing import listing
from truckee.frontends.web.directory_page import (
    HEADERS,
    directory_page,
    rows_of,
    wanted_names,
)
from truckee.frontends.web.directory_web import DirectoryWeb
from truckee.frontends.web.reading import ABOUT
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import Answer
from truckee.tree.directories import Directory


async def show_directory(
    request: StreamingRequest, web: DirectoryWeb, cap: DirectoryCap, names: Sequence[str]
) -> Answer | None:
    """Send the page of the directory to which *names* lead, unless the client has it."""
    cpu, directory = web.directories.cpu, await web.directories.read(cap)
    page = await cpu.run(directory_page, directory, web.frames.of(request), names)
    return await _send(request, web, directory, HEADERS, page.tag, page.pieces())


async def list_directory(
    request: StreamingRequest, web: DirectoryWeb, cap: DirectoryCap
) -> Answer | None:
    """Send the children of a directory as JSON, unless the client has them."""
    directory = await web.directories.read(cap)
    tag = listing_tag(cap, directory.version)
    return await _send(request, web, directory, ABOUT, tag, listing(directory))


async def _send(
    request: StreamingRequest,
    web: DirectoryWeb,
    directory: Directory,
    headers: Mapping[str, str],
    tag: str,
    pieces: Iterator[bytes],
) -> Answer | None:
    """Send what is made of *directory*, or return that the client has it by its *tag*."""
    headers = {**headers, "etag": f'"{tag}"'}
    known = header(request, b"if-none-match")
    if known is not None and is_known(known, (tag,)):
        return Answer(b"", 304, headers)
    async with web.directories.hold(directory):
        await send_stream(request, headers, in_worker(web.directories.cpu, pieces))
    return None


async def show_rows(
    request: StreamingRequest, web: DirectoryWeb, cap: DirectoryCap, names: str
) -> Answer:
    """Return some rows of the page alone.  :raises BadArgument: *names* is no list"""
    wanted, frame = wanted_names(names), web.frames.of(request)
    directory = await web.directories.read(cap)
    rows = await web.directories.cpu.run(rows_of, directory, frame, wanted)
    return Answer(rows, 200, HEADERS)
