"""Listings: which names they have, how many at a time, and when they are forgotten."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.frontends.sftp.client import CREATE, WRITE, Place, sleep
from tests.tree.tree_grid import HELLO, given
from truckee.codec import directory_name
from truckee.frontends.sftp.errors import ListingExpired
from truckee.frontends.sftp.listing import Listing
from truckee.frontends.sftp.view import View
from truckee.frontends.sftp.wire import MAX_STRING, Fields
from truckee.tree.links import Links


class ListingTests(TestCase):
    timeout = 60
    place: Place
    view: View

    async def setUp(self) -> None:  # type: ignore[override]
        self.place = await Place.new(self)
        self.client = self.place.connect()
        self.view = self.client.session.files.view
        self.clock = Clock()

    async def link(self, names: Iterable[str]) -> None:
        """Link a file under each name."""
        links = Links(self.place.tree.directories)
        await links.set(self.place.root, {name: given(HELLO) for name in names})
        self.view.seen.changed()

    async def open(self) -> Listing:
        """Return a listing of the directory."""
        listing = await Listing.open(self.view, (), self.clock)
        self.addCleanup(listing.close)
        return listing

    async def names(self, listing: Listing) -> list[str]:
        """Return the names that are left to tell."""
        found = list[str]()
        while entries := await listing.next():
            found += [Fields(each).string().decode() for each in entries]
        return found

    @property
    def held(self) -> int:
        """Bytes of tables that are in memory for listings."""
        return self.place.tree.directories._listed.used

    async def test_names(self) -> None:
        """First the two that every directory has, then all others in order."""
        await self.link(["b", "a", "\u00fc"])
        names = await self.names(await self.open())
        self.assertEqual(names, [".", "..", "a", "b", "\u00fc"])

    async def test_no_paths(self) -> None:
        """Names that would lead elsewhere, or that no client could send, are left out."""
        self.patch(directory_name, "LONGEST", 2 * MAX_STRING)  # as in others' gateways
        longest = "n" * (MAX_STRING - 1)
        odd = ["..", ".", "a/b", "/", "nul\0", f"{longest}n"]
        await self.link([*odd, longest, "good"])
        names = await self.names(await self.open())
        self.assertEqual([each[:5] for each in names], [".", "..", "good", "nnnnn"])
        self.assertEqual(len(names[-1]), len(longest))

    async def test_pieces(self) -> None:
        """An answer has at most 128 KiB, and no name is left out or told twice."""
        wanted = [f"{number:03} {'n' * 2000}" for number in range(250)]
        await self.link(wanted)
        listing, sizes, names = await self.open(), [], list[str]()
        while entries := await listing.next():
            sizes.append(sum(map(len, entries)))
            names += [Fields(each).string().decode() for each in entries]
        self.assertEqual(names, [".", "..", *wanted])
        self.assertGreater(len(sizes), 5)
        self.assertLessEqual(max(sizes), 128 << 10)

    async def test_being_written(self) -> None:
        """What this session writes is there before it is linked, and once."""
        await self.link(["old"])
        await self.client.open(b"/new", WRITE | CREATE)
        await self.client.open(b"/old", WRITE)
        names = await self.names(await self.open())
        self.assertEqual(names, [".", "..", "new", "old"])

    async def test_as_it_was(self) -> None:
        """What changes while it is listed does not show."""
        await self.link(["a"])
        listing = await self.open()
        await self.link(["b"])
        self.assertEqual(await self.names(listing), [".", "..", "a"])

    async def test_end(self) -> None:
        """At its end, or when it is closed, its table is not held any longer."""
        await self.link(["a"])
        one, two = await self.open(), await self.open()
        self.assertGreater(self.held, 0)
        await self.names(one)
        self.assertEqual(await one.next(), [])
        await two.close()
        self.assertEqual(self.held, 0)
        await one.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_forgotten(self) -> None:
        """One that nobody goes on with for 5 minutes is no more, and says so."""
        await self.link(f"{number} {'n' * 2000}" for number in range(100))
        one, two = await self.open(), await self.open()
        self.clock.advance(299)
        await one.next()
        self.clock.advance(1)
        with self.assertRaises(ListingExpired):
            await two.next()
        self.assertNotEqual(await one.next(), [])
        self.clock.advance(300)
        await sleep(0)
        self.assertEqual(self.held, 0)
