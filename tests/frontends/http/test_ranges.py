"""Range headers, and what the bodies of their answers are made of."""

from __future__ import annotations

import contextlib
import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.http.byteranges import partial, whole
from truckee.frontends.http.ranges import (
    MAX_RANGES,
    ByteRange,
    RangeNotSatisfiable,
    parse_ranges,
)

SIZE = 100
NUMBERS = st.integers(0, SIZE + 20)


@st.composite
def specs(draw: st.DrawFn) -> tuple[str, range]:
    """Return one range as a header has it, and the bytes that the RFC means by it."""
    kind = draw(st.sampled_from(("closed", "open", "suffix")))
    first = draw(NUMBERS)
    if kind == "open":
        return f"{first}-", range(first, SIZE)
    if kind == "suffix":
        return f"-{first}", range(max(0, SIZE - first), SIZE)
    last = draw(st.integers(first, SIZE + 40))
    return f"{first}-{last}", range(first, min(SIZE, last + 1))


BLANKS = st.text(" \t", max_size=2)


class ParseTests(SynchronousTestCase):
    @given(st.lists(specs(), min_size=1, max_size=MAX_RANGES), st.data())
    def test_law(self, asked: list[tuple[str, range]], data: st.DataObject) -> None:
        """Any set of ranges gives the bytes it has, each once, in their order."""
        commas = st.lists(BLANKS, min_size=1, max_size=3).map(",".join)
        text = data.draw(BLANKS)
        for spec, _ in asked:
            text += spec + data.draw(BLANKS) + "," + data.draw(commas)
        expected = {byte for _, each in asked for byte in each}
        if not expected:
            with self.assertRaises(RangeNotSatisfiable):
                parse_ranges(f"bytes={text}", SIZE)
            return
        ranges = parse_ranges(f"bytes={text}", SIZE)
        assert ranges is not None
        given = [byte for each in ranges for byte in range(each.start, each.end)]
        self.assertEqual(len(given), len(set(given)))
        self.assertEqual(set(given), expected)
        ends = {each.end for each in ranges}
        for each in ranges:
            self.assertEqual(each.size, SIZE)
            self.assertLess(each.start, each.end)
            self.assertNotIn(each.start, ends)  # none touches another
        # Each stands where the first range that is in it stood.
        places = [
            next(
                place for place, (_, their) in enumerate(asked) if their and their[0] in own
            )
            for own in (range(each.start, each.end) for each in ranges)
        ]
        self.assertEqual(places, sorted(places))

    @given(st.text(st.sampled_from("bytes=0123456789-, \t\xb2x"), max_size=40), NUMBERS)
    def test_any_text(self, text: str, size: int) -> None:
        """Whatever the header is, ranges are inside the file, or there is one error."""
        for header in (text, f"bytes={text}"):
            try:
                ranges = parse_ranges(header, size)
            except RangeNotSatisfiable as error:
                self.assertEqual(error.size, size)
                continue
            for each in ranges or ():
                self.assertTrue(0 <= each.start < each.end <= size == each.size)
            self.assertNotEqual(ranges, ())

    def test_empty_file(self) -> None:
        """An empty file has an end, which is the whole of it, and nothing else."""
        for text in ("-1", "-99", "0-,-1", "-0,-001"):
            self.assertIsNone(parse_ranges(f"bytes={text}", 0))
        for text in ("0-", "0-0", "5-9", "-0", "-00", "0-,-0"):
            with self.assertRaises(RangeNotSatisfiable):
                parse_ranges(f"bytes={text}", 0)

    def test_many(self) -> None:
        """More ranges than are sent are joined where they are near, or not sent at all."""
        size = 10**6

        def parse(step: int, count: int) -> tuple[ByteRange, ...] | None:
            starts = range(0, count * step, step)
            return parse_ranges("bytes=" + ",".join(f"{i}-{i}" for i in starts), size)

        for step in (2, 81, 82, 5000):
            ranges = parse(step, MAX_RANGES)
            assert ranges is not None
            self.assertEqual(len(ranges), MAX_RANGES)
        for step in (2, 50, 81):
            last = MAX_RANGES * step
            self.assertEqual(parse(step, MAX_RANGES + 1), (ByteRange(0, last + 1, size),))
        for step in (82, 5000):
            self.assertIsNone(parse(step, MAX_RANGES + 1))

    def test_time(self) -> None:
        """A header of any length costs time in proportion to it."""
        for header in (
            "0-0," * 250_000,
            "," * 1_000_000,
            " " * 1_000_000,
            "0" * 1_000_000,
            "0" * 1_000_000 + "-",
            "-" + "9" * 1_000_000,
            "9" * 1_000_000 + "-" + "9" * 1_000_000 + "x",
            "-" * 1_000_000,
            ",".join(f"{i}-{i}" for i in range(200_000, 0, -2)),
        ):
            begin = time.process_time()
            with contextlib.suppress(RangeNotSatisfiable):
                parse_ranges(f"bytes={header}", 10**15)
            self.assertLess(time.process_time() - begin, 5.0, header[:20])


class BodyTests(SynchronousTestCase):
    def render(self, data: bytes, header: str) -> tuple[bytes, dict[str, str]]:
        """Return the body of the answer to a Range header, and its headers."""
        ranges = parse_ranges(header, len(data))
        assert ranges is not None
        body = partial(ranges, "image/png", "BOUNDARY")
        parts = [head + data[part.start : part.end] for head, part in body.parts]
        self.assertEqual(body.status, 206)
        return b"".join(parts) + body.tail, dict(body.headers)

    def test_whole(self) -> None:
        """The whole is one part, with nothing around it; an empty file has one too."""
        for size in (0, 1, 10**20):
            body = whole(size, "text/plain")
            self.assertEqual(body.status, 200)
            self.assertEqual(body.parts, ((b"", ByteRange(0, size, size)),))
            self.assertEqual(body.tail, b"")
            self.assertEqual(
                body.headers, {"content-type": "text/plain", "content-length": str(size)}
            )

    def test_one(self) -> None:
        """One range is sent as it is, and a header says which it is."""
        body, headers = self.render(b"0123456789", "bytes=2-4")
        self.assertEqual(body, b"234")
        self.assertEqual(
            headers,
            {
                "content-type": "image/png",
                "content-length": "3",
                "content-range": "bytes 2-4/10",
            },
        )

    def test_several(self) -> None:
        """Several are parts, each with its type and range, between boundaries."""
        body, headers = self.render(b"0123456789", "bytes=7-8,0-1,4-4")
        self.assertEqual(
            body,
            b"--BOUNDARY\r\nContent-Type: image/png\r\n"
            b"Content-Range: bytes 7-8/10\r\n\r\n78\r\n"
            b"--BOUNDARY\r\nContent-Type: image/png\r\n"
            b"Content-Range: bytes 0-1/10\r\n\r\n01\r\n"
            b"--BOUNDARY\r\nContent-Type: image/png\r\n"
            b"Content-Range: bytes 4-4/10\r\n\r\n4\r\n--BOUNDARY--\r\n",
        )
        self.assertEqual(
            headers,
            {
                "content-type": "multipart/byteranges; boundary=BOUNDARY",
                "content-length": str(len(body)),
            },
        )

    @given(st.lists(specs(), min_size=1, max_size=50))
    def test_length(self, asked: list[tuple[str, range]]) -> None:
        """The announced length is that of the body."""
        header = "bytes=0-0," + ",".join(spec for spec, _ in asked)
        body, headers = self.render(bytes(SIZE), header)
        self.assertEqual(headers["content-length"], str(len(body)))
