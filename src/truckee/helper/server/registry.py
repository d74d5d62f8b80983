"""All uploads of a helper: those under way, and what is kept of others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from attrs import asdict, define, evolve, field, fields, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from truckee.flow.cpu import Workers
from truckee.flow.durable import make_directories, sync_directory, write_durably
from truckee.flow.limits import Exclusive
from truckee.grid.placement import happiness
from truckee.grid.selection import Selector
from truckee.helper.errors import HelperBusy, HelperFull, HelperRefuses
from truckee.helper.ownership import NOBODY, Owner, name_of, parse_name
from truckee.helper.server.ciphertext_file import CiphertextFile, disk_full
from truckee.helper.server.stored_files import StoredFiles
from truckee.helper.server.upload import HelperUpload, Stored
from truckee.helper.wire import Parameters
from truckee.immutable.upload.existing_shares import ExistingShares, Holders
from truckee.immutable.upload.sinks import ICiphertextSinks
from truckee.status.ages import LastUse
from truckee.status.problems import Problems
from truckee.storage.interfaces import IStorageServer

log = Logger()

UploadKey = tuple[bytes, bytes]  # storage index, id of the owner

# How often complete files are tried again that could not be stored.
RETRY = 60.0  # seconds
# How often it is looked for what is too old.
CLEANING = 3600.0  # seconds
# How long it is known what became of an upload whose gateway was away in the end.
UNHEARD = 600.0  # seconds
# Beside a file that is not complete, of which bytes may be wrong after a power cut.
_IN_DOUBT = ".doubt"
# As much of a storage index as is shown.
_SHOWN = 5  # characters
_FIRST_TRY = 5.0  # seconds after the start, when servers are connected
# Of a segment and its blocks in memory, of which there are some for each upload.
_LARGEST_SEGMENT = 128 << 20  # bytes
# Connections over which one client takes part in one upload: a new one may come before it
# is known that the one before is dead.
_MOST_USERS = 16
# Files on the disk, of all clients and of one.
_MOST_FILES, _MOST_OF_CLIENT = 10_000, 2_000


@frozen
class HelperLimits:
    """Bounds of one helper."""

    spool: int = 64 << 30  # bytes of ciphertext on its disk, of all uploads together
    size: int = 1 << 40  # bytes of one file
    uploads: int = 64  # under way at once
    expire_after: float = 14 * 86400.0  # seconds from the last byte
    # Bytes that servers are asked to have room for, of a file whose size is not known.
    open_ended: int = 4 << 30
    # The same as the first and the third for one client alone; None: no less.
    client_spool: int | None = None
    client_uploads: int | None = None

    def for_strangers(self) -> HelperLimits:
        """Return the same, with half of it for one client where nothing else was said."""
        spool, uploads = self.client_spool, self.client_uploads
        return evolve(
            self,
            client_spool=self.spool // 2 if spool is None else spool,
            client_uploads=-(-self.uploads // 2) if uploads is None else uploads,
        )

    @property
    def most_of_client(self) -> tuple[int, int]:
        """Bytes of ciphertext, and uploads under way, of one client."""
        spool, uploads = self.client_spool, self.client_uploads
        return (
            self.spool if spool is None else min(spool, self.spool),
            self.uploads if uploads is None else min(uploads, self.uploads),
        )


@frozen
class Home:
    """What has to be known of the directory of a helper; all of it blocks for a moment."""

    check: Callable[[], None] = lambda: None  # an error while its disk is not mounted
    mark: Callable[[], None] = lambda: None  # know it again
    takes_files: Callable[[], bool] = lambda: True


@define(eq=False)
class Uploads:
    """
    The uploads of one helper.  ``start`` it, and ``stop`` it in the end.

    What is in its directory is told in ``docs/formats/helper-push.md``.
    """

    directory: Path
    limits: HelperLimits
    _selector: Selector
    _sinks: Callable[[Parameters], ICiphertextSinks]
    _disk: Workers
    _clock: IReactorTime
    _now: Callable[[], float]  # Unix seconds
    _boot: bytes = b""  # which start of the machine this is; empty: not known
    _home: Home = field(factory=Home)
    _problems: Problems | None = None
    # By storage index and owner: nobody has to do with another's.
    active: dict[UploadKey, HelperUpload] = field(factory=dict, init=False)
    used: int = field(default=0, init=False)  # bytes in all files
    _used_by: Counter[bytes] = field(factory=Counter, init=False)  # clients
    # Who began what has a file here.
    _kept: dict[UploadKey, Owner] = field(factory=dict, init=False)
    counters: dict[str, int] = field(factory=dict, init=False)  # since the start
    _turns: Exclusive = field(factory=Exclusive, init=False)
    # Those that are not active yet, and whose file may be in use, and their clients.
    _beginning: dict[UploadKey, bytes] = field(factory=dict, init=False)
    # Of the complete files with one storage index, one at a time is coded.
    _finishing: Exclusive = field(factory=Exclusive, init=False)
    _stored: StoredFiles = field(factory=StoredFiles, init=False)
    _last_uses: dict[str, LastUse] = field(factory=dict, init=False)  # of files, by name
    _calls: list[IDelayedCall] = field(factory=list, init=False)
    _stopped: bool = field(default=False, init=False)

    @property
    def incoming(self) -> Path:
        """Where files are that are not complete."""
        return self.directory / "CHK_incoming"

    @property
    def encoding(self) -> Path:
        """Where files are that are complete, and not on the grid."""
        return self.directory / "CHK_encoding"

    def start(self) -> None:
        """Go on with what is complete; see ``look``."""
        self.later(_FIRST_TRY, self._retry)
        self.later(_FIRST_TRY, self._clean)

    def look(self) -> None:
        """
        Find what is kept; blocks.  May be called again.

        :raises OSError: :raises Unavailable: when the disk refuses, or is not mounted.
        """
        self._home.check()
        for place in (self.incoming, self.encoding):
            make_directories(place)
            for draft in place.glob("*.new"):
                if parse_name(draft.name.partition(".")[0]) is not None:
                    with suppress(OSError):
                        draft.unlink(missing_ok=True)
        self._home.mark()
        self._doubt_after_reboot()
        self.used = 0
        self._used_by.clear()
        for path in self.files():
            known = parse_name(path.name)
            if known is not None:
                index, owner = known
                self._kept[index, owner.id] = owner
                self._count(owner, path.stat().st_size)

    def _doubt_after_reboot(self) -> None:
        """
        Mark what is not complete when the machine was started anew.

        After a power cut a file may have a length and not the bytes.  A gateway of ours
        compares a hash of them before it goes on; a stock one does not.
        """
        marker = self.directory / "boot"
        try:
            same = bool(self._boot) and marker.read_bytes() == self._boot
        except OSError:
            same = False
        if same:
            return
        try:
            for path in self.files():
                if path.parent == self.incoming:
                    path.with_suffix(_IN_DOUBT).touch(mode=0o600)
            sync_directory(self.incoming)
            write_durably(marker, self._boot)
        except OSError as error:
            # A disk that takes nothing takes no more ciphertext, either.
            log.warn("{path}: {error}", path=str(marker), error=str(error))

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped = True
        for call in self._calls:
            if call.active():
                call.cancel()

    def files(self) -> Iterator[Path]:
        """Give all files with ciphertext; of other files that are there we know nothing."""
        for place in (self.incoming, self.encoding):
            for path in place.iterdir() if place.is_dir() else ():
                if parse_name(path.name) is not None and path.is_file():
                    yield path

    # Room, for uploads

    def check(self, size: int) -> None:
        """See ``Room``."""
        if size > self.limits.size:
            raise HelperRefuses

    def take(self, owner: Owner, size: int) -> bool:
        """See ``Room``."""
        if not self._has_room(owner, size):
            return False
        self._count(owner, size)
        self.count("fetched_bytes", size)
        return True

    def give(self, owner: Owner, size: int) -> None:
        """See ``Room``."""
        self._count(owner, -size)

    def may_code(self, upload: HelperUpload) -> bool:
        """See ``Room``: servers take one writer of a share at a time."""
        return not any(other.coding for other in self._rivals(upload))

    @asynccontextmanager
    async def finishing(self, upload: HelperUpload) -> AsyncIterator[None]:
        """See ``Room``."""
        async with self._finishing.hold(upload.storage_index):
            for other in self._rivals(upload):
                await other.make_way()
            yield

    def _rivals(self, upload: HelperUpload) -> list[HelperUpload]:
        """Return other clients' uploads with the same storage index."""
        index = upload.storage_index
        return [
            other
            for (theirs, _), other in self.active.items()
            if theirs == index and other is not upload
        ]

    def _has_room(self, owner: Owner, size: int) -> bool:
        most, _ = self.limits.most_of_client
        return (
            self.used + size <= self.limits.spool
            and self._used_by[owner.client] + size <= most
        )

    def _count(self, owner: Owner, size: int) -> None:
        self.used += size
        self._used_by[owner.client] += size
        if not self._used_by[owner.client]:
            del self._used_by[owner.client]

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
        self.check(size or 0)
        segment = min(parameters.segment_size, size or parameters.segment_size)
        if parameters.encoding.coded_size(segment) > _LARGEST_SEGMENT:
            raise HelperRefuses
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
                present = await self._find(storage_index, parameters, owner, own)
                if present is not None:
                    return present
                upload = await self._begin(storage_index, parameters, size, longer, owner)
            elif upload.users >= _MOST_USERS:
                raise HelperBusy
            upload.join()
            upload.start()
            return upload

    async def _find(
        self, storage_index: bytes, parameters: Parameters, owner: Owner, own: bool
    ) -> Stored | None:
        """
        Return the file if all its shares are on the grid, on servers enough.

        Of a file that *owner* stored just now there may be fewer.
        """
        total = parameters.total
        before = self._stored.ueb(storage_index, owner)
        if own and not before:
            return None
        ours = self._stored.unheard(storage_index, owner, self._now() - UNHEARD)
        found = await self._selector.survey(storage_index, total)
        if len(found) < total and not ours:
            return None
        for ueb, holders in await self._read(storage_index, found):
            if own and ueb != before:
                continue
            enough = len(holders) == total or ueb == ours
            if enough and happiness(holders) >= parameters.happy:
                return _stored(ueb, holders)
        return None

    async def _read(
        self, storage_index: bytes, found: Holders
    ) -> list[tuple[bytes, dict[int, set[IStorageServer]]]]:
        """Return the UEBs in shares that were found, and who holds which shares of each."""
        existing = ExistingShares(storage_index, self._disk)
        await existing.prove(found)
        return [(ueb, existing.holders(ueb)) for ueb in existing.uebs]

    async def _begin(
        self,
        storage_index: bytes,
        parameters: Parameters,
        size: int | None,
        longer: bool,
        owner: Owner,
    ) -> HelperUpload:
        # Refused now it goes without this helper, and later it fails.
        if not await self._disk.run(self._home.takes_files):
            raise HelperFull
        # Between this and the count in _beginning nothing is waited for.
        await self._make_place(owner)
        if self._stopped:
            raise HelperBusy
        key = storage_index, owner.id
        owner = self._kept.get(key, owner)
        if key not in self._kept:
            self._check_files(owner)
        self._beginning[key] = owner.client
        try:
            file = CiphertextFile(self._path(storage_index, owner), self._disk)
            await file.open()
            doubted = file.path.with_suffix(_IN_DOUBT)
            over = size is not None and file.size > size
            if (over or doubted.exists()) and not longer:
                # It is of another file, or of nothing.
                self.give(owner, file.size)
                file.delete()
                doubted.unlink(missing_ok=True)
                file.path.with_suffix(".json").unlink(missing_ok=True)
                file = CiphertextFile(self.incoming / file.path.name, self._disk)
                await file.open()
        finally:
            del self._beginning[key]
        self._kept[key] = owner
        if size is not None and not self._has_room(owner, size - file.size):
            if file.size:
                file.close()
            else:
                file.delete()
                del self._kept[key]
            raise HelperFull
        upload = HelperUpload(
            storage_index,
            parameters,
            size,
            file,
            self._sinks(parameters),
            self,
            self._keep,
            self._over,
            self.limits.open_ended,
            self._clock.seconds,
            owner,
        )
        self.active[key] = upload
        self.count("uploads")
        return upload

    async def _make_place(self, owner: Owner) -> None:
        """
        Have a place for one more upload; an abandoned or idle one gives up its own.

        It keeps what it has, and its client goes on when there is a place again.

        :raises HelperBusy:
        """
        _, most = self.limits.most_of_client
        while True:
            counts = Counter(upload.owner.client for upload in self.active.values())
            counts.update(self._beginning.values())
            alone = counts[owner.client] >= most
            if not alone and counts.total() < self.limits.uploads:
                return
            candidates = [
                upload
                for upload in self.active.values()
                if (upload.abandoned or upload.idle)
                and (not alone or upload.owner.client == owner.client)
            ]
            # First what nobody waits for, then of the client that has most.
            victim = max(
                candidates,
                key=lambda each: (each.abandoned, counts[each.owner.client]),
                default=None,
            )
            if victim is None:
                raise HelperBusy
            await victim.give_up()

    def _check_files(self, owner: Owner) -> None:
        """:raises HelperFull: when there are too many files, however small."""
        if len(self._kept) < _MOST_OF_CLIENT:
            return
        theirs = sum(each.client == owner.client for each in self._kept.values())
        if len(self._kept) >= _MOST_FILES or theirs >= _MOST_OF_CLIENT:
            raise HelperFull

    def _path(self, storage_index: bytes, owner: Owner) -> Path:
        """Return where the ciphertext of a file is, or goes."""
        # It counts for the client that began it, though another may come with the secret.
        began = self._kept.get((storage_index, owner.id), owner)
        name = name_of(storage_index, began)
        complete = self.encoding / name
        return complete if complete.exists() else self.incoming / name

    def count(self, what: str, by: int = 1) -> None:
        """Count something that happened."""
        self.counters[what] = self.counters.get(what, 0) + by

    async def _keep(self, upload: HelperUpload) -> None:
        """Write down what is needed to store a complete file without its client."""
        told = asdict(upload.parameters) | {"size": upload.size}
        path = self.encoding / upload.file.path.name
        # What is there may be of another client, or of a file that had another size.
        await self._disk.run(_write_json, path.with_suffix(".json"), told)
        doubted = upload.file.path.with_suffix(_IN_DOUBT)
        await upload.file.move(path)
        doubted.unlink(missing_ok=True)

    def _over(self, upload: HelperUpload) -> None:
        del self.active[upload.storage_index, upload.owner.id]
        if upload.forgotten:
            self._kept.pop((upload.storage_index, upload.owner.id), None)
            note = self.encoding / upload.file.path.name
            note.with_suffix(".json").unlink(missing_ok=True)
            doubted = (self.incoming / note.name).with_suffix(_IN_DOUBT)
            doubted.unlink(missing_ok=True)
        if upload.result is not None:
            alone = not upload.users or upload.lingering > 0
            self._remember(upload, unheard=alone)
            self.count("uploaded")
            self.count("encoded_bytes", upload.held)

    def _remember(self, upload: HelperUpload, unheard: bool) -> None:
        """Know that a file was stored, and whether its gateway was there to hear it."""
        if upload.result is not None:
            when = self._now() if unheard else None
            ueb = upload.result.ueb
            self._stored.add(upload.storage_index, upload.owner, ueb, when)

    # From time to time

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Do *work* after so many seconds, unless all ends before."""
        self._calls = [call for call in self._calls if call.active()]
        if not self._stopped:
            self._calls.append(self._clock.callLater(seconds, work))

    def _retry(self) -> None:
        def failed(failure: object) -> None:
            log.error("Complete files could not be stored: {error}", error=str(failure))

        trying = Deferred.fromCoroutine(self._store_complete())
        trying.addErrback(failed)
        trying.addCallback(lambda _: self.later(RETRY, self._retry))

    async def _store_complete(self) -> None:
        """Store, one by one, complete files whose clients are gone."""
        for note in sorted(self.encoding.glob("*.json")):
            known = parse_name(note.stem)
            if known is None or self._stopped:
                continue
            storage_index, owner = known
            if (storage_index, owner.id) in self.active:
                continue
            try:
                parameters, size = _read_note(note)
                if self._size_of(*known) != size:
                    log.warn("{name} is of another file", name=note.name)
                    note.unlink(missing_ok=True)
                    continue
            except ValueError as error:
                self._set_aside(note, error)
                continue
            except OSError as error:
                # A disk that cannot be read now may be read later.
                log.warn("{name} is left alone: {error}", name=note.name, error=str(error))
                continue
            try:
                await self._store(storage_index, owner, parameters, size)
            except Exception as error:
                # Whatever is wrong with this one, there are others.
                log.warn(
                    "{name} is not stored yet: {error}", name=note.stem, error=str(error)
                )

    def _size_of(self, storage_index: bytes, owner: Owner) -> int | None:
        """Return the bytes of a file; None: it is not there."""
        try:
            # The process may have died before the file was moved.
            return self._path(storage_index, owner).stat().st_size
        except FileNotFoundError:
            return None

    def _set_aside(self, note: Path, error: Exception) -> None:
        """Try a damaged note no more, and have the operator know."""
        aside = note.with_suffix(".damaged")
        with suppress(OSError):
            note.rename(aside)
        log.error("{name} is damaged: {error}", name=note.name, error=str(error))
        if self._problems is not None:
            # All of it is no more than is told of other files here.
            name = f"helper/{aside.parent.name}/{note.name[:_SHOWN]}….damaged"
            text = (
                f"The note of a complete file is damaged and was set aside: {name}. It "
                "is stored when its gateway asks for it again, and expires if it does not."
            )
            self._problems.report(name, text)

    async def _store(
        self, storage_index: bytes, owner: Owner, parameters: Parameters, size: int
    ) -> None:
        upload = await self._open(storage_index, parameters, size, owner=owner)
        if isinstance(upload, Stored):
            # Its shares were placed, and the process died before the file was removed.
            path = self._path(storage_index, owner)
            self.give(owner, size)
            self._kept.pop((storage_index, owner.id), None)
            path.unlink(missing_ok=True)
            (self.encoding / path.name).with_suffix(".json").unlink(missing_ok=True)
            return
        try:
            await upload.finish(size, None)
            self._remember(upload, unheard=True)
        finally:
            upload.leave()

    def _clean(self) -> None:
        """Delete what nobody came back for."""
        self.later(CLEANING, self._clean)
        names = {path.name for path in self.files()}
        self._last_uses = {
            name: last for name, last in self._last_uses.items() if name in names
        }
        for path in list(self.files()):
            known = parse_name(path.name)
            if known is None:
                continue
            index, owner = known
            if (index, owner.id) in self.active.keys() | self._beginning.keys():
                continue
            with suppress(OSError):
                self._expire(path, index, owner)

    def _expire(self, path: Path, index: bytes, owner: Owner) -> None:
        """Delete a file if nothing happened to it for too long.  :raises OSError:"""
        status = path.stat()
        recorded = max(status.st_mtime, status.st_ctime)
        clock, now = self._clock.seconds(), self._now()
        last = self._last_uses.get(path.name)
        if last is None or last.recorded != recorded:
            last = self._last_uses[path.name] = LastUse.found(recorded, clock, now)
        if last.time_left(self.limits.expire_after, clock, now) < 0:
            del self._last_uses[path.name]
            log.info("{name} expired", name=path.name)
            path.unlink()
            for beside in (".json", ".damaged", _IN_DOUBT):
                path.with_suffix(beside).unlink(missing_ok=True)
            self.give(owner, status.st_size)
            self._kept.pop((index, owner.id), None)


def _stored(ueb: bytes, holders: Mapping[int, set[IStorageServer]]) -> Stored:
    """Return a file that was there."""
    found = {
        share: sorted(on, key=lambda server: (server.name, server.lease_seed))
        for share, on in sorted(holders.items())
    }
    return Stored(
        ueb,
        {share: [server.name for server in on] for share, on in found.items()},
        len(holders),
        {share: [server.lease_seed for server in on] for share, on in found.items()},
    )


def _read_note(path: Path) -> tuple[Parameters, int]:
    """Return what ``_write_json`` wrote.  :raises ValueError: when it is something else."""
    names = [each.name for each in fields(Parameters)]
    try:
        told = json.loads(path.read_bytes())
        numbers = [told[name] for name in (*names, "size")]
    except (LookupError, TypeError, RecursionError):
        raise ValueError("it is no note of a file") from None
    if any(type(number) is not int for number in numbers):
        raise ValueError("it has other things than numbers")
    return Parameters(*numbers[:-1]), numbers[-1]


def _write_json(path: Path, told: object) -> None:
    with disk_full():
        write_durably(path, json.dumps(told).encode("utf-8"))
