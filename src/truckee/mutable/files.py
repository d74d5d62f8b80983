"""The mutable files that a gateway writes, one writer of each at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from attrs import define, field

from truckee.codec.caps import MutableWriteCap
from truckee.codec.geometry import Encoding
from truckee.codec.mdmf import BeyondEnd
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.mutable_secrets import write_cap_of
from truckee.codec.rsa_keys import SigningKey
from truckee.errors import Refused
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget, Exclusive
from truckee.immutable.upload.body import Body, FileTooLarge
from truckee.mutable.body_room import BodyRoom
from truckee.mutable.key_pool import KeyPool
from truckee.mutable.last_written import LastWritten, Written, last_written
from truckee.mutable.publish import MOST_AT_ONCE, Publisher
from truckee.mutable.reader import MAX_WHOLE, MutableReader, whole
from truckee.mutable.share_writes import Published
from truckee.mutable.versions import Versions
from truckee.mutable.write_loop import Check, WriteLoop, any_version

# What is in memory of it at most: plaintext, ciphertext, and N/k times that in blocks.
_COPIES = 2

# Returns the new content of a file, given the one it has; None: it stays as it is.  It is
# asked again with another content when somebody else wrote meanwhile.
Change = Callable[[bytes], bytes | None]


@define
class KeyInUse(Refused):
    """There is a file with this private key already; write to its cap instead."""


@define(eq=False)
class MutableFiles:
    """Writes mutable files to the servers of a grid; its reader reads them."""

    reader: MutableReader
    _publisher: Publisher
    _keys: KeyPool
    _loop: WriteLoop
    _encoding: Encoding
    _cpu: Workers
    _max_size: int = 1 << 50  # bytes of one file
    _bodies: BodyRoom = field(factory=lambda: BodyRoom(Budget(2 * MAX_WHOLE)))
    # Bytes of all that is made of what came.
    _memory: Budget = field(factory=lambda: Budget(2 * MAX_WHOLE))
    writing: Exclusive = field(factory=Exclusive, init=False)  # by storage index
    _last: LastWritten = field(factory=last_written, init=False)

    @property
    def _most_at_once(self) -> int:
        """Bytes of a file that is written again when somebody else writes too."""
        return MOST_AT_ONCE * self._encoding.needed // self._encoding.total

    def check_size(self, format: str, size: int | None) -> None:
        """:raises FileTooLarge: when no file of *format* may have *size* bytes"""
        limit = self._limit(format)
        if size is not None and size > limit:
            raise FileTooLarge(limit)

    def body(
        self,
        chunks: AsyncIterator[bytes],
        format: str,
        length: int | None = None,
        most: int | None = None,
    ) -> Body:
        """Return *chunks*, which have *length* bytes if it is known, as what is stored."""
        limit = self._limit(format)
        return Body(chunks, limit if most is None else min(limit, most), length)

    def _limit(self, format: str) -> int:
        return self._max_size if format == "MDMF" else min(self._max_size, MAX_WHOLE)

    async def create(
        self, format: str, body: Body, private_key: bytes | None = None
    ) -> MutableWriteCap:
        """
        Store *body* as a new file of *format* (SSK or MDMF) and return its write cap.

        :raises BadPrivateKey: :raises KeyInUse: when it is that of another file.
        """
        return await self.create_from(format, lambda _: body, private_key)

    async def create_from(
        self,
        format: str,
        make: Callable[[MutableWriteCap], Body],
        private_key: bytes | None = None,
    ) -> MutableWriteCap:
        """Store what *make* makes for the cap of the new file; else as ``create``."""
        if private_key is None:
            key = await self._keys.take()
        else:
            key = await self._cpu.run(SigningKey.load, private_key)
        cap = write_cap_of(format, key)
        body = make(cap)
        storage_index = cap.verify_cap().storage_index
        async with self.writing.hold(storage_index):
            if private_key is not None:
                seen = await self.reader.look(cap.read_cap())
                if seen.shares:
                    raise KeyInUse
            async with self._room(body, format):
                await self._write_body(cap, key, Versions(), body)
        return cap

    async def overwrite(
        self, cap: MutableWriteCap, body: Body, check: Check = any_version
    ) -> None:
        """
        Make *body* the content of a file, whatever it was.

        :raises UncoordinatedWrite: when others wrote at the same time, each time it was
            tried; a *body* too long for memory is tried once.
        """
        async with (
            self._room(body, cap.format),
            self.writing.hold(cap.verify_cap().storage_index),
        ):
            if not body.ended:
                known, key = await self._loop.map(cap)
                check(known.best)
                await self._publish(cap, key, known, body)
                return
            content = body.take_all()

            async def write(known: Versions, key: SigningKey, again: bool) -> None:
                await self._write(cap, key, known, content)

            await self._loop.run(cap, write, check)

    async def write_at(
        self, cap: MutableWriteCap, offset: int, body: Body, check: Check = any_version
    ) -> None:
        """
        Write *body* into a file at *offset*, at most its end.

        :raises BeyondEnd: :raises UncoordinatedWrite:
        """
        async with self._room(body, "SSK"):
            await self._write_at(cap, offset, body.take_all(), check)

    async def _write_at(
        self, cap: MutableWriteCap, offset: int, piece: bytes, check: Check
    ) -> None:
        def splice(old: bytes) -> bytes:
            if offset > len(old):
                raise BeyondEnd(offset, len(old))
            return old[:offset] + piece + old[offset + len(piece) :]

        async def write(known: Versions, key: SigningKey, again: bool) -> None:
            opened = self.reader.best_of(cap.read_cap(), known)
            self.check_size(opened.prefix.format, offset + len(piece))
            done = await self._publisher.update(
                cap, key, known, offset, piece, opened.segments
            )
            if done is None:
                await self._change(cap, key, known, splice, again)

        async with self.writing.hold(cap.verify_cap().storage_index):
            await self._loop.run(cap, write, check)

    async def modify(
        self,
        cap: MutableWriteCap,
        change: Change,
        check: Check = any_version,
        had: tuple[Prefix, bytes] | None = None,
    ) -> Prefix | None:
        """
        Let *change* make the new content of a file from the one it has.

        Return the version that was written, None if the file stays as it was.  A version
        that the caller *had*, with its content, is not read if it still is the best.

        It may be asked several times, with what others wrote meanwhile, and must not
        fail because a try before was half a success.  It runs in a worker thread.

        :raises NotEnoughMutableShares: :raises UncoordinatedWrite: :raises FileTooLarge:
        """

        written: Prefix | None = None

        async def write(known: Versions, key: SigningKey, again: bool) -> None:
            nonlocal written
            written = await self._change(cap, key, known, change, again, had)

        async with self.writing.hold(cap.verify_cap().storage_index):
            last = self._last.get(cap)
            before = None if last is None else last.versions
            await self._loop.run(cap, write, check, before)
        return written

    async def _change(
        self,
        cap: MutableWriteCap,
        key: SigningKey,
        known: Versions,
        change: Change,
        again: bool,
        had: tuple[Prefix, bytes] | None = None,
    ) -> Prefix | None:
        """Write what *change* makes of the best version, and return the new one."""
        last = self._last.get(cap)
        if last is not None and last.prefix == known.best:
            old = last.content
        elif had is not None and had[0] == known.best:
            old = had[1]
        else:
            old = await whole(self.reader.best_of(cap.read_cap(), known))
        new = await self._cpu.run(change, old)
        if new is None:
            if not again:
                return None
            # Somebody's version and ours may both be there: settle which counts.
            new = old
        del old  # which may have many megabytes
        return await self._write(cap, key, known, new)

    def _room(self, body: Body, format: str) -> AbstractAsyncContextManager[None]:
        """Have a *body* in memory, or of a long one that streams the beginning."""
        if format == "MDMF":
            return self._bodies.hold(body, self._most_at_once, streams=True)
        return self._bodies.hold(body, MAX_WHOLE)

    async def _write_body(
        self, cap: MutableWriteCap, key: SigningKey, known: Versions, body: Body
    ) -> None:
        """Publish *body* once, as it comes if it did not end yet."""
        if body.ended:
            await self._write(cap, key, known, body.take_all())
        else:
            await self._publish(cap, key, known, body)

    async def _write(
        self, cap: MutableWriteCap, key: SigningKey, known: Versions, content: bytes
    ) -> Prefix:
        encoding = self._encoding
        cost = len(content) * (_COPIES + encoding.total // encoding.needed)
        async with self._memory.hold(cost):
            done = await self._publish(cap, key, known, content)
        versions = Versions(dict(done.placed), private_key=key)
        self._last.put(cap, Written(done.prefix, content, versions))
        return done.prefix

    async def _publish(
        self,
        cap: MutableWriteCap,
        key: SigningKey,
        known: Versions,
        content: bytes | AsyncIterator[bytes],
    ) -> Published:
        needed, total = self._encoding.needed, self._encoding.total
        if known.best is not None:
            # A file keeps its shape: shares with numbers it has no more would stay behind.
            needed, total = known.best.geometry.needed, known.best.geometry.total
        return await self._publisher.publish(cap, key, known, content, needed, total)
