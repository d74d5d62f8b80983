"""PUT: the body becomes a file while it arrives, and its name is there when it is whole."""

from __future__ import annotations

from collections.abc import AsyncIterator

from truckee.codec.caps import ChkReadCap, LiteralCap, MutableWriteCap
from truckee.codec.children import Child
from truckee.codec.children_json import GivenChild
from truckee.codec.directory_children import Link
from truckee.codec.entity_tags import entity_tags, version_tag
from truckee.codec.link_metadata import Metadata
from truckee.codec.mutable_prefix import Prefix
from truckee.frontends.http.task_ids import show_id, wanted_id
from truckee.frontends.http.upload_options import parse_upload_options
from truckee.frontends.webdav.asked import Asked
from truckee.frontends.webdav.dates import parse_seconds
from truckee.frontends.webdav.emptied import EMPTY_TAG, empty, leave
from truckee.frontends.webdav.errors import BadHeader
from truckee.frontends.webdav.guard import Guard, Touched, check_tags, tags_of
from truckee.frontends.webdav.places import writable_place
from truckee.frontends.webdav.way import Way
from truckee.immutable.upload.status import UploadStatus
from truckee.immutable.upload.uploader import Cap
from truckee.net.http.respond import Answer, WrongMethod
from truckee.status.metered import Metered
from truckee.status.run import run_task
from truckee.status.task import Task
from truckee.tree.link_changes import link_change
from truckee.tree.link_times import with_modified
from truckee.uploads.streaming import StreamingUpload

ON_DIRECTORY = (
    "OPTIONS, PROPFIND, PROPPATCH, MKCOL, GET, HEAD, DELETE, COPY, MOVE, LOCK, UNLOCK"
)


def length_of(asked: Asked) -> int | None:
    """
    Return the bytes that the body is to have, if that is said.

    Finder says it beside a chunked body.  :raises BadHeader:
    """
    length, text = asked.request.bodyLength, asked.header("x-expected-entity-length")
    if text is None:
        return length
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadHeader("X-Expected-Entity-Length", "it is a number of bytes")
    if length not in (None, int(text)):
        raise BadHeader("X-Expected-Entity-Length", "Content-Length says something else")
    return int(text)


def modified_of(asked: Asked) -> float | None:
    """Return when the client says that its file was changed.  :raises BadHeader:"""
    text = asked.header("x-oc-mtime")
    found = None if text is None else parse_seconds(text)
    if text is not None and found is None:
        raise BadHeader("X-OC-Mtime", "it is a number of seconds since 1970")
    return found


async def put(asked: Asked, body: AsyncIterator[bytes]) -> Answer:
    """Store a file at the end of the path, or a new version of a mutable one there."""
    length, said = length_of(asked), modified_of(asked)
    way = await writable_place(asked)
    _check_no_directory(way.link)
    guard, touched = Guard(asked), Touched(way, name=not way.exists)
    await guard.check(way, touched)
    # Who says the time of a file has no more to send of it.
    more_may_come = asked.request.bodyLength == 0 and said is None
    if more_may_come and await empty(asked, way, guard.tokens):
        return Answer(b"", 204, {"etag": f'"{EMPTY_TAG}"'})
    await leave(asked, way)
    body = _guarded(body, guard, touched)
    status, dav = UploadStatus(), asked.dav
    there = None if way.link is None else way.link.child.cap

    async def work(task: Task) -> tuple[str, str]:
        show_id(asked.request, task)
        if isinstance(there, MutableWriteCap):
            return await _overwrite(asked, way, there, Metered(body, status), length, said)
        cap = await _store(asked, body, length, status)
        await _link(asked, way, GivenChild.of(cap).child, said)
        return str(cap), entity_tags(cap)[0]

    wanted = wanted_id(asked.request, {})
    _, tag = await run_task(dav.tasks, "upload", wanted, status, work, lambda done: done[0])
    headers = {"etag": f'"{tag}"'}
    if said is not None:
        headers["x-oc-mtime"] = "accepted"
    return Answer(b"", 204 if way.exists else 201, headers)


async def _guarded(
    body: AsyncIterator[bytes], guard: Guard, touched: Touched
) -> AsyncIterator[bytes]:
    """Give *body*, and fail at its end if somebody has locked its place meanwhile."""
    async for chunk in body:
        yield chunk
    await guard.check_locks(touched)


async def _store(
    asked: Asked, body: AsyncIterator[bytes], length: int | None, status: UploadStatus
) -> Cap:
    dav, request = asked.dav, asked.request
    options = parse_upload_options({}, length, dav.default_key)
    client, asks_first = request.client_address, request.owes_continue
    upload = StreamingUpload(dav.uploader, options, status, client, asks_first)
    return await upload.store(body)


async def _overwrite(
    asked: Asked,
    way: Way,
    cap: MutableWriteCap,
    body: AsyncIterator[bytes],
    length: int | None,
    said: float | None,
) -> tuple[str, str]:
    """Write a new version of a mutable file; its link says when."""
    dav = asked.dav

    def check(best: Prefix | None) -> None:
        tags = () if best is None else (version_tag(cap, best),)
        check_tags(asked, tags, best is not None)

    dav.mutable.check_size(cap.format, length)
    await dav.mutable.overwrite(cap, dav.mutable.body(body, cap.format, length), check)
    assert way.link is not None
    await _link(asked, way, way.link.child, said)
    tags = await tags_of(asked, way)
    return str(cap), tags[0] if tags else ""


async def _link(asked: Asked, way: Way, child: Child, said: float | None) -> None:
    """Link what was stored, unless what is there by now is to stay."""

    def edit(metadata: Metadata) -> Metadata:
        return with_modified(metadata, child, said)

    def check(old: Link | None) -> None:
        _check_no_directory(old)
        if old is None or way.link is None or old.child != way.link.child:
            check_tags(asked, () if old is None else _tags(old), old is not None)

    directories = asked.dav.directories
    change = link_change(way.name, child, edit, check, directories.now)
    await directories.change(way.parent.cap, change)


def _tags(link: Link) -> tuple[str, ...]:
    cap = link.child.cap
    return entity_tags(cap) if isinstance(cap, ChkReadCap | LiteralCap) else ()


def _check_no_directory(link: Link | None) -> None:
    if link is not None and link.child.is_directory:
        raise WrongMethod("PUT", ON_DIRECTORY)
