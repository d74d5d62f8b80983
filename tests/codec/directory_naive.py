"""A second reader and writer of tables, as simple as can be, to compare ours with."""

from __future__ import annotations

from unicodedata import normalize

Fields = tuple[str, bytes, bytes, bytes]  # name, ro, rwdata, metadata


def wrap(data: bytes) -> bytes:
    """Return the netstring of *data*."""
    return str(len(data)).encode("ascii") + b":" + data + b","


def write(*fields: bytes) -> bytes:
    """Return one entry, whose name is the first of its *fields*."""
    return wrap(b"".join(wrap(each) for each in fields))


def write_table(entries: list[Fields]) -> bytes:
    """Return entries in the order that is given."""
    return b"".join(write(name.encode("utf-8"), *others) for name, *others in entries)


def unwrap(data: bytes) -> list[bytes]:
    """Return the netstrings that *data* is made of."""
    found = []
    while data:
        digits, _, rest = data.partition(b":")
        length = int(digits)
        assert rest[length : length + 1] == b","
        found.append(rest[:length])
        data = rest[length + 1 :]
    return found


def read_table(packed: bytes) -> dict[str, list[bytes]]:
    """Return the fields behind the name, of each normalised name, sorted."""
    found = {}
    for entry in unwrap(packed):
        name, *others = unwrap(entry)
        found[normalize("NFC", name.decode("utf-8"))] = others
    return dict(sorted(found.items()))
