"""
Grids of disk servers for tests: real workers, real directories, servers with moods.

Shares are also made here without any of the code that stores them.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence, Set
from pathlib import Path
from struct import pack
from threading import Thread
from typing import Any, ClassVar, ParamSpec, TypeVar
from unittest import SkipTest

from attrs import define, field, frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from truckee.codec.caps import ChkReadCap
from truckee.codec.cipher import crypt
from truckee.codec.encoder import FileEncoder, encode_segment
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import Buffer, storage_index_of
from truckee.codec.secrets import LeaseSecrets
from truckee.codec.share import ShareLayout
from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.frontends.web.events import Events
from truckee.grid.selection import Selector
from truckee.immutable.download.cache import CacheLimits
from truckee.immutable.download.downloader import Downloader
from truckee.immutable.upload.grid_sink import GridSinks
from truckee.immutable.upload.uploader import Uploader, UploadLimits
from truckee.node.downloads import Downloads, build_downloads
from truckee.node.layout import NodeDirectory
from truckee.status.tasks import Tasks
from truckee.storage.gbs_writer import NeedsKnownSize
from truckee.storage.interfaces import Allocation, IShareReader, IShareWriter
from truckee.storage.journal import Journal
from truckee.storage.server import DiskServer
from truckee.storage.sharefiles import ShareDirectory

REACTOR: Any = reactor
NOW = 1_700_000_000.5
SECRETS = LeaseSecrets(b"r" * 32, b"c" * 32)
OTHER_SECRETS = LeaseSecrets(b"R" * 32, b"C" * 32)
LEASE_SECRET = b"s" * 32
CONVERGENCE = b"convergence"


def new_directory(case: SynchronousTestCase) -> Path:
    """Return a directory that is removed when the test ends."""
    directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    case.addCleanup(directory.cleanup)
    return Path(directory.name)


def new_workers(
    case: SynchronousTestCase, threads: int = 4, watch: Callable[[], None] = lambda: None
) -> Workers:
    """Return workers that run until the test ends."""
    workers = WatchedWorkers(REACTOR, threads, "test", watch)
    workers.start()
    case.addCleanup(workers.stop)
    return workers


def new_small_disk(case: SynchronousTestCase, size: int) -> Path:
    """Return the root of a file system of *size* bytes; skips where it cannot be had."""
    if os.geteuid() != 0:
        raise SkipTest("mounting a small file system takes root")
    path = new_directory(case)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode != 0:
        raise SkipTest(f"cannot mount: {done.stderr.decode().strip()}")
    case.addCleanup(subprocess.run, ["umount", "--lazy", str(path)], check=True)
    return path


def space_used(path: Path) -> int:
    """Return the bytes that are used on a file system."""
    status = os.statvfs(path)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def new_tasks(case: SynchronousTestCase, clock: Any = REACTOR) -> Tasks:
    """Return tasks that are looked at until the test ends."""
    tasks = Tasks(clock, lambda: NOW, os.urandom)
    case.addCleanup(tasks.stop)
    return tasks


def new_events(case: SynchronousTestCase) -> Events:
    """Return what tells of tasks until the test ends."""
    events = Events(new_tasks(case), REACTOR, lambda: NOW)
    case.addCleanup(events.stop)
    return events


async def pause(seconds: float = 0.0) -> None:
    """Let the reactor run for a moment."""
    await deferLater(REACTOR, seconds)


async def until(condition: Callable[[], object]) -> None:
    """Return when *condition* holds; a test that waits for ever is one that fails."""
    for _ in range(10_000):
        if condition():
            return
        await pause(0.005)
    raise AssertionError("it did not happen in 50 seconds")


async def in_chunks(data: bytes, size: int) -> AsyncIterator[bytes]:
    """Give *data* in chunks of *size* bytes."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def files_below(*roots: Path) -> list[Path]:
    """Return all files below *roots*, which may change meanwhile."""
    # pathlib's walk fails on a directory that vanishes under it.
    return sorted(
        Path(place) / name
        for root in roots
        for place, _directories, names in os.walk(root)
        for name in names
    )


P = ParamSpec("P")
T = TypeVar("T")


@define(eq=False)
class WatchedWorkers(Workers):
    """
    Workers that tell of each job, from its thread, before they do it.

    When tests are broken off nobody stops them; they end with the process then.
    """

    _watch: Callable[[], None]

    def _thread(self, name: str) -> Thread:
        return Thread(target=self._work, name=name, daemon=True)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def watched() -> T:
            self._watch()
            return work(*args, **kwargs)

        return await Workers.run(self, watched)


# Moods: what a server does before it does its work.  It gets the name of the operation and
# the share, -1 where there is none; it may raise, or wait.
Mood = Callable[[str, int], Awaitable[None]]


async def calm(operation: str, share: int) -> None:
    """Work as a server should."""


def failing(*operations: str, error: Exception | None = None) -> Mood:
    """Fail in these operations."""

    async def mood(operation: str, share: int) -> None:
        if operation in operations:
            raise error or OSError(5, "the cable was pulled")

    return mood


def hanging(*operations: str) -> Mood:
    """Never end one of these operations, unless cancelled."""

    async def mood(operation: str, share: int) -> None:
        if operation in operations:
            await Deferred()

    return mood


@implementer(IShareWriter)
@define(eq=False)
class MoodyWriter:
    """The writer of a ``MoodyServer``."""

    _server: MoodyServer
    _share: int
    _writer: IShareWriter

    async def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        await self._server.mood("write", self._share)
        await self._writer.write(offset, parts)

    async def close(self, size: int) -> None:
        await self._server.mood("close", self._share)
        await self._writer.close(size)

    async def abort(self) -> None:
        await self._writer.abort()


@implementer(IShareReader)
@define(eq=False)
class MoodyReader:
    """The reader of a ``MoodyServer``."""

    _server: MoodyServer
    _share: int
    _reader: IShareReader

    async def read(self, offset: int, length: int) -> bytes:
        self._server.reads += 1
        await self._server.mood("read", self._share)
        return await self._reader.read(offset, length)


@define(eq=False, kw_only=True)
class MoodyServer(DiskServer):
    """A disk server that can fail, refuse and hang."""

    mood: Mood = calm
    refuses: Set[int] = frozenset()  # shares
    reads: int = 0
    sizes: list[int] = field(factory=list)  # of shares that were asked for, in bytes
    advice: list[tuple[int, str]] = field(factory=list)

    async def available_space(self) -> int:
        await self.mood("available_space", -1)
        return await DiskServer.available_space(self)

    async def allocate(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        shares: Set[int],
        size: int,
        open_ended: bool = False,
    ) -> Allocation:
        self.sizes.append(size)
        await self.mood("allocate", -1)
        answer = await DiskServer.allocate(
            self, storage_index, secrets, shares - self.refuses, size, open_ended
        )
        return Allocation(
            answer.already,
            {n: MoodyWriter(self, n, writer) for n, writer in answer.writers.items()},
        )

    async def buckets(self, storage_index: bytes) -> Mapping[int, IShareReader]:
        await self.mood("buckets", -1)
        found = await DiskServer.buckets(self, storage_index)
        return {number: MoodyReader(self, number, each) for number, each in found.items()}

    async def add_lease(self, storage_index: bytes, secrets: LeaseSecrets) -> None:
        await self.mood("add_lease", -1)
        await DiskServer.add_lease(self, storage_index, secrets)

    async def advise_corrupt(self, storage_index: bytes, share: int, reason: str) -> None:
        self.advice.append((share, reason))
        await self.mood("advise_corrupt", share)
        await DiskServer.advise_corrupt(self, storage_index, share, reason)


@define(eq=False, kw_only=True)
class SizedServer(MoodyServer):
    """Takes no share whose size is not known yet, like servers over HTTPS."""

    takes_open_ends: ClassVar[bool] = False

    async def allocate(
        self,
        storage_index: bytes,
        secrets: LeaseSecrets,
        shares: Set[int],
        size: int,
        open_ended: bool = False,
    ) -> Allocation:
        if open_ended:
            raise NeedsKnownSize(self.name)
        return await MoodyServer.allocate(self, storage_index, secrets, shares, size)


def new_server(
    path: Path,
    disk: Workers,
    number: int = 0,
    reserved_space: int = 0,
    kind: type[MoodyServer] = MoodyServer,
) -> MoodyServer:
    """Return a started server on *path*; *number* is its identity."""
    path.mkdir(parents=True, exist_ok=True)
    server = kind(
        name=f"server {number}",
        permutation_seed=b"%020d" % number,
        lease_seed=b"%020d" % number,
        directory=ShareDirectory(path),
        disk=disk,
        now=lambda: NOW,
        reserved_space=reserved_space,
    )
    server.start()
    return server


@define(eq=False)
class Grid:
    """Servers and all that stands on them to store and read files."""

    root: Path
    cpu: Workers
    disk: Workers
    servers: list[MoodyServer]
    encoding: Encoding
    happy: int
    max_size: int = 1 << 30
    max_unknown_size: int | None = None  # none but max_size
    convergence: bytes = CONVERGENCE
    spool_limit: int = 1 << 30
    budget: Budget = field(factory=lambda: Budget(64 << 20))
    selector: Selector = field(init=False)
    journal: Journal = field(init=False)
    sinks: GridSinks = field(init=False)
    uploader: Uploader = field(init=False)
    cache: CacheLimits = field(factory=lambda: CacheLimits(0))
    reading_budget: int = 64 << 20
    takers: list[MoodyServer] | None = None  # who may be given shares; None: all
    downloads: Downloads = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.selector = Selector(
            lambda: self.servers,
            lambda: self.servers if self.takers is None else self.takers,
            LEASE_SECRET,
            self.happy,
            REACTOR,
        )
        self.journal = Journal(self.root / "journal", self.disk)
        self.journal.start(self.servers)
        self.sinks = GridSinks(
            self.encoding,
            self.selector,
            self.journal,
            self.cpu,
            self.budget,
            REACTOR,
        )
        spool = self.root / "spool"
        spool.mkdir(exist_ok=True)
        self.uploader = Uploader(
            self.encoding,
            self.sinks,
            self.convergence,
            self.cpu,
            self.disk,
            str(spool),
            self.budget,
            os.urandom,
            REACTOR,
            UploadLimits(
                max_size=self.max_size,
                max_unknown_size=self.max_unknown_size or self.max_size,
                spool=self.spool_limit,
            ),
        )
        self.downloads = build_downloads(
            NodeDirectory(self.root),
            self.cache,
            self.reading_budget,
            self.selector.find,
            self.cpu,
            self.disk,
            REACTOR,
        )

    @classmethod
    def new(
        cls,
        case: SynchronousTestCase,
        encoding: Encoding | None = None,
        servers: int = 3,
        happy: int = 1,
        watch: Callable[[], None] = lambda: None,
        sized: int = 0,
        **options: object,
    ) -> Grid:
        """
        Return a grid that lives as long as the test; *watch* hears of all its jobs.

        The first *sized* servers take no open ends.
        """
        root = new_directory(case)
        cpu, disk = new_workers(case, 2, watch), new_workers(case, 4, watch)
        kinds = [SizedServer] * sized + [MoodyServer] * (servers - sized)
        all_servers = [
            new_server(root / f"s{number}", disk, number, kind=kind)
            for number, kind in enumerate(kinds)
        ]
        shape = encoding or Encoding(2, 3, 64)
        grid = cls(root, cpu, disk, all_servers, shape, happy, **options)  # type: ignore[arg-type]
        case.addCleanup(grid.downloads.stop)
        return grid

    @property
    def downloader(self) -> Downloader:
        """What reads its files."""
        return self.downloads.downloader

    def forget_files(self) -> None:
        """Know nothing more of the shares that were read: others come in their places."""
        self.downloads.files.stop()

    async def read(self, cap: ChkReadCap, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes of a file from *start* to *end*."""
        end = cap.size if end is None else end
        return await (await self.downloader.open(cap)).read(start, end).rest()

    @property
    def files(self) -> list[Path]:
        """All files there are: shares, incoming ones, notes and spools."""
        # A helper notes since when the machine runs, which is not of any upload.
        return [path for path in files_below(self.root) if path.name != "boot"]

    def shares(self, storage_index: bytes) -> dict[int, list[int]]:
        """Return the servers, by their place, that have each finished share."""
        found: dict[int, list[int]] = {}
        for place, server in enumerate(self.servers):
            for share in server.directory.shares(storage_index):
                found.setdefault(share, []).append(place)
        return found


# Shares without servers


@frozen(eq=False)
class MadeFile:
    """A file, its cap and all its shares, made with the codec alone."""

    plaintext: bytes = field(repr=False)
    cap: ChkReadCap
    shares: list[bytes] = field(repr=False)
    layout: ShareLayout
    crypttext_tree: bytes = field(repr=False)


def make_file(
    plaintext: bytes, key: bytes, encoding: Encoding, streamed: bool = False
) -> MadeFile:
    """Return *plaintext* as the shares of a sized or a *streamed* file."""
    k, n = encoding.needed, encoding.total
    size = (
        encoding.streaming_segment_size
        if streamed
        else encoding.geometry(len(plaintext)).segment_size
    )
    encoder = FileEncoder(storage_index_of(key), k, n)
    data = [bytearray() for _ in range(n)]
    for start in range(0, len(plaintext), size):
        segment = crypt(key, start, plaintext[start : start + size])
        encoded = encode_segment(segment, k, n)
        encoder.absorb(segment, encoded)
        for number, block in enumerate(encoded.blocks):
            data[number] += block
    file = encoder.finish(size)
    layout = (ShareLayout.streamed if streamed else ShareLayout.stock)(file.geometry)
    shares = [
        b"".join(
            [
                layout.pack_header(),
                data[number],
                bytes(layout.plaintext_tree_size),
                *file.trailer(number, layout),
            ]
        )
        for number in range(n)
    ]
    cap = file.verify_cap.read_cap(key)
    return MadeFile(plaintext, cap, shares, layout, file.crypttext_tree)


def container_of(share: bytes) -> bytes:
    """Return the file in which a server keeps *share*, with no lease."""
    return pack(">LLL", 2, len(share), 0) + share


def put_share(server: DiskServer, storage_index: bytes, number: int, share: bytes) -> Path:
    """Have a finished share on *server* that nobody uploaded."""
    home = server.directory.home(storage_index)
    home.mkdir(parents=True, exist_ok=True)
    path = home / str(number)
    path.write_bytes(container_of(share))
    return path
