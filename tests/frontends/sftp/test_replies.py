"""Answers, as clients read them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.sftp import replies
from truckee.frontends.sftp.errors import _CODES, NotDone, NotEmpty, code_of
from truckee.frontends.sftp.replies import Code
from truckee.frontends.sftp.requests import EXTENSIONS
from truckee.frontends.sftp.wire import MAX_PACKET, Fields, Splitter


def only(packet: bytes) -> Fields:
    """Return the fields of a packet that is whole, behind its number, which is 7."""
    [found] = Splitter().feed(packet)
    fields = Fields(found[1:])
    assert fields.u32() == 7
    return fields


class ReplyTests(SynchronousTestCase):
    @given(st.sampled_from(list(Code)), st.text())
    def test_status(self, code: Code, text: str) -> None:
        """A code, some words, whatever is in them, and their language."""
        fields = only(replies.status(7, code, text))
        self.assertEqual(fields.u32(), code)
        self.assertLessEqual(len(fields.string()), 4000)
        self.assertEqual(fields.string(), b"en")
        self.assertFalse(fields.rest())

    @given(st.binary(max_size=300))
    def test_data(self, content: bytes) -> None:
        """The bytes of a file."""
        fields = only(replies.data(7, content))
        self.assertEqual(bytes(fields.data()), content)
        self.assertFalse(fields.rest())

    def test_numbers_and_names(self) -> None:
        """Numbers, and as many names as are said."""
        fields = only(replies.numbers(7, (1, 2**64 - 1)))
        self.assertEqual((fields.u64(), fields.u64(), fields.rest()), (1, 2**64 - 1, False))
        fields = only(replies.names(7, [b"abc", b"d"]))
        self.assertEqual(fields.u32(), 2)

    def test_version(self) -> None:
        """The version, and what is there beyond it."""
        [packet] = Splitter().feed(replies.version(3, EXTENSIONS))
        fields = Fields(packet)
        self.assertEqual((fields.byte(), fields.u32()), (2, 3))
        found = {}
        while fields.rest():
            name = fields.string()
            found[name] = fields.string()
        self.assertEqual(found, EXTENSIONS)
        self.assertLess(len(packet), MAX_PACKET)

    def test_codes(self) -> None:
        """Errors have the code of their kind, others the one for all."""
        for kind, code in _CODES:
            self.assertIn(code, Code)
            self.assertTrue(issubclass(kind, Exception))
        self.assertEqual(code_of(NotEmpty()), Code.FAILURE)
        self.assertEqual(code_of(NotDone("it")), Code.UNSUPPORTED)
