"""``truckee account``."""

from __future__ import annotations

import os
import pty
import stat

from allmydata.frontends.auth import load_account_file

from tests.accounts.examples import ECDSA, ED25519, REAL_KEY, ROOT
from tests.cli.grid_case import GridCase
from tests.processes import SharedNode
from truckee.accounts.account import Account
from truckee.accounts.files import AccountFiles
from truckee.accounts.passwords import matches

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class AccountTests(GridCase):
    room = room

    def setUp(self) -> None:
        super().setUp()
        self.stock_file = self.node.directory / "private" / "accounts"
        self.beside = self.node.directory / "private" / "accounts.passwords"
        self.addCleanup(self.beside.unlink, missing_ok=True)
        self.addCleanup(self.stock_file.unlink, missing_ok=True)

    def account(self, name: str) -> Account:
        return AccountFiles.at(self.stock_file).read().accounts[name]

    def add(self, name: str, *options: str, password: str = "secret", code: int = 0) -> str:
        """Add an account; return what was said, to either end."""
        data = f"{password}\n".encode()
        done = self.do("account", "add", name, *options, data=data, code=code)
        self.assertNotIn("secret", done.output + done.errors)
        return done.output + done.errors

    def test_password(self) -> None:
        """A password from standard input is hashed; a new directory is made for it."""
        said = self.add("alice", "--password-stdin")
        self.assertEqual(said, f"alice has a new directory. Its cap is in {self.beside}.\n")
        account = self.account("alice")
        self.assertTrue(matches("secret", account.password))
        self.assertTrue(account.is_hashed)
        self.assertFalse(account.read_only)
        self.assertEqual(self.stock("ls", account.root), "")
        self.assertFalse(self.stock_file.exists())
        self.assertEqual(stat.S_IMODE(self.beside.stat().st_mode), 0o600)
        self.add("alice", "--password-stdin", password="secret2")
        self.assertTrue(matches("secret2", self.account("alice").password))
        self.assertEqual(self.account("alice").root, account.root)
        self.assertEqual(len(self.beside.read_text().splitlines()), 1)

    def test_keys(self) -> None:
        """Keys that stock reads are in its file, others beside it."""
        files = [
            str(self.file(f"{number}.pub", f"{key} me@laptop\n".encode()))
            for number, key in enumerate((ED25519, ECDSA))
        ]
        self.add("alice", "--key", files[0], "--key", files[1])
        self.assertEqual(
            [key.kind for key in self.account("alice").keys],
            ["ssh-ed25519", "ecdsa-sha2-nistp256"],
        )
        self.assertNotIn("ecdsa", self.stock_file.read_text())
        self.add("alice", "--key", files[0], "--password-stdin")
        self.assertEqual(
            self.do("account", "list").output,
            "alice: password, key (ssh-ed25519), key (ecdsa-sha2-nistp256), "
            "read and write\n",
        )
        self.assertEqual(len(self.stock_file.read_text().splitlines()), 1)

    def test_stock_reads_it(self) -> None:
        """Stock's own code finds the account and its key in the file."""
        key = self.file("id.pub", f"{REAL_KEY} me\n".encode())
        self.add("zoë", "--key", str(key), "--password-stdin", "--root", self.alias)
        with open(self.stock_file, encoding="utf-8") as lines:
            roots, keys = load_account_file(lines)
        self.assertEqual(roots["zoë".encode()].decode(), self.root_cap())
        self.assertEqual(keys["zoë".encode()][0].sshType(), b"ssh-ed25519")

    def test_root(self) -> None:
        """A root is an alias, a path or a cap, and with --read-only its read cap."""
        self.do("mkdir", f"{self.alias}photos")
        self.add("a", "--password-stdin", "--root", f"{self.alias}photos")
        self.assertEqual(self.account("a").root, self.cap("photos"))
        self.add("b", "--password-stdin", "--root", self.root_cap(), "--read-only")
        self.assertTrue(self.account("b").read_only)
        self.assertEqual(
            self.do("account", "list").output,
            "a: password, read and write\nb: password, read only\n",
        )
        listed = self.do("account", "list", "--caps").output
        self.assertIn(f"a: password, read and write, {self.cap('photos')}\n", listed)
        self.add("b", "--password-stdin", "--root", self.root_cap(), code=1)
        self.add("a", "--password-stdin", "--read-only", code=1)
        self.add("c", "--password-stdin", "--read-only", code=1)
        self.add("c", "--password-stdin", "--root", f"{self.alias}nothing", code=4)
        self.add("c", "--password-stdin", "--root", str(ROOT.inner), code=1)

    def test_refused(self) -> None:
        """What could not log in is refused before a directory is made."""
        for name in ("a:b", "a b", "", "#a", "a" * 256):
            self.add(name, "--password-stdin", code=1)
        self.add("a", "--password-stdin", password="", code=1)
        self.add("a", "--password-stdin", password="s" * 1025, code=1)
        self.do("account", "add", "a", "--password-stdin", data=b"\xff\n", code=1)
        self.assertIn("use a terminal", self.add("a", code=1))
        private = self.file("id", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
        self.assertIn("private key", self.add("a", "--key", str(private), code=1))
        other = self.file("other.pub", b"hello\n")
        self.assertIn("no public key", self.add("a", "--key", str(other), code=1))
        self.assertIn("No such file", self.add("a", "--key", "nothing.pub", code=1))
        self.assertFalse(self.beside.exists())
        done = self.do("account", "list", "-d", "/nowhere", code=1)
        self.assertIn("There is no node in /nowhere", done.errors)

    def test_other_lines_stay(self) -> None:
        """Comments, other accounts and odd lines stay, with or without an end of line;
        a password that was there as it is goes when there is a new one."""
        self.stock_file.write_bytes(
            f"# people\nodd\nalice old {ROOT}\nbob old {ROOT}\n# end \xff".encode("latin-1")
        )
        self.assertEqual(
            self.do("account", "list").output.splitlines()[0],
            "alice: password (not hashed), read and write",
        )
        key = self.file("id.pub", ED25519.encode())
        self.add("alice", "--password-stdin", "--key", str(key))
        self.assertEqual(
            self.stock_file.read_bytes(),
            f"# people\nodd\nbob old {ROOT}\n# end \xff\nalice {ED25519} {ROOT}\n".encode(
                "latin-1"
            ),
        )
        self.assertEqual(stat.S_IMODE(self.stock_file.stat().st_mode), 0o600)
        done = self.do("account", "list")
        self.assertIn("accounts, line 2 is not used: it has fewer", done.errors)
        self.do("account", "remove", "alice")
        self.assertEqual(
            self.stock_file.read_bytes(),
            f"# people\nodd\nbob old {ROOT}\n# end \xff\n".encode("latin-1"),
        )
        self.assertEqual(self.beside.read_bytes(), b"")
        self.do("account", "remove", "alice", code=4)

    def test_configured(self) -> None:
        """``accounts.file`` of the node's configuration says where the files are."""
        config = self.node.directory / "tahoe.cfg"
        before = config.read_text()
        self.addCleanup(config.write_text, before)
        config.write_text(f"{before}\n[sftpd]\naccounts.file = private/people/list\n")
        self.add("alice", "--password-stdin", "--root", self.alias)
        people = self.node.directory / "private" / "people"
        self.assertEqual([each.name for each in people.iterdir()], ["list.passwords"])
        self.assertEqual(stat.S_IMODE(people.stat().st_mode), 0o700)

    def test_terminal(self) -> None:
        """On a terminal a password is asked for twice, and not shown; and whether to
        remove an account is asked, too."""
        said = self.typed(
            ("account", "add", "alice", "--root", self.alias), ["secret", "secret"]
        )
        self.assertNotIn("secret", said)
        self.assertIn("Repeat for confirmation", said)
        self.assertTrue(matches("secret", self.account("alice").password))
        self.assertIn("was not removed", self.typed(("account", "remove", "alice"), ["n"]))
        self.typed(("account", "remove", "alice"), ["y"])
        self.assertEqual(self.beside.read_bytes(), b"")

    def typed(self, arguments: tuple[str, ...], lines: list[str]) -> str:
        """Run a command on a terminal, answer each question; return what it shows."""
        command = self.command(*arguments)
        child, terminal = pty.fork()
        if child == 0:
            os.execvpe(command[0], command, self.environment())  # pragma: no cover
        said, waiting = b"", [*lines]
        while True:
            try:
                data = os.read(terminal, 4096)
            except OSError:
                break  # the child closed its end
            if not data:
                break
            said += data
            if said.endswith(b": ") and waiting:
                os.write(terminal, f"{waiting.pop(0)}\n".encode())
        os.close(terminal)
        os.waitpid(child, 0)
        return said.decode("utf-8", "replace")
