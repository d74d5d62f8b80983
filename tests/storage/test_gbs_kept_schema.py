"""Messages about shares that outlive their writers, over HTTPS."""

from __future__ import annotations

import cbor2
from twisted.trial.unittest import SynchronousTestCase

from truckee.storage import gbs_kept_schema as schema
from truckee.storage.gbs_kept_schema import Opening
from truckee.storage.interfaces import MAX_KEPT_SIZE


class KeptSchemaTests(SynchronousTestCase):
    def test_both_ways(self) -> None:
        """What one side says the other understands."""
        for open_ended in (False, True):
            opening = Opening({0, 255}, MAX_KEPT_SIZE, open_ended)
            self.assertEqual(schema.parse_open(schema.encode_open(opening)), opening)
        lengths = {0: 0, 255: MAX_KEPT_SIZE}
        encoded = schema.encode_unfinished(lengths)
        self.assertEqual(schema.parse_unfinished(encoded), lengths)
        encoded = schema.encode_opened({3}, {0: 8})
        self.assertEqual(schema.parse_opened(encoded, {0, 1}, 8), ({3}, {0: 8}))
        self.assertEqual(schema.parse_hashes(schema.encode_hashes(1, 2, 3)), (1, 2, 3))
        self.assertEqual(schema.parse_close(schema.encode_close(5)), 5)
        header = schema.writer_header(bytes(schema.WRITER_SIZE))
        self.assertEqual(schema.parse_writer(header), header)

    def test_hashes(self) -> None:
        """An answer has whole hashes, and no more of them than were asked for."""
        self.assertEqual(schema.split_hashes(b"", 0), [])
        both = [b"a" * 32, b"b" * 32]
        for count in (2, 3):
            self.assertEqual(schema.split_hashes(b"".join(both), count), both)
        for body, count in ((bytes(31), 1), (bytes(33), 2), (bytes(64), 1), (bytes(32), 0)):
            with self.assertRaises(ValueError):
                schema.split_hashes(body, count)

    def test_other_lengths(self) -> None:
        """Lengths are those of shares there can be, and that were asked for."""
        for value in (
            [0],
            {0: -1},
            {0: MAX_KEPT_SIZE + 1},
            {256: 1},
            {-1: 1},
            {"0": 1},
            {0: True},
            {0: "1"},
            dict.fromkeys(range(257), 0),
        ):
            with self.assertRaises(ValueError, msg=value):
                schema.parse_unfinished(cbor2.dumps(value))
        for opened in ({2: 0}, {0: 9}):
            encoded = schema.encode_opened(set(), opened)
            with self.assertRaises(ValueError, msg=opened):
                schema.parse_opened(encoded, {0, 1}, 8)
