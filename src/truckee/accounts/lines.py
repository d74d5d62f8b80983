"""
Lines of an accounts file: parsed, and written.  Pure.

Source: ``docs/formats/accounts.md``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping

from attrs import field, frozen

from truckee.accounts.account import HASHED, Account, SshKey
from truckee.codec.caps import (
    ChkVerifyCap,
    DirectoryCap,
    MalformedCap,
    MutableVerifyCap,
    MutableWriteCap,
    parse_cap,
)

# More is no name or password that somebody types.
MAX_NAME = 255  # characters
MAX_PASSWORD = 1024  # bytes of UTF-8
# A key of RSA with 16384 bits has 2 KiB.
_MAX_LINE = 16384  # bytes

_KEY = re.compile(r"(?:sk-)?(?:ssh-|ecdsa-sha2-)\S+")
# Stock Tahoe-LAFS refuses a whole file for a line with keys of other kinds.
STOCK_KEY = "ssh-"
_HASH = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,7}),t=([0-9]{1,3}),p=([0-9]{1,2})"
    r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,171}"
)
# What one log-in may cost: KiB of memory, passes, lanes.
_MOST = (262144, 20, 16)


@frozen
class Mistake:
    """A line that is not used, and why; with nothing of what it says."""

    line: int  # counted from 1
    reason: str


@frozen
class Parsed:
    """The accounts of a file, by name, and the lines that are not used."""

    accounts: Mapping[str, Account] = field(factory=dict, repr=False)
    mistakes: tuple[Mistake, ...] = ()


def parse_accounts(data: bytes, before: Iterable[Account] = ()) -> Parsed:
    """
    Return the accounts of a file together with those that were read *before* it.

    A line with a mistake does not keep others from being used.
    """
    accounts = {account.name: account for account in before}
    mistakes = []
    for number, raw in enumerate(data.splitlines(), 1):
        try:
            account = parse_line(raw)
            if account is not None:
                known = accounts.get(account.name)
                accounts[account.name] = known.joined(account) if known else account
        except ValueError as error:
            mistakes.append(Mistake(number, str(error)))
    return Parsed(accounts, tuple(mistakes))


def parse_line(raw: bytes) -> Account | None:
    """
    Return the account of one line, with one credential; None: it is a comment or blank.

    :raises ValueError: with why it is no account, and nothing of the line.
    """
    if len(raw) > _MAX_LINE:
        raise ValueError(f"it is longer than {_MAX_LINE} bytes")
    try:
        text = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if not text or text.startswith("#"):
        return None
    name, *words = text.split()
    check_name(name)
    if len(words) < 2:
        raise ValueError("it has fewer than three words: name, password or key, cap")
    root, read_only = root_of(words[-1])
    if _KEY.fullmatch(words[0]):
        # Behind a key there may be a comment of any number of words.
        return Account(name, root, read_only, (parse_key(words[:2]),))
    if len(words) > 2:
        raise ValueError("it has more than three words and no key")
    return Account(name, root, read_only, password=_password_of(words[0]))


def check_name(name: str) -> None:
    """:raises ValueError: when nobody could log in under *name*."""
    if not name.isprintable() or len(name) > MAX_NAME:
        raise ValueError(f"a name has up to {MAX_NAME} printable characters")


def root_of(text: str) -> tuple[str, bool]:
    """
    Return the cap of a directory as it is written, and whether it only reads.

    :raises ValueError: when *text* is none.
    """
    try:
        cap = parse_cap(text)
    except MalformedCap:
        raise ValueError("its last word is a broken cap") from None
    if not isinstance(cap, DirectoryCap):
        raise ValueError("its last word is no cap of a directory")
    if isinstance(cap.inner, MutableVerifyCap | ChkVerifyCap):
        raise ValueError("its cap cannot read the directory")
    return str(cap), not isinstance(cap.inner, MutableWriteCap)


def parse_key(words: list[str]) -> SshKey:
    """
    Return the public key of an algorithm and base64, as in a file of OpenSSH.

    :raises ValueError: when it is none.
    """
    if len(words) < 2 or not _KEY.fullmatch(words[0]):
        raise ValueError("it is no public key of SSH")
    kind = words[0].encode("ascii", "replace")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("its key is not base64") from None
    if blob[:4] != len(kind).to_bytes(4, "big") or blob[4 : 4 + len(kind)] != kind:
        raise ValueError(f"its key is not one of {words[0][:40]}")
    if len(blob) < 4 + len(kind) + 32:
        raise ValueError("its key is cut short")
    return SshKey(words[0], blob)


def line_of(account: Account) -> str:
    """Return the line of an account with one credential, without an end of line."""
    if account.password:
        return f"{account.name} {account.password} {account.root}"
    [key] = account.keys
    text = base64.b64encode(key.blob).decode("ascii")
    return f"{account.name} {key.kind} {text} {account.root}"


def _password_of(word: str) -> str:
    if not word.startswith(HASHED):
        if len(word.encode()) > MAX_PASSWORD:
            raise ValueError(f"its password is longer than {MAX_PASSWORD} bytes")
        return word
    match = _HASH.fullmatch(word)
    if match is None:
        raise ValueError("its hash is not one of $argon2id$v=19$")
    cost = [int(number) for number in match.groups()]
    if any(one > most for one, most in zip(cost, _MOST, strict=True)) or 0 in cost:
        raise ValueError("its hash costs more than m={},t={},p={}".format(*_MOST))
    return word
