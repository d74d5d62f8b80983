"""The files of accounts on the disk."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.accounts.examples import HASH, OTHER, ROOT, RSA, write_accounts
from tests.grids import new_directory
from truckee.accounts import files
from truckee.accounts.files import AccountFiles


class FilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.files = AccountFiles.at(new_directory(self) / "accounts")

    def test_missing(self) -> None:
        """Without files there are no accounts, and that is no problem."""
        self.assertEqual(self.files.read().accounts, {})
        self.assertEqual(self.files.read().problems, ())
        self.assertEqual(self.files.signature(), ((), ()))

    def test_both(self) -> None:
        """Credentials of both files are of one account, which has one directory."""
        write_accounts(self.files.stock, f"a {RSA} {ROOT}")
        write_accounts(self.files.beside, f"a {HASH} {ROOT}", f"a {RSA} {OTHER}")
        found = self.files.read()
        [account] = found.accounts.values()
        self.assertEqual((account.is_hashed, len(account.keys)), (True, 1))
        self.assertEqual(
            found.problems,
            (
                "accounts.passwords, line 2 is not used: an earlier line gives this name "
                "another directory.",
            ),
        )

    def test_signature(self) -> None:
        """A change of either file shows, one of equal length in the same second too."""
        seen = {self.files.signature()}
        for path in (self.files.stock, self.files.beside):
            for name in "ab":
                write_accounts(path, f"{name} x {ROOT}")
                seen.add(self.files.signature())
        self.assertEqual(len(seen), 5)

    def test_modes(self) -> None:
        """A file that others may read is a problem; one that they may write is not used."""
        write_accounts(self.files.stock, f"a {RSA} {ROOT}", mode=0o640)
        found = self.files.read()
        self.assertEqual(list(found.accounts), ["a"])
        self.assertEqual(found.problems, ("Others may read accounts: chmod 600 accounts.",))
        write_accounts(self.files.beside, f"b {HASH} {ROOT}")
        write_accounts(self.files.stock, f"a {RSA} {ROOT}", mode=0o620)
        found = self.files.read()
        self.assertEqual(list(found.accounts), ["b"])
        self.assertEqual(
            found.problems,
            ("accounts is not used: others may write it; chmod 600 accounts.",),
        )

    def test_unusable(self) -> None:
        """A file that cannot be read, or is too long, is a problem and has no accounts."""
        self.files.stock.mkdir()
        [problem] = self.files.read().problems
        self.assertEqual(
            problem, "accounts is not used: it cannot be read: Is a directory."
        )
        self.files.stock.rmdir()
        write_accounts(self.files.stock, f"a x {ROOT}", "#" * files.MAX_FILE)
        [problem] = self.files.read().problems
        self.assertEqual(problem, "accounts is not used: it is longer than 1 MiB.")

    def test_many_mistakes(self) -> None:
        """A file that is something else altogether makes a short problem."""
        write_accounts(self.files.stock, *["nonsense"] * 100)
        problems = self.files.read().problems
        self.assertEqual(len(problems), 11)
        self.assertEqual(problems[-1], "accounts: 90 more lines are not used.")
