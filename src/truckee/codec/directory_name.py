"""
Names in directories, normalised.  Source: ``docs/formats/directories.md``, "Table".

NFC sorts each run of combining characters.  The interpreter does so by insertion, which
takes a second for a run of some thousand: here long names have their runs sorted first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from unicodedata import combining, normalize

from attrs import define

from truckee.errors import Misuse


@define
class BadName(Misuse):
    """The name has half of a surrogate pair, so it is no text. Choose another name."""


@define
class NameTooLong(Misuse):
    """
    The name is longer than the {limit} bytes of UTF-8 that a new one may have. Choose a
    shorter one.
    """

    limit: int


# Bytes of a new name.  In an address it is thrice as long, and a request's head has 16 KiB:
# so whoever sets a name can also ask for it, and remove it.
LONGEST = 4096
# A name of this many characters is normalised in some microseconds however bad.
_SHORT = 64


def normalize_name(name: str) -> str:
    """Return *name* in NFC, in a time proportional to its length but for sorting."""
    if name.isascii():
        return name
    if len(name) > _SHORT:
        name = "".join(_ordered(normalize("NFD", each) for each in name))
    return normalize("NFC", name)


def new_name(name: str) -> str:
    """Return *name* as a new entry has it, in NFC.  :raises BadName:"""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise BadName from None
    return normalize_name(name)


def check_length(name: str) -> None:
    """:raises NameTooLong: when a new entry cannot have *name*, which is in NFC"""
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST:
        raise NameTooLong(LONGEST)


def _ordered(decomposed: Iterable[str]) -> Iterator[str]:
    """Give characters of *decomposed* with each run of combining ones sorted by class."""
    characters = (each for text in decomposed for each in text)
    for _, run in groupby(characters, lambda each: combining(each) != 0):
        # Stable, as the rules of NFC want it; all others have class 0 and stay.
        yield from sorted(run, key=combining)
