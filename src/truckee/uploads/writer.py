"""
Bytes that clients bring for one upload: of one client at a time, the last one to come.

Source: ``docs/formats/open-uploads.md``, "What happens when".
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred

from truckee.flow.cpu import Workers
from truckee.flow.limits import Exclusive
from truckee.uploads.append_log import UploadLog
from truckee.uploads.errors import TakenOver
from truckee.uploads.interfaces import Digest


class Taking(Protocol):
    """The upload that the bytes are for."""

    @property
    def offset(self) -> int:
        """How many bytes it has."""

    @property
    def ended(self) -> bool:
        """Whether it wants no more."""

    @property
    def behind(self) -> int:
        """How many of them are not on their way yet."""

    def check_room(self, offset: int, amount: int) -> None:
        """:raises TruckeeError: if *amount* bytes at *offset* are too many."""

    async def came(self, behind: int) -> None:
        """
        Bytes came: let them be uploaded.

        Returns when no more than *behind* of them are not on their way.
        """


@define(eq=False)
class Intake:
    """Takes bytes into the log of an upload."""

    _log: UploadLog
    _disk: Workers
    _upload: Taking
    _turns: Exclusive = field(factory=Exclusive, init=False, repr=False)
    _writer: Deferred[None] | None = field(default=None, init=False, repr=False)

    @property
    def busy(self) -> bool:
        """Whether somebody is bringing bytes."""
        return self._writer is not None

    async def take(
        self, offset: int | None, chunks: AsyncIterator[bytes], digest: Digest | None
    ) -> None:
        """
        Take *chunks*, which begin at *offset*; see ``OpenUpload.append``.

        :raises TakenOver: when it is cut off by another one.
        """
        self.cut_off()
        writer = Deferred.fromCoroutine(self._take(offset, chunks, digest))
        self._writer = writer
        try:
            await writer
        except CancelledError:
            if self._writer is not writer:
                raise TakenOver from None
            raise
        finally:
            if self._writer is writer:
                self._writer = None

    def cut_off(self) -> None:
        """End the taking that is under way."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.cancel()

    def at_rest(self) -> AbstractAsyncContextManager[None]:
        """Keep everybody away from the log; whoever was cut off is done with it then."""
        return self._turns.hold(self)

    async def _take(
        self, offset: int | None, chunks: AsyncIterator[bytes], digest: Digest | None
    ) -> None:
        async with self.at_rest():
            skip = 0 if offset is None else self._upload.offset - offset
            try:
                if digest is None:
                    await self._take_each(chunks, skip)
                else:
                    await self._take_checked(chunks, skip, digest)
            finally:
                if not self._upload.ended:
                    await self._log.sync()

    async def _take_each(self, chunks: AsyncIterator[bytes], skip: int) -> None:
        """Take *chunks* as they come, but the first *skip* bytes."""
        upload = self._upload
        behind = upload.behind
        async for chunk in chunks:
            fresh = chunk[skip:] if skip else chunk
            skip = max(0, skip - len(chunk))
            if fresh:
                upload.check_room(upload.offset, len(fresh))
                await self._log.append(fresh)
                await upload.came(behind)

    async def _take_checked(
        self, chunks: AsyncIterator[bytes], skip: int, digest: Digest
    ) -> None:
        """Take *chunks* if all of them are right."""
        upload = self._upload
        behind, staged = upload.behind, 0
        try:
            async for chunk in chunks:
                await self._disk.run(digest.update, chunk)
                fresh = chunk[skip:] if skip else chunk
                skip = max(0, skip - len(chunk))
                if fresh:
                    upload.check_room(upload.offset + staged, len(fresh))
                    await self._log.stage(fresh)
                    staged += len(fresh)
            digest.check()
        except Exception:
            await self._log.drop()
            raise
        await self._log.commit()
        if staged:
            await upload.came(behind)
