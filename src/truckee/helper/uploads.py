"""All uploads of a helper: those under way, and what is kept of others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from attrs import asdict, define, field, fields, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from truckee.codec import base32
from truckee.codec.geometry import MAX_SHARES
from truckee.codec.ueb import geometry_in_ueb
from truckee.errors import Misuse, Unavailable
from truckee.flow.cpu import Workers
from truckee.flow.durable import make_directories, sync_directory, write_durably
from truckee.flow.limits import Exclusive
from truckee.grid.placement import happiness
from truckee.grid.selection import Selector
from truckee.helper.ciphertext_file import CiphertextFile, HelperFull, disk_full
from truckee.helper.upload import HelperUpload, Parameters, Stored
from truckee.immutable.existing import ExistingShares, Holders
from truckee.immutable.sinks import ICiphertextSinks
from truckee.storage.interfaces import IStorageServer

log = Logger()

# How often complete files are tried again that could not be stored.
RETRY = 60.0  # seconds
# How often it is looked for what is too old.
CLEANING = 3600.0  # seconds
# How long it is known what became of an upload whose gateway was away in the end.
UNHEARD = 600.0  # seconds
# Beside a file that is not complete, of which bytes may be wrong after a power cut.
_IN_DOUBT = ".doubt"
_FIRST_TRY = 5.0  # seconds after the start, when servers are connected
# Of a segment and its blocks in memory, of which there are some for each upload.
_LARGEST_SEGMENT = 128 << 20  # bytes


@define
class HelperBusy(Unavailable):
    """The helper has as many uploads under way as it takes. Try again soon."""


@define
class HelperRefuses(Misuse):
    """The file, or a segment of it, is larger than the helper takes. Use helper=no."""


@frozen
class HelperLimits:
    """Bounds of one helper."""

    spool: int = 64 << 30  # bytes of ciphertext on its disk, of all uploads together
    size: int = 1 << 40  # bytes of one file
    uploads: int = 64  # under way at once
    expire_after: float = 14 * 86400.0  # seconds from the last byte
    # Bytes that servers are asked to have room for, of a file whose size is not known.
    open_ended: int = 4 << 30


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
    active: dict[bytes, HelperUpload] = field(factory=dict, init=False)
    used: int = field(default=0, init=False)  # bytes in all files
    counters: dict[str, int] = field(factory=dict, init=False)  # since the start
    _turns: Exclusive = field(factory=Exclusive, init=False)
    # Storage indexes of those that are not active yet, and whose file may be in use.
    _beginning: set[bytes] = field(factory=set, init=False)
    # When what was stored, while its gateway was away, and its UEB.
    _unheard: dict[bytes, tuple[float, bytes]] = field(factory=dict, init=False)
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
        """Find what is kept, and go on with what is complete."""
        for place in (self.incoming, self.encoding):
            make_directories(place)
            for draft in place.glob("*.new"):
                if _index_of(draft.name.partition(".")[0]) is not None:
                    draft.unlink(missing_ok=True)
        self._doubt_after_reboot()
        self.used = sum(path.stat().st_size for path in self.files())
        self.later(_FIRST_TRY, self._retry)
        self._clean()

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
            for path in place.iterdir():
                if _index_of(path.name) is not None and path.is_file():
                    yield path

    # Room, for uploads

    def check(self, size: int) -> None:
        """See ``Room``."""
        if size > self.limits.size:
            raise HelperRefuses

    def take(self, size: int) -> bool:
        """See ``Room``."""
        if self.used + size > self.limits.spool:
            return False
        self.used += size
        self.count("fetched_bytes", size)
        return True

    def give(self, size: int) -> None:
        """See ``Room``."""
        self.used -= size

    # Opening

    async def open(
        self,
        storage_index: bytes,
        parameters: Parameters,
        size: int | None,
        longer: bool = False,
    ) -> HelperUpload | Stored:
        """
        Return a file that is on the grid, or take part in an upload of it.

        Whoever gets an upload leaves it in the end.  What is held of a file that is
        *longer* is kept if the caller says so, who forgets it or takes no part then.
        :raises HelperBusy: :raises HelperFull: :raises HelperRefuses:
        """
        self.count("upload_requests")
        opened = await self._open(storage_index, parameters, size, longer)
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
    ) -> HelperUpload | Stored:
        self.check(size or 0)
        segment = min(parameters.segment_size, size or parameters.segment_size)
        if parameters.encoding.coded_size(segment) > _LARGEST_SEGMENT:
            raise HelperRefuses
        async with self._turns.hold(storage_index):
            upload = self.active.get(storage_index)
            if upload is not None:
                await upload.settled()
            upload = self.active.get(storage_index)
            if upload is not None and (
                upload.parameters != parameters or size not in (None, upload.size)
            ):
                if not upload.abandoned:
                    raise HelperBusy
                await upload.give_up()
                upload = None
            if upload is None:
                present = await self.find(storage_index, parameters)
                if present is not None:
                    return present
                upload = await self._begin(storage_index, parameters, size, longer)
            upload.join()
            upload.start()
            return upload

    async def find(self, storage_index: bytes, parameters: Parameters) -> Stored | None:
        """
        Return the file if all its shares are on the grid, on servers enough.

        Of a file that was stored here just now there may be fewer.
        """
        total, ours = parameters.total, self._unheard_of(storage_index)
        found = await self._selector.survey(storage_index, total)
        if len(found) < total and not ours:
            return None
        for ueb, holders in await self._read(storage_index, found):
            enough = len(holders) == total or ueb == ours
            if enough and happiness(holders) >= parameters.happy:
                return _stored(ueb, holders)
        return None

    async def find_any(self, storage_index: bytes) -> Stored | None:
        """
        Return the file if all its shares are on the grid.

        For those who know nothing of it: how many they are is in its UEB.
        """
        found = await self._selector.survey(storage_index, MAX_SHARES)
        for ueb, holders in await self._read(storage_index, found):
            try:
                total = geometry_in_ueb(ueb).total
            except ValueError:
                continue
            # A share number that the file does not have is a server's mistake.
            theirs = {share: on for share, on in holders.items() if share < total}
            if len(theirs) == total:
                return _stored(ueb, theirs)
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
    ) -> HelperUpload:
        while len(self.active) + len(self._beginning) >= self.limits.uploads:
            abandoned = [each for each in self.active.values() if each.abandoned]
            if not abandoned:
                raise HelperBusy
            await abandoned[0].give_up()
        if self._stopped:
            raise HelperBusy
        self._beginning.add(storage_index)
        try:
            file = CiphertextFile(self._path(base32.encode(storage_index)), self._disk)
            await file.open()
            doubted = file.path.with_suffix(_IN_DOUBT)
            over = size is not None and file.size > size
            if (over or doubted.exists()) and not longer:
                # It is of another file, or of nothing.
                self.give(file.size)
                file.delete()
                doubted.unlink(missing_ok=True)
                file.path.with_suffix(".json").unlink(missing_ok=True)
                file = CiphertextFile(self.incoming / file.path.name, self._disk)
                await file.open()
        finally:
            self._beginning.discard(storage_index)
        if size is not None and self.used + size - file.size > self.limits.spool:
            if file.size:
                file.close()
            else:
                file.delete()
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
        )
        self.active[storage_index] = upload
        self.count("uploads")
        return upload

    def _path(self, name: str) -> Path:
        """Return where the ciphertext of a file is, or goes."""
        complete = self.encoding / name
        return complete if complete.exists() else self.incoming / name

    def _remember(self, upload: HelperUpload) -> None:
        """Know that a file was stored whose gateway was not there to hear it."""
        if upload.result is not None:
            self._unheard[upload.storage_index] = self._now(), upload.result.ueb

    def _unheard_of(self, storage_index: bytes) -> bytes:
        """Return the UEB of a file that was stored just now; empty: it was not."""
        since = self._now() - UNHEARD
        self._unheard = {
            index: told for index, told in self._unheard.items() if told[0] > since
        }
        return self._unheard.get(storage_index, (0.0, b""))[1]

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
        del self.active[upload.storage_index]
        if upload.forgotten:
            note = self.encoding / upload.file.path.name
            note.with_suffix(".json").unlink(missing_ok=True)
            doubted = (self.incoming / note.name).with_suffix(_IN_DOUBT)
            doubted.unlink(missing_ok=True)
        if upload.result is not None:
            if not upload.users or upload.lingering:
                self._remember(upload)
            self.count("uploaded")
            self.count("encoded_bytes", upload.held)

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
            storage_index = _index_of(note.stem)
            if storage_index is None or storage_index in self.active or self._stopped:
                continue
            try:
                parameters, size = _read_note(note)
                # The process may have died before the file was moved.
                if self._path(note.stem).stat().st_size != size:
                    raise ValueError("it has another size")
            except (OSError, ValueError) as error:
                log.warn("{name} is of no use: {error}", name=note.name, error=str(error))
                note.unlink(missing_ok=True)
                continue
            try:
                await self._store(storage_index, parameters, size)
            except Exception as error:
                # Whatever is wrong with this one, there are others.
                log.warn(
                    "{name} is not stored yet: {error}", name=note.stem, error=str(error)
                )

    async def _store(self, storage_index: bytes, parameters: Parameters, size: int) -> None:
        upload = await self._open(storage_index, parameters, size)
        if isinstance(upload, Stored):
            # Its shares were placed, and the process died before the file was removed.
            name = base32.encode(storage_index)
            self.give(size)
            self._path(name).unlink(missing_ok=True)
            (self.encoding / f"{name}.json").unlink(missing_ok=True)
            return
        try:
            await upload.finish(size, None)
            self._remember(upload)
        finally:
            upload.leave()

    def _clean(self) -> None:
        """Delete what nobody came back for."""
        self.later(CLEANING, self._clean)
        for path in list(self.files()):
            if _index_of(path.name) in self.active.keys() | self._beginning:
                continue
            status = path.stat()
            if self._now() - status.st_mtime > self.limits.expire_after:
                log.info("{name} expired", name=path.name)
                path.unlink()
                path.with_suffix(".json").unlink(missing_ok=True)
                path.with_suffix(_IN_DOUBT).unlink(missing_ok=True)
                self.give(status.st_size)


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


def _index_of(name: str) -> bytes | None:
    """Return the storage index that a file is named after; None: it is none of ours."""
    try:
        index = base32.decode(name)
    except ValueError:
        return None
    return index if len(index) == 16 else None


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
