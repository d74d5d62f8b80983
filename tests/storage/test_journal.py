"""Shares that are shown together, whenever the process dies."""

from __future__ import annotations

import contextlib
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import blockingCallFromThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import (
    REACTOR,
    SECRETS,
    MoodyServer,
    files_below,
    new_directory,
    new_server,
    new_small_disk,
    new_workers,
)
from truckee.codec import base32
from truckee.flow.cpu import Workers
from truckee.flow.durable import DRAFT, remove_durably
from truckee.storage import journal as steps
from truckee.storage.interfaces import IShareWriter, NoSpace
from truckee.storage.journal import Journal

INDEX = b"i" * 16


class StepTests(SynchronousTestCase):
    """What a dead process left is put right at the next start."""

    def setUp(self) -> None:
        self.root = new_directory(self)
        self.disk = new_workers(self)
        self.servers = [
            new_server(self.root / name, self.disk, number)
            for number, name in enumerate("xyz")
        ]
        self.journal = Journal(self.root / "journal", self.disk)
        self.journal.start(self.servers)
        self.note = self.journal.directory / "n"
        self.noted = [
            steps._Noted(base32.encode(server.lease_seed), base32.encode(INDEX), share)
            for share, server in enumerate(self.servers)
        ]
        self.shares = [self.path(share) for share in range(3)]

    def path(self, share: int, server: int | None = None) -> Path:
        directory = self.servers[share if server is None else server].directory
        return directory.home(INDEX) / str(share)

    def show(self, share: Path) -> None:
        share.parent.mkdir(parents=True, exist_ok=True)
        share.write_bytes(b"share")

    def restart(self, *away: int) -> None:
        here = [each for number, each in enumerate(self.servers) if number not in away]
        Journal(self.journal.directory, self.journal._disk).start(here)

    def test_start_makes_the_directory(self) -> None:
        """The first start makes the directory; a second one finds it."""
        self.assertTrue(self.journal.directory.is_dir())
        self.restart()

    def test_death_while_shown(self) -> None:
        """Killed after any number of shares was shown, none of them is left."""
        for shown in range(len(self.shares) + 1):
            steps._write(self.note, self.noted)
            for share in self.shares[:shown]:
                self.show(share)
            self.restart()
            self.assertEqual(files_below(self.root), [])

    def test_death_before_the_note(self) -> None:
        """Killed while the note is written, nothing is removed but the half note."""
        self.show(self.shares[0])
        draft = self.note.with_suffix(DRAFT)
        draft.write_text(str(self.noted[0])[:9])
        self.restart()
        self.assertEqual(files_below(self.root), [self.shares[0]])

    def test_death_after_the_end(self) -> None:
        """Killed when the note was struck out, the shares stay."""
        steps._write(self.note, self.noted)
        for share in self.shares:
            self.show(share)
        remove_durably(self.note)
        self.restart()
        self.assertEqual(files_below(self.root), sorted(self.shares))

    def test_death_while_removing(self) -> None:
        """Killed while removing, the next start goes on with it."""
        for removed in range(len(self.shares) + 1):
            steps._write(self.note, self.noted)
            for share in self.shares[removed:]:
                self.show(share)
            self.restart()
            self.assertEqual(files_below(self.root), [])

    def test_other_shares_stay(self) -> None:
        """Shares that are not noted stay, of the same file and of other servers."""
        steps._write(self.note, self.noted)
        self.show(self.shares[0])
        others = [self.path(1, 0), self.path(0, 1)]
        for other in others:
            self.show(other)
        self.restart()
        self.assertEqual(files_below(self.root), sorted(others))

    def test_disk_away(self) -> None:
        """While a disk is away its part of the note is kept, and done when it is back."""
        steps._write(self.note, self.noted)
        for share in self.shares:
            self.show(share)
        self.restart(1)
        self.assertEqual(files_below(self.root / "y"), [self.shares[1]])
        self.restart(1)
        self.restart()
        self.assertEqual(files_below(self.root), [])

    def test_disk_elsewhere(self) -> None:
        """A disk that is mounted elsewhere by then is known by its identity."""
        steps._write(self.note, self.noted)
        for share in self.shares:
            self.show(share)
        (self.root / "x").rename(self.root / "w")
        self.servers[0] = new_server(self.root / "w", self.disk, 0)
        self.restart()
        self.assertEqual(files_below(self.root), [])

    def test_two_notes(self) -> None:
        """All uploads that were being shown are removed."""
        for number, share in enumerate(self.shares):
            steps._write(self.journal.directory / str(number), [self.noted[number]])
            self.show(share)
        self.restart()
        self.assertEqual(files_below(self.root), [])


class ShowingTests(TestCase):
    timeout = 120
    showing: Deferred[None]

    def setUp(self) -> None:
        self.root = new_directory(self)
        self.jobs = 0
        self.cancel_at = 0
        self.disk: Workers = new_workers(self, watch=self.watch)
        self.servers = [
            new_server(self.root / name, self.disk, number)
            for number, name in enumerate("xyz")
        ]
        self.journal = Journal(self.root / "journal", self.disk)
        self.journal.start(self.servers)

    def watch(self) -> None:
        self.jobs += 1
        if self.jobs == self.cancel_at:
            # The event loop comes to it when it is this step's, a fast job before.
            blockingCallFromThread(REACTOR, lambda: self.showing.cancel())

    async def writers(self) -> list[IShareWriter]:
        """Return a writer on each server."""
        found = []
        for number, server in enumerate(self.servers):
            answer = await server.allocate(INDEX, SECRETS, {number}, 4)
            writer = answer.writers[number]
            await writer.write(0, [b"data"])
            found.append(writer)
        return found

    async def show(self, writers: list[IShareWriter], error: Exception | None) -> None:
        """Show all shares, and then fail if told so."""
        placed: dict[int, MoodyServer] = dict(enumerate(self.servers))
        async with self.journal.showing(INDEX, placed):
            for writer in writers:
                await writer.close(4)
            if error is not None:
                raise error

    @property
    def shares(self) -> list[Path]:
        """What stands in the storage directories."""
        return files_below(*(server.directory.root for server in self.servers))

    async def test_good_end(self) -> None:
        """When all went well the shares stay and no note is left."""
        await self.show(await self.writers(), None)
        self.assertEqual(len(self.shares), 3)
        self.assertEqual(files_below(self.journal.directory), [])
        self.journal.start(self.servers)
        self.assertEqual(len(self.shares), 3)

    async def test_failure(self) -> None:
        """When something fails, all that was shown is removed; the error is the same."""
        with self.assertRaises(KeyError):
            await self.show(await self.writers(), KeyError("oops"))
        self.assertEqual(files_below(self.root), [])

    async def test_no_servers_of_ours(self) -> None:
        """Without shares on our own disks nothing is noted."""
        async with self.journal.showing(INDEX, {}):
            self.assertEqual(files_below(self.journal.directory), [])

    async def test_note_is_there_while_shown(self) -> None:
        """The note is on the disk before the first share is shown."""
        async with self.journal.showing(INDEX, dict(enumerate(self.servers))):
            (note,) = files_below(self.journal.directory)
            expected = [
                f"{base32.encode(server.lease_seed)} {base32.encode(INDEX)} {share}"
                for share, server in enumerate(self.servers)
            ]
            self.assertEqual(note.read_text().splitlines(), expected)

    async def test_cancelled_in_every_job(self) -> None:
        """
        Cancelled at any time, nothing is left, and no note that would later take away what
        somebody else stored there.
        """
        cancelled = 0
        for step in range(1, 100):
            writers = await self.writers()
            self.jobs, self.cancel_at = 0, step
            self.showing = Deferred.fromCoroutine(self.show(writers, None))
            try:
                await self.showing
            except CancelledError:
                cancelled += 1
                for writer in writers:
                    await writer.abort()
                self.assertEqual(files_below(self.root), [])
            else:
                break
        self.assertEqual(cancelled, 5)  # note, three shares, strike

    async def test_full_disk(self) -> None:
        """A note for which there is no space is NoSpace; nothing was shown or is left."""
        self.journal = Journal(new_small_disk(self, 1 << 20) / "journal", self.disk)
        self.journal.start(self.servers)
        writers = await self.writers()
        filler = self.journal.directory.parent / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with self.assertRaises(NoSpace):
            await self.show(writers, None)
        for writer in writers:
            await writer.abort()
        self.assertEqual(files_below(self.journal.directory), [])
        self.assertEqual(self.shares, [])
