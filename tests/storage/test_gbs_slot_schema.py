"""Requests for slots as HTTPS carries them."""

from __future__ import annotations

from typing import Any

import cbor2
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.storage.gbs_slot_schema import encode_answer, encode_request, parse_request
from truckee.storage.interfaces import (
    MAX_SLOT_READS,
    MAX_SLOT_TESTS,
    MAX_SLOT_WRITES,
    SlotAnswer,
    SlotChange,
    SlotRead,
    SlotTest,
    SlotWrite,
)

NUMBERS = st.integers(0, (1 << 64) - 1)
BYTES = st.binary(max_size=300)
CHANGES = st.builds(
    SlotChange,
    st.lists(st.builds(SlotTest, NUMBERS, NUMBERS, BYTES), max_size=3),
    st.lists(st.builds(SlotWrite, NUMBERS, BYTES), max_size=3),
    st.none() | NUMBERS,
)
REQUESTS = st.tuples(
    st.dictionaries(st.integers(0, 255), CHANGES, max_size=3),
    st.lists(st.builds(SlotRead, NUMBERS, NUMBERS), max_size=3),
)
Request = tuple[dict[int, SlotChange], list[SlotRead]]


def message() -> dict[str, Any]:
    """Return a good one."""
    return {
        "test-write-vectors": {
            3: {
                "test": [{"offset": 0, "size": 1, "specimen": b""}],
                "write": [{"offset": 5, "data": b"data"}],
                "new-length": None,
            }
        },
        "read-vector": [{"offset": 0, "size": 10}],
    }


def plain(request: Request) -> Request:
    """Return it with bytes that are compared by their type, too."""
    changes, reads = request
    return {
        share: evolve(
            change,
            writes=[SlotWrite(each.offset, bytes(each.data)) for each in change.writes],
        )
        for share, change in changes.items()
    }, reads


class RequestTests(SynchronousTestCase):
    @settings(max_examples=30)
    @given(REQUESTS)
    def test_round_trip(self, request: Request) -> None:
        """What is encoded is parsed."""
        self.assertEqual(plain(parse_request(encode_request(*request))), request)

    @settings(max_examples=60)
    @given(REQUESTS, st.data())
    def test_cut_or_changed(self, request: Request, data: st.DataObject) -> None:
        """A message cut anywhere is an error, with more behind it too; one with any byte
        changed is an error or another message."""
        body = encode_request(*request)
        place = data.draw(st.integers(0, len(body) - 1))
        for broken in (body[:place], body + b"\0"):
            with self.assertRaises(ValueError):
                parse_request(broken)
        changed = bytearray(body)
        changed[place] ^= data.draw(st.integers(1, 255))
        try:
            found = parse_request(changed)
        except ValueError:
            return
        self.assertEqual(plain(parse_request(encode_request(*found))), plain(found))

    @given(st.binary(max_size=200))
    def test_noise(self, noise: bytes) -> None:
        """Anything else is a ValueError."""
        with self.assertRaises(ValueError):
            parse_request(noise)

    def test_other_forms(self) -> None:
        """Missing keys, surplus ones, other types and numbers are errors."""
        good = message()
        parse_request(cbor2.dumps(good))
        vectors = good["test-write-vectors"]
        share, text = vectors[3], {"offset": 0, "data": "x"}
        bad: Any
        for bad in (
            [],
            None,
            {},
            {"read-vector": []},
            good | {"more": 1},
            good | {"read-vector": {}},
            good | {"read-vector": [{"offset": 0}]},
            good | {"read-vector": [{"offset": 0, "size": -1}]},
            good | {"read-vector": [{"offset": 0, "size": 1.0}]},
            good | {"read-vector": [{"offset": 0, "size": True}]},
            good | {"read-vector": [{"offset": 0, "size": 1 << 64}]},
            good | {"read-vector": {1, 2}},
            good | {"test-write-vectors": []},
            good | {"test-write-vectors": {256: share}},
            good | {"test-write-vectors": {-1: share}},
            good | {"test-write-vectors": {"3": share}},
            good | {"test-write-vectors": {3: {"test": [], "write": []}}},
            good | {"test-write-vectors": {3: share | {"new-length": -1}}},
            good | {"test-write-vectors": {3: share | {"new-length": False}}},
            good | {"test-write-vectors": {3: share | {"write": None}}},
            good | {"test-write-vectors": {3: share | {"write": [text]}}},
        ):
            with self.assertRaises(ValueError, msg=bad):
                parse_request(cbor2.dumps(bad))
        twice = cbor2.dumps(good).replace(b"\xa1\x03", b"\xa2\x03", 1)
        with self.assertRaises(ValueError):
            parse_request(twice)

    def test_bounds(self) -> None:
        """One request may have so many ranges, tests and writes, and no more."""
        read = {"offset": 0, "size": 1}
        test, write = read | {"specimen": b""}, {"offset": 0, "data": b""}
        for key, each, most in (
            ("test", test, MAX_SLOT_TESTS),
            ("write", write, MAX_SLOT_WRITES),
        ):
            body = message()
            body["test-write-vectors"][3][key] = [each] * most
            parse_request(cbor2.dumps(body))
            body["test-write-vectors"][3][key] = [each] * (most + 1)
            with self.assertRaises(ValueError):
                parse_request(cbor2.dumps(body))
        parse_request(cbor2.dumps(message() | {"read-vector": [read] * MAX_SLOT_READS}))
        with self.assertRaises(ValueError):
            more = [read] * (MAX_SLOT_READS + 1)
            parse_request(cbor2.dumps(message() | {"read-vector": more}))

    def test_huge_numbers_of_items(self) -> None:
        """A message that says it has very many items costs nothing."""
        with self.assertRaises(ValueError):
            parse_request(b"\xbb" + b"\xff" * 8)
        with self.assertRaises(ValueError):
            parse_request(b"\xa2\x6bread-vector\x9b" + b"\xff" * 8)

    def test_answer(self) -> None:
        """An answer has the types that stock clients look for."""
        body = encode_answer(SlotAnswer(True, {3: (b"a", b"")}))
        self.assertEqual(cbor2.loads(body), {"success": True, "data": {3: [b"a", b""]}})
