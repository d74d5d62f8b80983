"""All uploads of a helper: those under way, and what is kept of others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.flow.cpu import Workers
from truckee.flow.limits import Exclusive
from truckee.grid.selection import Selector
from truckee.helper.errors import HelperBusy, HelperFull
from truckee.helper.ownership import NOBODY, Owner
from truckee.helper.server.coding import Coding
from truckee.helper.server.expiry import Expiry
from truckee.helper.server.limits import HelperLimits
from truckee.helper.server.places import Places
from truckee.helper.server.present import PresentFiles
from truckee.helper.server.quotas import Quotas
from truckee.helper.server.spool import Home, Spool, UploadKey
from truckee.helper.server.stored import Stored
from truckee.helper.server.timers import Timers
from truckee.helper.server.unattended import Unattended
from truckee.helper.server.upload import HelperUpload
from truckee.helper.wire import Parameters
from truckee.immutable.upload.sinks import ICiphertextSinks
from truckee.status.problems import Problems

log = Logger()

# How often complete files are tried again that could not be stored.
RETRY = 60.0  # seconds
# How often it is looked for what is too old.
CLEANING = 3600.0  # seconds
_FIRST_TRY = 5.0  # seconds after the start, when servers are connected
# Connections over which one client takes part in one upload: a new one may come before it
# is known that the one before is dead.
_MOST_USERS = 16


@define(eq=False)
class Uploads:
    """
    The uploads of one helper.  ``start`` it, and ``stop`` it in the end.

    What is in its directory is told in ``docs/formats/helper-push.md``.
    """

    spool: Spool
    quotas: Quotas
    _places: Places
    _present: PresentFiles
    _sinks: Callable[[Parameters], ICiphertextSinks]
    _timers: Timers
    _expiry: Expiry
    _unattended: Unattended
    _seconds: Callable[[], float]
    counters: dict[str, int] = field(factory=dict, init=False)  # since the start
    _turns: Exclusive = field(factory=Exclusive, init=False)
    # Of the complete files with one storage index, one at a time is coded.
    _finishing: Exclusive = field(factory=Exclusive, init=False)

    @property
    def active(self) -> dict[UploadKey, HelperUpload]:
        """Those under way."""
        return self._places.active

    @property
    def limits(self) -> HelperLimits:
        """What they are bound by."""
        return self.quotas.limits

    @property
    def used(self) -> int:
        """Bytes in all files."""
        return self.quotas.used

    def look(self) -> None:
        """See ``Spool.look``."""
        self.spool.look()

    def start(self) -> None:
        """Process what is complete; see ``look``."""
        self.later(_FIRST_TRY, self._retry)
        self.later(_FIRST_TRY, self._clean)

    def stop(self) -> None:
        """Begin nothing more."""
        self._timers.stop()

    # Room, for uploads

    def check(self, size: int) -> None:
        """See ``Room``."""
        self.quotas.check(size)

    def take(self, owner: Owner, size: int) -> bool:
        """See ``Room``."""
        if not self.quotas.has_room(owner, size):
            return False
        self.quotas.count(owner, size)
        self.count("fetched_bytes", size)
        return True

    def give(self, owner: Owner, size: int) -> None:
        """See ``Room``."""
        self.quotas.count(owner, -size)

    def may_code(self, upload: HelperUpload) -> bool:
        """See ``Room``: servers take one writer of a share at a time."""
        return not any(other.coding for other in self._places.rivals(upload))

    @asynccontextmanager
    async def finishing(self, upload: HelperUpload) -> AsyncIterator[None]:
        """See ``Room``."""
        async with self._finishing.hold(upload.storage_index):
            for other in self._places.rivals(upload):
                await other.make_way()
            yield

    async def keep(self, upload: HelperUpload) -> None:
        """See ``Room``."""
        await self.spool.keep(upload.file, upload.parameters, upload.held)

    def over(self, upload: HelperUpload) -> None:
        """See ``Room``."""
        del self.active[upload.storage_index, upload.owner.id]
        if upload.forgotten:
            name = upload.file.path.name
            self.spool.forget(upload.storage_index, upload.owner, name)
        if upload.result is not None:
            alone = not upload.users or upload.lingering > 0
            self._remember(upload, unheard=alone)
            self.count("uploaded")
            self.count("encoded_bytes", upload.held)

    # Opening

    async def open(
        self,
        storage_index: bytes,
        parameters: Parameters,
        size: int | None,
        longer: bool = False,
        owner: Owner = NOBODY,
        own: bool = False,
    ) -> HelperUpload | Stored:
        """
        Return a file that is on the grid, or take part in *owner*'s upload of it.

        Whoever gets an upload leaves it in the end.  What is held of a file that is
        *longer* is kept if the caller says so, who forgets it or takes no part then.
        Whoever cannot check what is on the grid wants to hear of their *own* files only.
        :raises HelperBusy: :raises HelperFull: :raises HelperRefuses:
        """
        self.count("upload_requests")
        opened = await self._open(storage_index, parameters, size, longer, owner, own)
        if isinstance(opened, Stored):
            self.count("upload_already_present")
            return opened
        self.count("upload_need_upload")
        if opened.held:
            self.count("resumes")
        return opened

    async def _open(
        self,
        storage_index: bytes,
        parameters: Parameters,
        size: int | None,
        longer: bool = False,
        owner: Owner = NOBODY,
        own: bool = False,
    ) -> HelperUpload | Stored:
        key = storage_index, owner.id
        self.quotas.check(size or 0)
        self.quotas.check_segments(parameters, size)
        async with self._turns.hold(key):
            upload = self.active.get(key)
            if upload is not None:
                await upload.settled()
            upload = self.active.get(key)
            if upload is not None and (
                upload.parameters != parameters or size not in (None, upload.size)
            ):
                if not upload.abandoned:
                    raise HelperBusy
                await upload.give_up()
                upload = None
            if upload is None:
                present = await self._present.find(storage_index, parameters, owner, own)
                if present is not None:
                    return present
                upload = await self._begin(storage_index, parameters, size, longer, owner)
            elif upload.users >= _MOST_USERS:
                raise HelperBusy
            upload.join()
            upload.start()
            return upload

    async def _begin(
        self,
        storage_index: bytes,
        parameters: Parameters,
        size: int | None,
        longer: bool,
        owner: Owner,
    ) -> HelperUpload:
        # Refused now it goes without this helper, and later it fails.
        if not await self.spool.takes_files():
            raise HelperFull
        # Between this and the place that is taken nothing is waited for.
        await self._places.make(owner)
        if self._timers.stopped:
            raise HelperBusy
        key = storage_index, owner.id
        owner = self.spool.began(storage_index, owner)
        with self._places.beginning(key, owner):
            file = await self.spool.open(storage_index, owner, size, longer)
        if size is not None and not self.quotas.has_room(owner, size - file.size):
            self.spool.refuse(storage_index, owner, file)
            raise HelperFull
        upload = HelperUpload(
            storage_index,
            parameters,
            size,
            file,
            Coding(self._sinks(parameters), self.limits.open_ended),
            self,
            self._seconds,
            owner,
        )
        self.active[key] = upload
        self.count("uploads")
        return upload

    def count(self, what: str, by: int = 1) -> None:
        """Count something that happened."""
        self.counters[what] = self.counters.get(what, 0) + by

    def _remember(self, upload: HelperUpload, unheard: bool) -> None:
        if upload.result is not None:
            self._present.remember(
                upload.storage_index, upload.owner, upload.result, unheard
            )

    # From time to time

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """See ``Timers.later``."""
        self._timers.later(seconds, work)

    def _retry(self) -> None:
        def failed(failure: object) -> None:
            log.error("Complete files could not be stored: {error}", error=str(failure))

        trying = Deferred.fromCoroutine(self._store_complete())
        trying.addErrback(failed)
        trying.addCallback(lambda _: self.later(RETRY, self._retry))

    async def _store_complete(self) -> None:
        """Store, one by one, complete files whose clients are gone."""
        await self._unattended.store(
            lambda index, owner: (
                not self._timers.stopped and (index, owner.id) not in self.active
            ),
            self._store,
        )

    async def _store(
        self, storage_index: bytes, owner: Owner, parameters: Parameters, size: int
    ) -> None:
        upload = await self._open(storage_index, parameters, size, owner=owner)
        if isinstance(upload, Stored):
            # Its shares were placed, and the process died before the file was removed.
            self.spool.remove_stored(storage_index, owner, size)
            return
        try:
            await upload.finish(size, None)
            self._remember(upload, unheard=True)
        finally:
            upload.leave()

    def _clean(self) -> None:
        """Delete what nobody came back for."""
        self.later(CLEANING, self._clean)
        self._expiry.clean(self._places.in_use)


def new_uploads(
    directory: Path,
    limits: HelperLimits,
    selector: Selector,
    sinks: Callable[[Parameters], ICiphertextSinks],
    disk: Workers,
    clock: IReactorTime,
    now: Callable[[], float],
    boot: bytes = b"",
    home: Home | None = None,
    problems: Problems | None = None,
) -> Uploads:
    """
    Return the uploads of a helper whose ciphertext is in *directory*.

    *now* gives Unix seconds; *boot* is which start of the machine this is, and empty
    where that is not known.
    """
    quotas = Quotas(limits)
    spool = Spool(directory, quotas, disk, boot, home or Home())
    return Uploads(
        spool,
        quotas,
        Places(quotas),
        PresentFiles(selector, disk, now),
        sinks,
        Timers(clock),
        Expiry(spool, clock, now),
        Unattended(spool, problems),
        clock.seconds,
    )
