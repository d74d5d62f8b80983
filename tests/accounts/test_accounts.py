"""Who logs in."""

from __future__ import annotations

from threading import Event

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.accounts.examples import (
    ED25519,
    HASH,
    OTHER,
    PASSWORD,
    READ,
    ROOT,
    RSA,
    blob_of,
    write_accounts,
)
from tests.grids import new_directory, new_workers, until
from truckee.accounts import accounts as module
from truckee.accounts.account import Account
from truckee.accounts.accounts import MAX_WAITING, Accounts
from truckee.accounts.errors import LoginsBusy, TooManyFailures, WrongLogin
from truckee.accounts.files import AccountFiles, Found
from truckee.flow.together import together
from truckee.status.problems import Problems

HOME = "10.0.0.1"


class AccountsTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.clock = Clock()
        self.problems = Problems(self.clock.seconds)
        path = new_directory(self) / "accounts"
        workers = new_workers(self)
        self.accounts = Accounts.at(path, workers, self.clock, self.problems)
        self.path, self.beside = path, self.accounts.files.beside
        write_accounts(path, f"alice {RSA} {ROOT}", f"carol plain {ROOT}")
        write_accounts(self.beside, f"alice {HASH} {ROOT}", f"bob {HASH} {READ}")

    async def log_in(self, name: str, password: str, where: str = HOME) -> Account:
        return await self.accounts.by_password(name, password, where)

    async def test_by_password(self) -> None:
        """A name and its password give the account, from either file."""
        self.assertEqual(
            [
                ((await self.log_in(name, password)).name)
                for name, password in (("alice", PASSWORD), ("carol", "plain"))
            ],
            ["alice", "carol"],
        )
        bob = await self.log_in("bob", PASSWORD)
        self.assertEqual((bob.root, bob.read_only), (str(READ), True))

    async def test_wrong(self) -> None:
        """A wrong password and a name that does not exist are refused alike."""
        for name, password in (("alice", "x"), ("nobody", PASSWORD), ("bob", ""), ("", "")):
            error = await self.assertFailure(
                Deferred.fromCoroutine(self.log_in(name, password)), WrongLogin
            )
            self.assertEqual(str(error), "The name or the password is wrong.")

    async def test_by_key(self) -> None:
        """A public key gives the account it is listed for, and no other one."""
        blob = blob_of("ssh-rsa", b"r" * 260)
        found = self.accounts.by_key("alice", blob)
        assert found is not None
        self.assertEqual(found.name, "alice")
        self.assertIsNone(self.accounts.by_key("bob", blob))
        self.assertIsNone(self.accounts.by_key("nobody", blob))
        self.assertIsNone(self.accounts.by_key("alice", blob_of("ssh-ed25519")))
        self.assertIsNone(self.accounts.by_key("alice", b""))

    async def test_reloaded(self) -> None:
        """A change of the file counts from the next question on."""
        self.assertTrue(self.accounts.exist)
        write_accounts(self.path, f"alice {ED25519} {OTHER}")
        self.beside.unlink()
        found = self.accounts.by_key("alice", blob_of("ssh-ed25519"))
        assert found is not None
        self.assertEqual(found.root, str(OTHER))
        await self.assertFailure(
            Deferred.fromCoroutine(self.log_in("bob", PASSWORD)), WrongLogin
        )
        self.path.unlink()
        self.assertFalse(self.accounts.exist)
        self.assertIsNone(self.accounts.find("alice"))

    async def test_read_once(self) -> None:
        """A file that has not changed is not read again."""
        reads: list[int] = []
        read = AccountFiles.read

        def note(files: AccountFiles) -> Found:
            reads.append(1)
            return read(files)

        self.patch(AccountFiles, "read", note)
        for _ in range(5):
            self.accounts.find("alice")
        self.assertEqual(len(reads), 1)

    async def test_problems(self) -> None:
        """What cannot be used is a problem of the node until it is repaired; no secret
        of the file is in it, in the log, or in what is shown of the accounts."""
        events: list[str] = []

        @implementer(ILogObserver)
        def note(event: LogEvent) -> None:
            events.append(repr(event))

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        write_accounts(self.path, f"alice s3cret s3cret {ROOT}", f"dora s3cret {ROOT}")
        self.assertIsNotNone(self.accounts.find("dora"))
        [problem] = self.problems
        self.assertEqual(
            problem.text,
            "accounts, line 1 is not used: it has more than three words and no key.",
        )
        with self.assertRaises(WrongLogin):
            await self.log_in("dora", "s3cret ")
        for secret in ("s3cret", str(ROOT), HASH):
            self.assertNotIn(secret, repr((events, problem, self.accounts)))
        write_accounts(self.path, f"dora s3cret {ROOT}")
        self.accounts.find("dora")
        self.assertEqual(list(self.problems), [])

    async def test_failures(self) -> None:
        """After ten failures a name waits, also with the right password; then it may."""
        for n in range(10):
            with self.assertRaises(WrongLogin):
                await self.log_in("carol", "guess", f"10.0.1.{n}")
        with self.assertRaises(TooManyFailures) as caught:
            await self.log_in("carol", "plain")
        self.assertEqual(caught.exception.seconds, 30)
        self.assertIn("Try again in 30 seconds.", str(caught.exception))
        self.clock.advance(30)
        self.assertEqual((await self.log_in("carol", "plain")).name, "carol")

    async def test_failures_at_once(self) -> None:
        """Guesses that are made at the same time count as those made in turns."""

        async def guess() -> type[Exception]:
            try:
                await self.log_in("carol", "guess")
            except (WrongLogin, TooManyFailures) as error:
                return type(error)
            raise AssertionError

        found = await together(guess() for _ in range(15))
        self.assertEqual(found.count(WrongLogin), 11)
        self.assertEqual(found.count(TooManyFailures), 4)

    async def test_few_hashes_at_once(self) -> None:
        """Two hashes are computed at a time; beyond what may wait it is busy, and that is
        no failure of a log-in."""
        gate, running, most = Event(), [0], [0]

        def slow(password: str, stored: str, other: str) -> bool:
            running[0] += 1
            most[0] = max(most[0], running[0])
            gate.wait(60)
            running[0] -= 1
            return password == "plain"

        self.patch(module, "matches", slow)
        self.addCleanup(gate.set)
        tries = [
            Deferred.fromCoroutine(self.log_in("carol", "plain", f"10.0.{n}.1"))
            for n in range(9)
        ]
        tries += [
            Deferred.fromCoroutine(self.log_in(f"name{n}", "x", f"10.1.{n}.1"))
            for n in range(MAX_WAITING - 7)
        ]
        await until(lambda: running[0] == 2)
        with self.assertRaises(LoginsBusy):
            await self.log_in("bob", PASSWORD)
        # One that goes away makes room for another one.
        gone = tries.pop()
        gone.cancel()
        await self.assertFailure(gone, CancelledError)
        another = Deferred.fromCoroutine(self.log_in("carol", "plain"))
        gate.set()
        self.assertEqual((await another).name, "carol")
        for each in tries[:9]:
            self.assertEqual((await each).name, "carol")
        for each in tries[9:]:
            await self.assertFailure(each, WrongLogin)
        self.assertEqual(most[0], 2)

    async def test_removed_meanwhile(self) -> None:
        """An account that is removed while its password is compared is refused."""
        gate = Event()

        def slow(password: str, stored: str, other: str) -> bool:
            return gate.wait(60)

        self.patch(module, "matches", slow)
        self.addCleanup(gate.set)
        entering = Deferred.fromCoroutine(self.log_in("bob", PASSWORD))
        self.beside.unlink()
        gate.set()
        await self.assertFailure(entering, WrongLogin)
