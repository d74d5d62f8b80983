"""
Requests for slots as HTTPS carries them.  Pure.

Source: ``docs/formats/storage-https.md``, "Slots".  The message is read item by item, as
it must be, so nothing that it could be otherwise is ever made of it; whatever has another
form is a ``ValueError``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import cbor2
from attrs import define

from truckee.storage.gbs_cbor import item_head
from truckee.storage.interfaces import (
    MAX_SLOT_DATA,
    MAX_SLOT_READS,
    MAX_SLOT_SHARES,
    MAX_SLOT_TESTS,
    MAX_SLOT_WRITES,
    SlotAnswer,
    SlotChange,
    SlotRead,
    SlotTest,
    SlotWrite,
)

# Bytes of a request: what it writes, and room for what stands around it.
MAX_REQUEST = MAX_SLOT_DATA + (4 << 20)

# Bytes of an answer that stand around those of shares: in all, and for each range.
_AROUND = 8 * 1024
_AROUND_RANGE = 9

_NUMBER, _BYTES, _TEXT, _ARRAY, _MAP, _SIMPLE = 0, 2, 3, 4, 5, 7
_BOOLEANS = {20: False, 21: True}
_NULL = 22


@define
class _Items:
    """The CBOR items of a message, one after the other."""

    _data: memoryview
    _position: int = 0

    def _head(self, kind: int, what: str) -> int:
        found, number, position = item_head(self._data, self._position)
        if found != kind:
            raise ValueError(f"{what} is missing")
        self._position = position
        return number

    def _string(self, kind: int, what: str) -> memoryview:
        length = self._head(kind, what)
        begin, end = self._position, self._position + length
        if end > len(self._data):
            raise ValueError("it is cut off")
        self._position = end
        return self._data[begin:end]

    def number(self) -> int:
        """Return a number of 0 or more."""
        return self._head(_NUMBER, "a number of 0 or more")

    def number_or_null(self) -> int | None:
        """Return a number of 0 or more, or None."""
        if self._data[self._position : self._position + 1] == bytes([_SIMPLE << 5 | _NULL]):
            self._position += 1
            return None
        return self.number()

    def boolean(self) -> bool:
        """Return true or false."""
        number = self._head(_SIMPLE, "true or false")
        if number not in _BOOLEANS:
            raise ValueError("true or false is missing")
        return _BOOLEANS[number]

    def octets(self) -> memoryview:
        """Return a byte string, which is not copied."""
        return self._string(_BYTES, "a byte string")

    def array(self, most: int) -> range:
        """Begin an array of at most *most* items; return something as long as it is."""
        return _up_to(most, self._head(_ARRAY, "an array"))

    def map(self, most: int) -> range:
        """Begin a map of at most *most* pairs; return something as long as it is."""
        return _up_to(most, self._head(_MAP, "a map"))

    def fields(self, *names: str) -> Iterator[str]:
        """Give the keys of a map that has these and no others, each before its value."""
        wanted = {name.encode("ascii") for name in names}
        for _ in self.map(len(wanted)):
            key = bytes(self._string(_TEXT, "a key"))
            if key not in wanted:
                raise ValueError("it is no map of " + ", ".join(names))
            wanted.remove(key)
            yield key.decode("ascii")
        if wanted:
            raise ValueError("it is no map of " + ", ".join(names))

    def end(self) -> None:
        """:raises ValueError: when something follows."""
        if self._position != len(self._data):
            raise ValueError("something stands behind it")


def _up_to(most: int, number: int) -> range:
    if number > most:
        raise ValueError(f"there are more than {most} of something")
    return range(number)


def parse_request(body: bytes | bytearray) -> tuple[dict[int, SlotChange], list[SlotRead]]:
    """Return what is asked of each share, and what is read; parts of *body* are in it."""
    items = _Items(memoryview(body).toreadonly())
    changes: dict[int, SlotChange] = {}
    reads: list[SlotRead] = []
    for name in items.fields("test-write-vectors", "read-vector"):
        if name == "read-vector":
            reads = [_read(items) for _ in items.array(MAX_SLOT_READS)]
            continue
        for _ in items.map(MAX_SLOT_SHARES):
            share = items.number()
            if share in changes or share >= MAX_SLOT_SHARES:
                raise ValueError("share numbers are 0 to 255, each once")
            changes[share] = _change(items)
    items.end()
    return changes, reads


def _change(items: _Items) -> SlotChange:
    tests: list[SlotTest] = []
    writes: list[SlotWrite] = []
    new_length = None
    for name in items.fields("test", "write", "new-length"):
        if name == "test":
            tests = [_test(items) for _ in items.array(MAX_SLOT_TESTS)]
        elif name == "write":
            writes = [_write(items) for _ in items.array(MAX_SLOT_WRITES)]
        else:
            new_length = items.number_or_null()
    return SlotChange(tests, writes, new_length)


def _read(items: _Items) -> SlotRead:
    values = {name: items.number() for name in items.fields("offset", "size")}
    return SlotRead(values["offset"], values["size"])


def _test(items: _Items) -> SlotTest:
    numbers, specimen = {}, b""
    for name in items.fields("offset", "size", "specimen"):
        if name == "specimen":
            specimen = bytes(items.octets())
        else:
            numbers[name] = items.number()
    return SlotTest(numbers["offset"], numbers["size"], specimen)


def _write(items: _Items) -> SlotWrite:
    offset, data = 0, memoryview(b"")
    for name in items.fields("offset", "data"):
        if name == "offset":
            offset = items.number()
        else:
            data = items.octets()
    return SlotWrite(offset, data)


def encode_answer(answer: SlotAnswer) -> bytes:
    """Answer whether it was written, and what was read."""
    data = {share: list(parts) for share, parts in answer.data.items()}
    return cbor2.dumps({"success": answer.success, "data": data})


def longest_answer(reads: Sequence[SlotRead]) -> int:
    """Return the bytes of the longest answer to a request that has these *reads*."""
    data = MAX_SLOT_SHARES * sum(each.length for each in reads)
    around = _AROUND + MAX_SLOT_SHARES * _AROUND_RANGE * len(reads)
    return min(data, MAX_SLOT_DATA) + around


def parse_answer(body: bytes, reads: Sequence[SlotRead]) -> SlotAnswer:
    """Return the answer to a request that has these *reads*."""
    items = _Items(memoryview(body))
    success = False
    data: dict[int, list[bytes]] = {}
    for name in items.fields("success", "data"):
        if name == "success":
            success = items.boolean()
            continue
        for _ in items.map(MAX_SLOT_SHARES):
            share = items.number()
            if share in data or share >= MAX_SLOT_SHARES:
                raise ValueError("share numbers are 0 to 255, each once")
            data[share] = _found(items, reads)
    items.end()
    return SlotAnswer(success, data)


def _found(items: _Items, reads: Sequence[SlotRead]) -> list[bytes]:
    if len(items.array(len(reads))) != len(reads):
        raise ValueError("there are other ranges than those asked for")
    found: list[bytes] = []
    for read in reads:
        data = items.octets()
        if len(data) > read.length:
            raise ValueError("a range is longer than asked for")
        found.append(bytes(data))
    return found


def encode_request(changes: Mapping[int, SlotChange], reads: Sequence[SlotRead]) -> bytes:
    """Ask for *changes*, and to read."""
    return cbor2.dumps(
        {
            "test-write-vectors": {
                share: {
                    "test": [
                        {
                            "offset": each.offset,
                            "size": each.length,
                            "specimen": each.specimen,
                        }
                        for each in change.tests
                    ],
                    "write": [
                        {"offset": each.offset, "data": bytes(each.data)}
                        for each in change.writes
                    ],
                    "new-length": change.new_length,
                }
                for share, change in changes.items()
            },
            "read-vector": [{"offset": each.offset, "size": each.length} for each in reads],
        }
    )
