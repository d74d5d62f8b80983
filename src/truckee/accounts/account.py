"""
What an account is.  Pure.

Source: ``docs/formats/accounts.md``.
"""

from __future__ import annotations

from attrs import evolve, field, frozen

# What hashed passwords begin with; anything else is a password as it is.
HASHED = "$argon2"


@frozen
class SshKey:
    """A public key that logs in."""

    kind: str  # its algorithm, such as ssh-ed25519
    blob: bytes = field(repr=False)  # as SSH sends it, RFC 4253, section 6.6


@frozen
class Account:
    """Somebody who may log in, and the directory that is then theirs."""

    name: str
    root: str = field(repr=False)  # the cap of a directory, secret
    read_only: bool  # the cap cannot change the directory
    keys: tuple[SshKey, ...] = field(default=(), repr=False)
    password: str = field(default="", repr=False)  # hashed or as it is; empty: none

    @property
    def is_hashed(self) -> bool:
        """Whether the file has a hash of the password in place of the password."""
        return self.password.startswith(HASHED)

    def joined(self, other: Account) -> Account:
        """
        Return the account with the credentials of another line of its name.

        :raises ValueError: when the two cannot be of one account.
        """
        if other.root != self.root:
            raise ValueError("an earlier line gives this name another directory")
        if self.password and other.password:
            raise ValueError("an earlier line gives this name a password")
        keys = tuple(dict.fromkeys((*self.keys, *other.keys)))
        return evolve(self, keys=keys, password=self.password or other.password)
