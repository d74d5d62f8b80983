"""Log-ins that were right a moment ago."""

from __future__ import annotations

from threading import Event

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.accounts.examples import ROOT, write_accounts
from tests.grids import new_directory, new_workers
from truckee.accounts import accounts as module
from truckee.accounts import remembered
from truckee.accounts.account import Account
from truckee.accounts.accounts import Accounts
from truckee.accounts.errors import TooManyFailures, WrongLogin
from truckee.accounts.remembered import IDLE, RememberedLogins
from truckee.flow.together import together
from truckee.status.problems import Problems


class RememberedTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.path = new_directory(self) / "accounts"
        problems = Problems(self.clock.seconds)
        accounts = Accounts.at(self.path, new_workers(self), self.clock, problems)
        self.logins = RememberedLogins.of(accounts, self.clock, lambda n: b"k" * n)
        write_accounts(self.path, f"alice right {ROOT}", f"a:b c {ROOT}")
        self.compared = 0

        def matches(password: str, stored: str, other: str) -> bool:
            self.compared += 1
            return password == stored

        self.patch(module, "matches", matches)

    async def log_in(self, name: str = "alice", password: str = "right") -> Account:
        return await self.logins.log_in(name, password, "10.0.0.1")

    async def test_once(self) -> None:
        """A password that was right is compared again after an hour without a request."""
        for _ in range(20):
            self.assertEqual((await self.log_in()).name, "alice")
            self.clock.advance(IDLE - 1)
        self.assertEqual(self.compared, 1)
        self.clock.advance(1)
        await self.log_in()
        self.assertEqual(self.compared, 2)
        # A clock that is set back makes nothing last longer.
        self.clock.rightNow = 0
        await self.log_in()
        self.assertEqual(self.compared, 3)

    async def test_wrong(self) -> None:
        """A wrong password is compared each time, and counts as before."""
        await self.log_in()
        for _ in range(10):
            with self.assertRaises(WrongLogin):
                await self.log_in(password="wrong")
        with self.assertRaises(TooManyFailures):
            await self.log_in(password="wrong")
        self.assertEqual((await self.log_in()).name, "alice")
        self.assertEqual(self.compared, 11)
        with self.assertRaises(WrongLogin):
            await self.log_in("a", "b:c")

    async def test_changed(self) -> None:
        """After a change of its account a log-in counts no more."""
        await self.log_in()
        write_accounts(self.path, f"alice new {ROOT}")
        with self.assertRaises(WrongLogin):
            await self.log_in()
        write_accounts(self.path, f"alice right {ROOT.read_cap()}")
        self.assertTrue((await self.log_in()).read_only)
        self.path.unlink()
        with self.assertRaises(WrongLogin):
            await self.log_in()
        self.assertEqual(len(self.logins), 0)

    async def test_at_once(self) -> None:
        """Equal log-ins at the same time are one, and fail as one."""
        gate = Event()

        def slow(password: str, stored: str, other: str) -> bool:
            self.compared += 1
            gate.wait(60)
            return password == stored

        self.patch(module, "matches", slow)
        self.addCleanup(gate.set)
        first = Deferred.fromCoroutine(self.log_in())
        rest = [Deferred.fromCoroutine(self.log_in()) for _ in range(30)]
        wrong = [Deferred.fromCoroutine(self.log_in(password="x")) for _ in range(30)]
        first.addErrback(lambda _: None)
        first.cancel()
        gate.set()
        for each in rest:
            self.assertEqual((await each).name, "alice")
        for each in wrong:
            await self.assertFailure(each, WrongLogin)
        self.assertEqual(self.compared, 2)

    async def test_bounded(self) -> None:
        """Not more than so many are remembered, and no password is shown."""
        self.patch(remembered, "MOST", 3)
        names = [f"n{number}" for number in range(10)]
        write_accounts(self.path, *(f"{name} s3cret {ROOT}" for name in names))
        await together(self.log_in(name, "s3cret") for name in names)
        self.assertEqual(len(self.logins), 3)
        self.assertNotIn("s3cret", repr(self.logins) + repr(self.logins._logins))
