"""Bodies on the wire, sized and chunked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.net.http.body import CHUNKS_AT_ONCE, Decoder, MalformedBody, decoder


def feed_all(body: Decoder, parts: list[bytes]) -> tuple[bytes, bytes]:
    """Return the body in *parts*, and what follows it."""
    found, rest = b"", b""
    for part in parts:
        rest += part
        while rest and not body.ended:
            piece, rest = body.feed(rest)
            found += piece
    return found, rest


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return *data* cut at some places."""
    ends = sorted(each % (len(data) + 1) for each in cuts)
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


class BodyTests(SynchronousTestCase):
    @given(st.binary(), st.binary(), st.lists(st.integers(0, 1000)))
    def test_sized(self, data: bytes, rest: bytes, cuts: list[int]) -> None:
        """A body of known length is what it is, and what follows is not touched."""
        body = decoder(len(data))
        found = feed_all(body, [b"", *cut(data + rest, cuts)])
        if data or rest:
            self.assertEqual((*found, body.ended), (data, rest, True))

    @given(
        st.lists(st.binary(min_size=1)),
        st.sampled_from([b"", b";a=b", b" ; a", b";"]),
        st.sampled_from([b"", b"a: b\r\n", b"a:\r\nb: c\r\n"]),
        st.binary(),
        st.lists(st.integers(0, 1000), max_size=8),
    )
    def test_chunked(
        self,
        chunks: list[bytes],
        more: bytes,
        last: bytes,
        rest: bytes,
        cuts: list[int],
    ) -> None:
        """Chunks, however cut; extensions and trailers are dropped."""
        wire = b"".join(b"%x%b\r\n%b\r\n" % (len(c), more, c) for c in chunks)
        wire += b"0%b\r\n%b\r\n" % (more, last)
        body = decoder(None)
        found = feed_all(body, cut(wire + rest, cuts))
        self.assertEqual((*found, body.ended), (b"".join(chunks), rest, True))

    def test_byte_by_byte(self) -> None:
        """The same comes of bytes that arrive alone."""
        wire = b"5;x\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n000\r\na: b\r\n\r\n"
        found = feed_all(decoder(None), [bytes([byte]) for byte in wire])
        self.assertEqual(found, (b"hello world", b""))

    def test_steps(self) -> None:
        """One call takes so many chunks apart and leaves the rest."""
        wire = b"1\r\nx\r\n" * (3 * CHUNKS_AT_ONCE)
        body = decoder(None)
        piece, rest = body.feed(wire)
        self.assertLessEqual(len(piece), CHUNKS_AT_ONCE)
        self.assertGreater(len(rest), len(wire) // 2)
        found, _ = feed_all(body, [rest + b"0\r\n\r\n"])
        self.assertEqual(len(piece + found), 3 * CHUNKS_AT_ONCE)

    def test_malformed(self) -> None:
        """What could be read in two ways is refused, whole and byte by byte."""
        for wire in (
            b"\r\n",
            b"x\r\n",
            b"-1\r\n",
            b"+1\r\nx\r\n",
            b"0x1\r\nx\r\n",
            b"1_0\r\n",
            b" 1\r\nx\r\n",
            b"1 \r\nx\r\n",
            b"1\nx\n0\n\n",
            b"1\rx\r\n",
            b"1\r\nx\n0\r\n\r\n",
            b"1\r\nxy\r\n",
            b"1\r\nx\r0\r\n\r\n",
            b"1;a\nb\r\nx\r\n",
            b"1;a\rb\r\nx\r\n",
            b"1;\x00\r\nx\r\n",
            b"1 a\r\nx\r\n",
            b"f" * 16 + b"\r\n",
            b"0" * 300,
            b"1;" + b"a" * 300 + b"\r\n",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\n folded: x\r\n\r\n",
            b"0\r\na: \x00\r\n\r\n",
            b"0\r\na: b\n\r\n",
        ):
            for parts in ([wire], [bytes([byte]) for byte in wire]):
                with self.assertRaises(MalformedBody, msg=wire):
                    feed_all(decoder(None), parts)

    def test_extra_is_bounded(self) -> None:
        """So many bytes of extensions and trailers, and no more, in one body."""
        for wire in (b"1;" + b"a" * 200 + b"\r\nx\r\n", b"a:" + b"b" * 200 + b"\r\n"):
            begin = b"0\r\n" if wire.startswith(b"a") else b""
            with self.assertRaises(MalformedBody):
                feed_all(decoder(None), [begin, *[wire] * 100])
