"""
Shares in progress on a server somewhere else, reached over HTTPS.

Source: ``docs/formats/storage-https.md``, "Writing".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from truckee.codec import base32
from truckee.codec.hashes import Buffer
from truckee.codec.secrets import LeaseSecrets, progress_secret
from truckee.errors import Corrupt, Misuse, Unavailable
from truckee.flow.together import Work
from truckee.flow.under_way import UnderWay
from truckee.storage import gbs_schema
from truckee.storage.gbs_answers import understood
from truckee.storage.gbs_connection import Reply
from truckee.storage.interfaces import (
    Allocation,
    BadAnswer,
    CallFailed,
    IShareWriter,
    ShareClosed,
    ShareTooLarge,
)
from truckee.storage.limited import Patience
from truckee.storage.ranges import RangeSet

log = Logger()

_UPLOAD_SECRET = 20  # bytes; what stock clients use, too


@define
class NeedsKnownSize(Misuse):
    """
    {server} is reached over HTTPS: it takes shares of one byte or more whose size is known
    beforehand, and no shorter ones later.
    """

    server: str


@define
class ShareIncomplete(Misuse):
    """Share {share} cannot be closed: {missing} of its {size} bytes were not written."""

    share: int
    missing: int
    size: int


@define(eq=False)
class WriteRequest:
    """What is asked for the shares of one file on one server."""

    home: str  # its path
    leases: LeaseSecrets = field(repr=False)
    secret: bytes = field(repr=False)  # whose shares in progress these are
    size: int  # bytes of each share
    # The paths of the shares that are being written under this secret.
    live: set[str] = field(repr=False)


_NOTHING = Allocation(frozenset(), {})


@define(eq=False)
class GbsShares:
    """
    The shares that this process writes on one server; *ask* is that of its ``GbsServer``.

    A server keeps what is in progress for half an hour, and offers it to nobody, not even
    to who began it.  What an earlier process or a broken line left is recognised by its
    secret, and aborted when the share is wanted again.
    """

    name: str
    _ask: Callable[..., Work[Reply]] = field(repr=False)
    _random: Callable[[int], bytes]
    patience: Patience
    # Paths of what is being written under the secret that another process knows, too.
    _ours: set[str] = field(factory=set, init=False, repr=False)

    async def allocate(
        self, storage_index: bytes, secrets: LeaseSecrets, shares: Set[int], size: int
    ) -> Allocation:
        """Return what the server takes of these *shares*, all of *size* > 0 bytes."""
        home = f"/immutable/{base32.encode(storage_index)}"
        paths = {share: f"{home}/{share}" for share in shares}
        if not self._ours.isdisjoint(paths.values()):
            # Another upload of this file is under way here, whose shares stay its own.
            request = WriteRequest(home, secrets, self._random(_UPLOAD_SECRET), size, set())
            return await self._begin(request, paths)
        request = WriteRequest(home, secrets, progress_secret(secrets), size, self._ours)
        first = await self._begin(request, paths)
        refused = paths.keys() - first.already - first.writers.keys()
        try:
            again = await self._begin_again(
                request, {each: paths[each] for each in refused}
            )
        except BaseException:
            _give_back(first.writers.values())
            raise
        return Allocation(first.already | again.already, {**first.writers, **again.writers})

    async def _begin_again(
        self, request: WriteRequest, refused: Mapping[int, str]
    ) -> Allocation:
        """Return what is taken of these shares when what is left of them is aborted."""
        try:
            left = {
                share: path
                for share, path in refused.items()
                if await self._abort_left(request, path)
            }
            return await self._begin(request, left) if left else _NOTHING
        except (Unavailable, Corrupt):
            return _NOTHING

    async def _abort_left(self, request: WriteRequest, path: str) -> bool:
        """Abort what an earlier upload left of a share; return whether there was any."""
        try:
            await self._ask(
                "abort",
                b"PUT",
                f"{path}/abort",
                secrets=[(gbs_schema.UPLOAD, request.secret)],
            )
        except CallFailed:
            return False
        return True

    async def _begin(self, request: WriteRequest, paths: Mapping[int, str]) -> Allocation:
        """Return what the server takes of these shares."""
        request.live.update(paths.values())
        writers = {
            share: GbsWriter(self.name, self._ask, self.patience, path, share, request)
            for share, path in paths.items()
        }
        try:
            reply = await self._ask(
                "allocate",
                b"POST",
                request.home,
                secrets=[
                    *gbs_schema.lease_headers(request.leases),
                    (gbs_schema.UPLOAD, request.secret),
                ],
                body=gbs_schema.encode_allocate(frozenset(paths), request.size),
            )
            already, allocated = understood(
                self.name, "allocate", gbs_schema.parse_allocated, reply.body
            )
        except CallFailed:
            request.live.difference_update(paths.values())
            raise
        except BaseException:
            # It may have heard us; nobody else can give back what it keeps for us then.
            _give_back(writers.values())
            raise
        for share, path in paths.items():
            if share not in allocated:
                request.live.discard(path)
                del writers[share]
        return Allocation(already, dict(writers))


def _give_back(writers: Iterable[IShareWriter]) -> None:
    """Abort shares that nobody waits for."""
    for writer in writers:
        Deferred.fromCoroutine(writer.abort()).addErrback(_unheard)


def _unheard(failure: Failure) -> None:
    log.failure("A share in progress could not be given back", failure)


@implementer(IShareWriter)
@define(eq=False)
class GbsWriter:
    """
    A share in progress over there.

    The protocol has no "close": a share is finished, and shown to readers, when its last
    missing byte arrives.  So the byte at its very end is kept here until ``close``.
    Writes go side by side; ``close`` and ``abort`` wait for those that are under way.
    """

    _name: str  # of the server
    _ask: Callable[..., Work[Reply]] = field(repr=False)
    _patience: Patience = field(repr=False)
    _path: str = field(repr=False)
    _share: int
    _request: WriteRequest
    _written: RangeSet = field(factory=RangeSet, init=False, repr=False)
    _last: bytes = field(default=b"", init=False, repr=False)  # the byte at the end
    _open: bool = field(default=True, init=False)
    _writes: UnderWay = field(factory=UnderWay, init=False, repr=False)
    _turn: DeferredLock = field(factory=DeferredLock, init=False, repr=False)

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        """See ``IShareWriter``."""
        data = b"".join(parts)
        end = offset + len(data)
        if not self._open:
            raise ShareClosed(self._share)
        if end > self._request.size:
            raise ShareTooLarge(self._share, end, self._request.size)
        if data and end == self._request.size:
            data, self._last = data[:-1], data[-1:]
        with self._writes.one():
            await self._send(offset, data)

    async def close(self, size: int) -> None:
        """
        See ``IShareWriter``.

        :raises NeedsKnownSize: when *size* is not what was allocated.
        :raises ShareIncomplete: when not all of it was written; it stays open then.
        """
        if size > self._request.size:
            raise ShareTooLarge(self._share, size, self._request.size)
        if size != self._request.size:
            raise NeedsKnownSize(self._name)
        async with self._turn:
            await self._writes.none()
            if not self._open:
                raise ShareClosed(self._share)
            missing = size - self._written.size - len(self._last)
            if missing:
                raise ShareIncomplete(self._share, missing, size)
            await self._send(size - 1, self._last, finished=True)
            self._open = False
            self._request.live.discard(self._path)

    async def abort(self) -> None:
        """See ``IShareWriter``; a server out of reach forgets it in half an hour."""
        async with self._turn:
            await self._writes.none()
            if not self._open:
                return
            self._open = False
            try:
                await self._ask(
                    "abort",
                    b"PUT",
                    f"{self._path}/abort",
                    secrets=[(gbs_schema.UPLOAD, self._request.secret)],
                )
            except (Unavailable, Corrupt):
                return
            finally:
                self._request.live.discard(self._path)

    async def _send(self, offset: int, data: bytes, finished: bool = False) -> None:
        """Send *data*; *finished* is what the server must say of the share then."""
        if not data:
            return
        end = offset + len(data)
        call = "close" if finished else "write"
        reply = await self._ask(
            call,
            b"PATCH",
            self._path,
            secrets=[(gbs_schema.UPLOAD, self._request.secret)],
            headers={
                b"Content-Type": gbs_schema.OCTETS,
                b"Content-Range": gbs_schema.content_range(offset, end),
            },
            body=data,
            good=(200, 201),
            seconds=self._patience.write,
        )
        if (reply.status == 201) != finished:
            raise BadAnswer(self._name, call)
        self._written.add(offset, end)
