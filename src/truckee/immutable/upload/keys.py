"""How a client wants its file to be encrypted.  Pure."""

from __future__ import annotations

from attrs import define, field, frozen

from truckee.codec import base32
from truckee.codec.secrets import KEY_SIZE
from truckee.errors import Misuse


@define
class BadKey(Misuse):
    """
    key= must be "random", "CHK", 32 hex digits, or 26 lower-case base32 characters:
    {reason}.
    """

    reason: str


@frozen
class RandomKey:
    """A key of its own for every upload; the file streams."""

    # Drawn before, where the same bytes may be sent more than once.
    key: bytes | None = field(default=None, repr=False)


@frozen
class ConvergentKey:
    """The same key for the same content; needs a first pass over the whole file."""


@frozen
class GivenKey:
    """The client's own key; the file streams."""

    key: bytes = field(repr=False)


KeyChoice = RandomKey | ConvergentKey | GivenKey


def parse_key_choice(text: str) -> KeyChoice:
    """Return what ``key=`` asks for.  :raises BadKey: when it is none of these."""
    if text.lower() in ("", "random"):
        return RandomKey()
    if text.lower() == "chk":
        return ConvergentKey()
    try:
        if len(text) == 2 * KEY_SIZE:
            key = bytes.fromhex(text)
        elif len(text) == len(base32.encode(bytes(KEY_SIZE))):
            key = base32.decode(text)
        else:
            raise BadKey(f"it has {len(text)} characters")
    except ValueError:
        raise BadKey(
            "it has other characters than these, or its last one is wrong"
        ) from None
    if len(key) != KEY_SIZE:  # bytes.fromhex allows blanks between digits
        raise BadKey("it has blanks")
    return GivenKey(key)
