"""Lines of an accounts file."""

from __future__ import annotations

from allmydata.frontends.auth import load_account_file
from hypothesis import given
from hypothesis import strategies as st
from twisted.conch.ssh.keys import Key
from twisted.trial.unittest import SynchronousTestCase

from tests.accounts.examples import (
    ECDSA,
    ED25519,
    EMPTY,
    FIXED,
    HASH,
    OTHER,
    READ,
    REAL_KEY,
    ROOT,
    RSA,
    blob_of,
)
from truckee.accounts.account import Account, SshKey
from truckee.accounts.lines import (
    Mistake,
    Parsed,
    line_of,
    parse_accounts,
    parse_key,
    parse_line,
)


def parsed(*lines: str) -> Parsed:
    return parse_accounts("\n".join(lines).encode())


class LinesTests(SynchronousTestCase):
    def test_credentials(self) -> None:
        """A line has a password as it is, a hash of one, or a public key."""
        found = parsed(
            "# people", "", f"alice secret {ROOT}", f"  bob\t{HASH}  {ROOT}  ",
            f"carol {ED25519} {ROOT}", f"dave {RSA} dave@home laptop {ROOT}",
            f"eve {ECDSA} {ROOT}",
        )  # fmt: skip
        root = str(ROOT)
        self.assertEqual(found.mistakes, ())
        self.assertEqual(
            dict(found.accounts),
            {
                "alice": Account("alice", root, False, password="secret"),
                "bob": Account("bob", root, False, password=HASH),
                "carol": Account(
                    "carol", root, False, (SshKey("ssh-ed25519", blob_of("ssh-ed25519")),)
                ),
                "dave": Account(
                    "dave",
                    root,
                    False,
                    (SshKey("ssh-rsa", blob_of("ssh-rsa", b"r" * 260)),),
                ),
                "eve": Account(
                    "eve",
                    root,
                    False,
                    (SshKey("ecdsa-sha2-nistp256", blob_of("ecdsa-sha2-nistp256")),),
                ),
            },
        )

    def test_stock_finds_the_same(self) -> None:
        """What stock reads of a line with a key is what is read here."""
        lines = ["# keys", f"zoë {REAL_KEY} a comment {READ}", ""]
        roots, keys = load_account_file(lines)
        [account] = parsed(*lines).accounts.values()
        name = account.name.encode()
        self.assertEqual(roots[name], account.root.encode())
        self.assertEqual([key.blob() for key in keys[name]], [account.keys[0].blob])
        self.assertIsInstance(keys[name][0], Key)

    def test_several_credentials(self) -> None:
        """Lines of one name are one account: a password, and any number of keys."""
        lines = [f"a {HASH} {ROOT}", f"a {RSA} {ROOT}", f"a {ED25519} {ROOT}"]
        [account] = parsed(*lines, lines[1]).accounts.values()
        self.assertEqual([key.kind for key in account.keys], ["ssh-rsa", "ssh-ed25519"])
        self.assertTrue(account.is_hashed)
        first = parse_accounts(lines[0].encode())
        both = parse_accounts(lines[1].encode(), first.accounts.values())
        self.assertEqual(len(both.accounts["a"].keys), 1)
        self.assertEqual(both.accounts["a"].password, HASH)

    def test_read_only(self) -> None:
        """An account is read-only when its cap cannot change its directory."""
        for root, read_only in ((ROOT, False), (READ, True), (FIXED, True), (EMPTY, True)):
            [account] = parsed(f"a x {root}").accounts.values()
            self.assertEqual((account.root, account.read_only), (str(root), read_only))

    def test_mistakes(self) -> None:
        """A wrong line is named by its number, and the others are used."""
        verify = ROOT.verify_cap()
        wrong = {
            "a": "it has fewer than three words: name, password or key, cap",
            "a x": "it has fewer than three words: name, password or key, cap",
            f"a two words {ROOT}": "it has more than three words and no key",
            "a x URI:DIR2:mangled:": "its last word is a broken cap",
            "a x nonsense": "its last word is no cap of a directory",
            f"a x {ROOT.inner}": "its last word is no cap of a directory",
            f"a x {verify}": "its cap cannot read the directory",
            f"a ssh-rsa !!! {ROOT}": "its key is not base64",
            f"a ssh-rsa {ROOT}": "its key is not base64",
            f"a {RSA.replace('rsa', 'dss')} {ROOT}": "its key is not one of ssh-dss",
            f"a ssh-rsa AAAAB3NzaC1yc2E= {ROOT}": "its key is cut short",
            f"a $argon2i$v=19$m=8,t=1,p=1$AAAA$AAAA {ROOT}": (
                "its hash is not one of $argon2id$v=19$"
            ),
            f"a {HASH.replace('t=2', 't=21')} {ROOT}": (
                "its hash costs more than m=262144,t=20,p=16"
            ),
            f"a {HASH.replace('t=2', 't=0')} {ROOT}": (
                "its hash costs more than m=262144,t=20,p=16"
            ),
            f"a\x7f x {ROOT}": "a name has up to 255 printable characters",
            f"{'a' * 256} x {ROOT}": "a name has up to 255 printable characters",
            f"a {'x' * 1025} {ROOT}": "its password is longer than 1024 bytes",
            f"a {'x' * 20000} {ROOT}": "it is longer than 16384 bytes",
            f"good x {OTHER}": "an earlier line gives this name another directory",
            f"good y {ROOT}": "an earlier line gives this name a password",
        }
        for line, reason in wrong.items():
            found = parsed(f"good x {ROOT}", line, f"other x {ROOT}")
            self.assertEqual(found.mistakes, (Mistake(2, reason),), line)
            self.assertEqual(list(found.accounts), ["good", "other"])
        found = parse_accounts(b"\xff\n" + f"a x {ROOT}\r\n".encode())
        self.assertEqual(found.mistakes, (Mistake(1, "it is not UTF-8"),))
        self.assertEqual(list(found.accounts), ["a"])

    def test_no_secrets_are_shown(self) -> None:
        """No repr and no mistake has a cap, a key or a password in it."""
        found = parsed(f"a s3cret {ROOT}", f"a {RSA} {ROOT}", f"a s3cret2 {OTHER}")
        shown = repr((found, list(found.accounts.values())))
        for secret in ("s3cret", str(ROOT), str(OTHER), RSA.split()[1], "rrrr"):
            self.assertNotIn(secret, shown)
        self.assertIn("name='a'", shown)

    def test_written(self) -> None:
        """A line that is written is read as the same."""
        for text in (f"a x {ROOT}", f"a {HASH} {READ}", f"a {RSA} {ROOT}"):
            account = parse_line(text.encode())
            assert account is not None
            self.assertEqual(line_of(account), text)

    def test_key_file(self) -> None:
        """A key is read from the words of a file of OpenSSH, with or without a comment."""
        self.assertEqual(parse_key(RSA.split()).kind, "ssh-rsa")
        for wrong in ([], ["ssh-rsa"], ["-----BEGIN", "OPENSSH"], ["hello", "AAAA"]):
            self.assertRaises(ValueError, parse_key, wrong)

    @given(st.binary(max_size=300))
    def test_anything(self, data: bytes) -> None:
        """Whatever the file is, it is read, and each line is one thing."""
        found = parse_accounts(data + b"\n" + f"a x {ROOT}".encode())
        self.assertIn("a", found.accounts)
        self.assertLessEqual(len(found.mistakes), len(data.splitlines()))
