"""
Children: what the caps of a link give, and which caps may stand where.

Source: ``docs/formats/directories.md``, "Children".  rw and ro are texts of caps; those of
unknown kinds are kept to the letter, but for a prefix.
"""

from __future__ import annotations

from attrs import define, field, frozen

from truckee.codec.caps import (
    Cap,
    ChkReadCap,
    ChkVerifyCap,
    DirectoryCap,
    FileCap,
    LiteralCap,
    MalformedCap,
    MutableReadCap,
    MutableWriteCap,
    parse_cap,
)
from truckee.errors import Misuse

KnownCap = ChkReadCap | LiteralCap | MutableWriteCap | MutableReadCap | DirectoryCap

_RO, _IMM = "ro.", "imm."


@define
class BadChild(Misuse):
    """This cannot be linked."""


@define
class UnknownWriteCap(BadChild):
    """
    No read cap can be made from a write cap of an unknown kind. Give the read cap as
    well, as "ro_uri"; if it is itself a cap that only reads, put "ro." in front of it.
    """


@define
class ContradictoryCaps(BadChild):
    """
    What cannot change has no write cap. Leave away the write cap ("rw_uri"), or the
    "imm." in front of the read cap.
    """


@define
class WriteCapForReaders(BadChild):
    """
    The read cap ("ro_uri") is one that writes: all readers of the directory would get it.
    Give a cap that only reads.
    """


@define
class VerifyCapForChild(BadChild):
    """A verify cap cannot be linked: nobody could read the child. Give the read cap."""


@define
class ChildMustBeImmutable(BadChild):
    """
    A directory that cannot change holds only what cannot change. Link this child from a
    directory that can, or store it as an immutable file first.
    """


@frozen
class Child:
    """What a link leads to."""

    cap: KnownCap | None  # the strongest one, if its kind is known
    rw: str | None = field(repr=False)  # the cap that writes
    ro: str | None = field(repr=False)  # that which only reads; "ro." or "imm." if unknown

    @property
    def is_directory(self) -> bool:
        """Whether it is known to be a directory."""
        return isinstance(self.cap, DirectoryCap)

    @property
    def is_mutable(self) -> bool | None:
        """Whether it can change; None: unknown."""
        if self.cap is not None:
            return isinstance(_core(self.cap), MutableWriteCap | MutableReadCap)
        if self.rw is not None:
            return True
        return False if self.ro is not None and self.ro.startswith(_IMM) else None

    @property
    def is_deep_immutable(self) -> bool:
        """Whether it may be in an immutable directory; of unknown ones ro is believed."""
        return self.rw is None if self.cap is None else not self.is_mutable

    def verify_cap(self) -> FileCap | DirectoryCap | None:
        """Return the cap that checks it; None for literals and unknown ones."""
        return None if self.cap is None else self.cap.verify_cap()

    def read_only(self) -> Child:
        """
        Return the child without its write cap.

        :raises MalformedCap: when its read cap, beside an unknown one, is one to write.
        """
        return self if self.rw is None else child_from_caps(None, self.ro)


def child_from_caps(rw: str | None, ro: str | None, *, immutable: bool = False) -> Child:
    """
    Return the child of caps that stand in a directory, an *immutable* one or not.

    Empty texts are no caps.

    :raises BadChild: when the caps break a rule.
    :raises MalformedCap: the same, of the read cap of a known kind.
    """
    strongest = rw or ro
    if not strongest:
        return Child(None, None, None)
    try:
        cap = _in_context(strongest, immutable)
    except (MalformedCap, ChildMustBeImmutable):
        cap = None
    if isinstance(cap, ChkVerifyCap):
        raise VerifyCapForChild
    known = None if cap is None else _known(cap)
    return _unknown(rw or None, ro or None, immutable) if known is None else _of(known)


def new_child(rw: str | None, ro: str | None) -> Child:
    """
    Return the child of caps that somebody gives, for a directory of any kind.

    Whether it may be in an immutable one tells ``Child.is_deep_immutable``.

    :raises BadChild: when the caps break a rule.
    :raises MalformedCap: the same, of the read cap of a known kind.
    """
    child = child_from_caps(rw, ro)
    if child.cap is None and child.ro is not None:
        cap = _in_context(stored_ro(child, immutable=True), immutable=False)
        if isinstance(_core(cap), MutableWriteCap):
            raise WriteCapForReaders
    return child


def stored_ro(child: Child, *, immutable: bool) -> str:
    """Return the read cap as an entry of a directory holds it; empty if there is none."""
    ro = child.ro or ""
    if ro.startswith(_IMM):
        return ro.removeprefix(_IMM) if immutable else ro
    return ro.removeprefix(_RO)


def _of(cap: KnownCap) -> Child:
    """Return the child of a cap of a known kind."""
    core = _core(cap)
    if not isinstance(core, MutableWriteCap):
        return Child(cap, None, str(cap))
    assert isinstance(cap, MutableWriteCap | DirectoryCap)
    return Child(cap, str(cap), str(cap.read_cap()))


def _unknown(rw: str | None, ro: str | None, immutable: bool) -> Child:
    """Return the child of caps of which the strongest is of no known kind."""
    if rw is not None and immutable and (ro is not None or not rw.startswith(_IMM)):
        raise ChildMustBeImmutable
    if rw is not None and ro is None:
        if not rw.startswith((_RO, _IMM)):
            raise UnknownWriteCap
        rw, ro = None, rw
    elif rw is not None and ro is not None and ro.startswith(_IMM):
        raise ContradictoryCaps
    assert ro is not None
    _in_context(ro, immutable)
    if immutable:
        ro = _IMM + ro.removeprefix(_IMM if ro.startswith(_IMM) else _RO)
    elif not ro.startswith((_RO, _IMM)):
        ro = _RO + ro
    return Child(None, rw, ro)


def _in_context(text: str, immutable: bool) -> Cap:
    """Return the cap of *text*.  :raises MalformedCap: :raises ChildMustBeImmutable:"""
    cap = parse_cap(text)
    if immutable and isinstance(_core(cap), MutableWriteCap | MutableReadCap):
        raise ChildMustBeImmutable
    return cap


def _known(cap: Cap) -> KnownCap | None:
    """Return *cap* if it reads something."""
    readable = ChkReadCap | LiteralCap | MutableWriteCap | MutableReadCap
    if isinstance(cap, readable):
        return cap
    if isinstance(cap, DirectoryCap) and isinstance(cap.inner, readable):
        return cap
    return None


def _core(cap: Cap) -> Cap:
    """Return the cap of the file, of a directory too."""
    return cap.inner if isinstance(cap, DirectoryCap) else cap
