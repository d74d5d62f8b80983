"""Passwords: hashed, and compared."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.accounts.examples import HASH, PASSWORD
from truckee.accounts import passwords
from truckee.accounts.lines import parse_line
from truckee.accounts.passwords import hash_password, matches

# Of the specification's own program: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1
# -e, as RFC 9106's reference implementation publishes it among its tests.
FOREIGN = (
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
)


class PasswordTests(SynchronousTestCase):
    def test_hashed(self) -> None:
        """A hash is matched by its password alone, and is another one each time."""
        self.assertTrue(matches(PASSWORD, HASH))
        self.assertFalse(matches(PASSWORD + " ", HASH))
        self.assertFalse(matches("", HASH))
        self.assertNotEqual(hash_password(PASSWORD), HASH)
        self.assertIsNotNone(parse_line(f"a {HASH} URI:DIR2-LIT:".encode()))

    def test_foreign(self) -> None:
        """A hash that another program made is matched, whatever it costs."""
        self.assertTrue(matches("password", FOREIGN))
        self.assertFalse(matches("passwort", FOREIGN))

    def test_plain(self) -> None:
        """A password that is in the file as it is matches itself, and a hash none."""
        self.assertTrue(matches("zoë", "zoë"))
        self.assertFalse(matches("zoe", "zoë"))
        self.assertFalse(matches("", ""))
        self.assertFalse(matches(HASH, HASH))
        self.assertFalse(matches("\udcff", "x"))

    def test_one_hash_in_any_case(self) -> None:
        """One hash is computed, with the same cost, for a right and a wrong password,
        and for whom there is no password or a plain one."""
        seen: list[str] = []
        verify = passwords._verify

        def note(password: str, stored: str) -> bool:
            seen.append(stored.rpartition("p=")[0])
            return verify(password, stored)

        self.patch(passwords, "_verify", note)
        for password, stored in ((PASSWORD, HASH), ("x", HASH), ("x", ""), ("x", "x")):
            matches(password, stored)
        self.assertEqual(seen, ["$argon2id$v=19$m=19456,t=2,"] * 4)
        matches("x", "", FOREIGN)
        self.assertEqual(seen[-1], "$argon2id$v=19$m=65536,t=2,")
