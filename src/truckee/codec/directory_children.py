"""
Entries and the children in them, of mutable and of immutable directories.

Source: ``docs/formats/directories.md``, "Write caps", "Children", "Immutable directories".
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from truckee.codec.caps import MalformedCap
from truckee.codec.children import (
    BadChild,
    Child,
    ChildMustBeImmutable,
    child_from_caps,
    stored_ro,
)
from truckee.codec.directory_entry import BadDirectory, Entry
from truckee.codec.directory_name import check_length, new_name
from truckee.codec.directory_secrets import decrypt_write_cap, encrypt_write_cap
from truckee.codec.link_metadata import (
    Metadata,
    dump_metadata,
    is_read_only,
    load_metadata,
    updated,
)
from truckee.codec.new_table import pack_table


@frozen
class Link:
    """What a name in a directory stands for."""

    child: Child
    metadata: Metadata


def read_link(entry: Entry, write_key: bytes | None) -> Link | None:
    """
    Return the link of an entry of a mutable directory; None: it breaks a rule, list it not.

    Without the directory's *write_key*, children have no write caps but those that stand
    where their read caps should.

    :raises BadDirectory: when the entry is damaged.
    """
    rw = b"" if write_key is None else decrypt_write_cap(write_key, entry.rwdata)
    return _link(entry, rw, immutable=False)


def read_immutable_link(entry: Entry) -> Link | None:
    """
    Return the link of an entry of an immutable directory; None: it breaks a rule.

    :raises BadDirectory: when the entry is damaged, or has room for a write cap.
    """
    if entry.rwdata:
        raise BadDirectory("an entry has a write cap, though nothing can change here")
    return _link(entry, b"", immutable=True)


def read_child(entry: Entry, write_key: bytes | None) -> Child | None:
    """Return the child of a link as ``read_link`` does, whatever its metadata is."""
    rw = b"" if write_key is None else decrypt_write_cap(write_key, entry.rwdata)
    return _child(entry, rw, immutable=False)


def read_immutable_child(entry: Entry) -> Child | None:
    """Return the child of a link in an immutable directory, whatever its metadata is."""
    return None if entry.rwdata else _child(entry, b"", immutable=True)


def _link(entry: Entry, rw: bytes, *, immutable: bool) -> Link | None:
    child = _child(entry, rw, immutable=immutable)
    return None if child is None else Link(child, load_metadata(entry.metadata))


def _child(entry: Entry, rw: bytes, *, immutable: bool) -> Child | None:
    try:
        return child_from_caps(_text(rw), _text(entry.ro), immutable=immutable)
    except (BadChild, MalformedCap):
        return None


def _text(stored: bytes) -> str:
    # Bytes that are no UTF-8 come back as they were when the child is linked elsewhere.
    return stored.rstrip(b" ").decode("utf-8", "surrogateescape")


def _bytes(cap: str) -> bytes:
    return cap.encode("utf-8", "surrogateescape")


def new_entry(name: str, link: Link, write_key: bytes) -> Entry:
    """
    Return the entry of *link* in a mutable directory, whose *write_key* this is.

    :raises BadName: :raises NameTooLong: :raises BadMetadata: when it cannot be stored.
    """
    return Entry(
        _new_name(name),
        _bytes(stored_ro(link.child, immutable=False)),
        encrypt_write_cap(write_key, _bytes(link.child.rw or "")),
        dump_metadata(link.metadata),
    )


def new_immutable_entry(name: str, link: Link) -> Entry:
    """
    Return the entry of *link* in an immutable directory.

    :raises ChildMustBeImmutable: when the child can change.
    :raises BadName: :raises NameTooLong: :raises BadMetadata: when it cannot be stored.
    """
    if not link.child.is_deep_immutable:
        raise ChildMustBeImmutable
    ro = _bytes(stored_ro(link.child, immutable=True))
    return Entry(_new_name(name), ro, b"", dump_metadata(link.metadata))


def _new_name(name: str) -> str:
    name = new_name(name)
    check_length(name)
    return name


def set_link(old: Metadata | None, child: Child, new: Metadata | None, now: float) -> Link:
    """
    Return the link that is stored when *child* is linked at *now*.

    *old* is the metadata of the link of that name, if there is one; *new* what is given.
    """
    metadata = updated(old, new, now)
    return Link(child.read_only() if is_read_only(metadata) else child, metadata)


def pack_mutable(links: Mapping[str, Link], write_key: bytes) -> bytes:
    """
    Return the contents of a new mutable directory; its first links are stored as given.

    :raises BadName: :raises NameTooLong: :raises BadMetadata: when one cannot be stored.
    """
    return pack_table(new_entry(name, link, write_key) for name, link in links.items())
