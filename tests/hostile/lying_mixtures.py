"""
Grids in which up to N - k servers lie, each in several ways that are drawn by a seed.

Whatever they say, an upload ends with an error, or with a cap of which the honest servers
alone give the file back.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, Grid, in_chunks, make_file, pause
from tests.hostile.test_lying_servers import (
    BLOCK_LIES,
    NAMELESS_LIES,
    READ_LIES,
    WRITE_LIES,
    Lie,
    Member,
    claiming,
    saying,
    writing,
)
from tests.storage.liars import READER, SERVER, WRITER, Lair, Liar, never, raises
from tests.storage.test_foolscap_client import new_client
from truckee.codec.caps import ChkReadCap
from truckee.codec.geometry import Encoding
from truckee.errors import TruckeeError
from truckee.immutable.check import Checker
from truckee.immutable.repair import Repairer
from truckee.immutable.upload.keys import ConvergentKey, GivenKey, KeyChoice, RandomKey
from truckee.immutable.upload.options import UploadOptions
from truckee.immutable.upload.status import UploadStatus
from truckee.storage.foolscap_client import FoolscapServer
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.limited import LimitedServer, Patience

SERVERS = 10
SIZE = 40_000  # bytes, of 14 segments
# Long for an honest server on a busy machine, and short enough to wait for.
PATIENCE = Patience(6.0, 6.0, 6.0)


# More lies than one that is told alone.


def dropping(honest: FoolscapStorage) -> dict[str, Any]:
    """Accept everything and keep nothing."""
    return writing(write=None, close=None)(honest)


def corrupting(honest: FoolscapStorage) -> dict[str, Any]:
    """Keep other bytes than were sent."""

    def allocate(*arguments: object) -> Deferred[Any]:
        return Deferred.fromCoroutine(_corrupted(honest, arguments))

    return {"allocate_buckets": allocate}


async def _corrupted(honest: Any, arguments: tuple[object, ...]) -> object:
    def write(writer: Any, offset: int, data: bytes) -> Any:
        return writer.remote_write(offset, bytes(each ^ 0x55 for each in data))

    already, writers = await honest.remote_allocate_buckets(*arguments)
    return already, {
        share: Liar(WRITER, {"write": partial(write, writer)}, writer)
        for share, writer in writers.items()
    }


def more_writers(_: FoolscapStorage) -> dict[str, Any]:
    """Have writers for shares that nobody asked for, which keep nothing."""
    writers = {n: Liar(WRITER, {"write": None, "close": None}) for n in range(SERVERS)}
    return {"allocate_buckets": (set(range(3)), writers)}


def claiming_shares(shares: Mapping[int, bytes]) -> Lie:
    """Have these shares, whatever they are."""

    def read(share: bytes, offset: int, length: int) -> bytes:
        return share[offset : offset + length]

    found = {n: Liar(READER, {"read": partial(read, each)}) for n, each in shares.items()}
    return saying("get_buckets", found)


def of_another_file(encoding: Encoding, seed: int) -> Lie:
    """Have all shares of a file of the same size, each of them whole."""
    chance = random.Random(seed)
    file = make_file(chance.randbytes(SIZE), chance.randbytes(16), encoding)
    return claiming_shares(dict(enumerate(file.shares)))


def of_other_numbers(honest: Any) -> dict[str, Any]:
    """Give one share for every number."""

    async def buckets(index: bytes) -> object:
        found = await honest.remote_get_buckets(index)
        reader = next(iter(found.values()), None)
        return dict.fromkeys(range(SERVERS), reader) if reader else {}

    return {"get_buckets": lambda index: Deferred.fromCoroutine(buckets(index))}


LIES: dict[str, Lie] = {
    **WRITE_LIES,
    **{f"read {what}": lie for what, (lie, _) in READ_LIES.items()},
    **{f"read {what}": lie for what, lie in BLOCK_LIES.items()},
    **{f"nameless {what}": lie for what, lie in NAMELESS_LIES.items()},
    "drops": dropping,
    "corrupts": corrupting,
    "more writers": more_writers,
    "closes nothing": writing(close=None),
    "other numbers": of_other_numbers,
    "no answer to reads": claiming(never, *range(SERVERS)),
    "failing version": saying("get_version", raises),
    "no leases": saying("add_lease", raises),
    "no answer to leases": saying("add_lease", never),
    "no advice": saying("advise_corrupt_share", raises),
}


@define(eq=False)
class Mixture:
    """One grid, and the lies that are told in it."""

    case: TestCase
    seed: int
    chance: random.Random = field(init=False)
    encoding: Encoding = field(init=False)
    happy: int = field(init=False)
    grid: Grid = field(init=False)
    members: list[Member] = field(factory=list, init=False)
    lies: list[str] = field(factory=list, init=False)
    liars: list[Member] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        needed = self.chance.choice([2, 3, 3, 5, 7])
        self.encoding = Encoding(needed, SERVERS, 3000)
        self.happy = self.chance.randint(needed, max(needed, 7))

    async def set_up(self) -> None:
        """Connect to ten servers."""
        self.grid = Grid.new(self.case, self.encoding, servers=SERVERS, happy=self.happy)
        lair, client = Lair.new(self.case), new_client(self.case)
        for number, disk in enumerate(self.grid.servers):
            voice = Liar(SERVER, honest=FoolscapStorage(disk, Clock()))
            self.members.append(Member(disk, voice))
            server: FoolscapServer = await client.connect(lair.furl(voice))
            server.name = disk.name
            server.permutation_seed = disk.permutation_seed
            server.lease_seed = disk.lease_seed
            limited = LimitedServer(server, REACTOR, PATIENCE)
            self.grid.servers[number] = limited  # type: ignore[call-overload]

    def lie(self) -> None:
        """Have up to N - k servers lie from now on."""
        spare = self.encoding.total - self.encoding.needed
        self.liars = self.chance.sample(self.members, self.chance.randint(1, spare))
        all_lies = {
            **LIES,
            "another file": of_another_file(self.encoding, self.seed),
        }
        shared = self.chance.random() < 0.3 and self.chance.choice(sorted(all_lies))
        for liar in self.liars:
            told = [shared] if shared else self.chance.sample(sorted(all_lies), 2)
            for each in told:
                liar.tell(all_lies[each])
            self.lies.append(f"{liar.disk.name}: {' and '.join(told)}")

    def leave(self) -> None:
        """Have the liars gone."""
        gone = {liar.disk.name for liar in self.liars}
        left = [each for each in self.grid.servers if each.name not in gone]
        self.grid.servers[:] = left
        self.grid.forget_files()

    @property
    def honest(self) -> set[str]:
        """The names of the others."""
        names = {member.disk.name for member in self.members}
        return names - {liar.disk.name for liar in self.liars}

    async def run(self) -> str:
        """Return what came of it in a word; the test fails where it must not."""
        await self.set_up()
        data = self.chance.randbytes(SIZE)
        work: Callable[[bytes], Any] = self.chance.choice(
            [self.fresh, self.fresh, self.again, self.given, self.repaired]
        )
        what = await work(data)
        for liar in self.liars:
            liar.be_honest()
        await pause()
        self.case.flushLoggedErrors()
        return f"{work.__name__}: {what}"

    async def store(self, data: bytes, choice: KeyChoice) -> str:
        """Store *data* and check what the honest servers have of it."""
        size = self.chance.choice([SIZE, None])
        status = UploadStatus()
        try:
            cap = await self.grid.uploader.upload(
                in_chunks(data, 5000), UploadOptions(choice, size), status
            )
        except TruckeeError as error:
            return f"refused ({type(error).__name__})"
        assert isinstance(cap, ChkReadCap)
        return await self.check(cap, data, {lost.server for lost in status.lost})

    async def check(self, cap: ChkReadCap, data: bytes, failed: set[str]) -> str:
        """Check that a file can be read, and from the honest servers alone."""
        what = f"seed {self.seed}, {self.encoding}, {self.lies}"
        self.case.assertTrue(await self.grid.read(cap) == data, what)
        if failed & self.honest:
            return "stored, though honest servers were slow"
        self.leave()
        try:
            found = await self.grid.read(cap)
        except TruckeeError as error:
            self.case.fail(f"{what}: {error}")
        self.case.assertTrue(found == data, what)
        return "stored"

    async def fresh(self, data: bytes) -> str:
        """Store a new file."""
        self.lie()
        return await self.store(data, RandomKey())

    async def again(self, data: bytes) -> str:
        """Store a file of which some honest servers have lost their shares."""
        choice = ConvergentKey()
        cap = await self.grid.uploader.upload(
            in_chunks(data, 5000), UploadOptions(choice, SIZE)
        )
        assert isinstance(cap, ChkReadCap)
        for member in self.chance.sample(self.members, 5):
            shutil.rmtree(member.disk.directory.home(cap.storage_index))
        self.lie()
        return await self.store(data, choice)

    async def given(self, data: bytes) -> str:
        """Store a file under a key that somebody chose."""
        self.lie()
        return await self.store(data, GivenKey(self.chance.randbytes(16)))

    async def repaired(self, data: bytes) -> str:
        """Repair a file of which some servers have lost their shares."""
        cap = await self.grid.uploader.upload(
            in_chunks(data, 5000), UploadOptions(RandomKey(), SIZE)
        )
        assert isinstance(cap, ChkReadCap)
        spare = self.encoding.total - self.encoding.needed
        self.lie()
        others = [each for each in self.members if each not in self.liars]
        for member in self.chance.sample(others, min(len(others), spare - len(self.liars))):
            shutil.rmtree(member.disk.directory.home(cap.storage_index))
        grid = self.grid
        checker = Checker(grid.selector, grid.cpu, grid.budget)
        repairer = Repairer(
            checker, grid.selector, grid.journal, grid.cpu, grid.budget, REACTOR
        )
        try:
            report = await repairer.check_and_repair(cap.verify_cap())
        except TruckeeError as error:
            return f"refused ({type(error).__name__})"
        if not (report.successful or report.before.healthy):
            return "not repaired in full"
        return await self.check(cap, data, set())
