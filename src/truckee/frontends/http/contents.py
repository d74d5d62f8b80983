"""What a client can get of a file: its size, its tags, and where its bytes come from."""

from __future__ import annotations

from collections.abc import Mapping

from truckee.codec.caps import ChkReadCap, LiteralCap, MutableReadCap, MutableWriteCap
from truckee.codec.entity_tags import entity_tags, version_tag
from truckee.frontends.http.sending import Content, Opened, Sender
from truckee.immutable.download.downloader import Downloader
from truckee.mutable.errors import VersionGone
from truckee.mutable.reader import READS, MutableReader
from truckee.net.http.origin import NotForThat
from truckee.net.http.request import StreamingRequest

# A cap never comes to stand for other bytes, so whoever has them need not ask again, for
# as long as a cache keeps anything (a year).  But caps are keys: what was decrypted for
# one client is not left in a cache that others share, even where they cannot know the URL.
KEEP = "private, max-age=31536000, immutable"

# It may be another one at any time: whoever has it asks whether it still is the same.
ASK_AGAIN = "private, no-cache"

# What a page of ours takes from /static alone.
_NO_CODE = frozenset(("script", "style"))


def check_wanted(request: StreamingRequest) -> None:
    """
    Refuse to be the code of another page.

    :raises NotForThat: when a browser would run what it asks for.
    """
    if not _NO_CODE.isdisjoint(request.header_lines("sec-fetch-dest")):
        raise NotForThat


def immutable_content(
    downloader: Downloader, cap: ChkReadCap | LiteralCap, cache_control: str = KEEP
) -> Content:
    """Return what a client can get of an immutable file."""
    tags = entity_tags(cap)
    if isinstance(cap, LiteralCap):
        return Content(cap.size, tags, cache_control, data=cap.data)

    async def open_at(start: int) -> Opened:
        return await downloader.open(cap, start)

    return Content(cap.size, tags, cache_control, open=open_at)


async def send_mutable(
    sender: Sender,
    reader: MutableReader,
    request: StreamingRequest,
    cap: MutableReadCap | MutableWriteCap,
    args: Mapping[str, str],
    name: str,
) -> None:
    """
    Answer a GET or HEAD for the best version of a mutable file, called *name*.

    :raises TruckeeError: as ``Sender.send``
    """
    for attempt in range(1, READS + 1):
        try:
            await _send_best(sender, reader, request, cap, args, name)
            break
        except VersionGone:
            # Once a byte of it was sent there is no way to another version.
            if request.startedWriting or attempt == READS:
                raise
            await reader.wait(attempt)


async def _send_best(
    sender: Sender,
    reader: MutableReader,
    request: StreamingRequest,
    cap: MutableReadCap | MutableWriteCap,
    args: Mapping[str, str],
    name: str,
) -> None:
    """Send the best version.  :raises VersionGone: when it is replaced meanwhile"""
    opened = await reader.open(cap.read_cap())

    async def reopen(start: int) -> Opened:
        return opened

    tags = (version_tag(cap, opened.prefix),)
    content = Content(opened.geometry.size, tags, ASK_AGAIN, open=reopen)
    if not content.size:
        content = Content(0, tags, ASK_AGAIN, data=b"")
    await sender.send(request, content, args, name)
