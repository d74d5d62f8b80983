"""Codes of a helper's protocol, and the errors at both ends of it."""

from __future__ import annotations

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from truckee.errors import Misuse
from truckee.grid.selection import NotEnoughServers
from truckee.helper import wire
from truckee.helper.errors import (
    ContentDiffers,
    Gap,
    HelperBusy,
    HelperFailed,
    HelperFull,
    HelperRefuses,
    UploadOver,
    code_of,
    error_of,
)
from truckee.immutable.upload.acceptance import DamagedShares, NotProved
from truckee.storage.interfaces import NoSpace, NotWritable


@define
class _Odd(Misuse):
    """Bytes are {what}."""

    what: str


class CodeTests(SynchronousTestCase):
    def assertSame(self, one: Exception, other: Exception) -> None:
        """Fail unless two errors are of one kind and say the same."""
        self.assertIs(type(one), type(other))
        self.assertEqual(str(one), str(other))

    def test_same_at_both_ends(self) -> None:
        """What the gateway can raise is what the helper raised."""
        for error, code in (
            (HelperFull(), wire.FULL),
            (HelperBusy(), wire.BUSY),
            (HelperRefuses(), wire.TOO_LARGE),
            (ContentDiffers(), wire.DIFFERS),
            (NotEnoughServers(2, 7), wire.NO_SERVERS),
            (NoSpace("two servers"), wire.NO_SPACE),
        ):
            told = code_of(error)
            self.assertEqual(told[0], code)
            self.assertSame(error_of(*told), error)

    def test_told_as_another(self) -> None:
        """Errors that are the same to a gateway have one code."""
        for error, code, detail in (
            (DamagedShares(1, 4), wire.NO_SERVERS, b"1 4"),
            (NotProved(3, 4), wire.NO_SERVERS, b"3 4"),
            (NotWritable("a disk", "broken"), wire.NO_SPACE, b"a disk"),
            (Gap(17), wire.GAP, b""),
            (UploadOver(), wire.CLOSED, b""),
            (_Odd("odd"), wire.FAILED, b"Bytes are odd."),
        ):
            self.assertEqual(code_of(error), (code, detail))

    def test_nothing_of_this_machine(self) -> None:
        """Of an error that is not ours no word is told."""
        error = FileNotFoundError(2, "no such file", "/home/somebody")
        self.assertEqual(code_of(error), (wire.FAILED, b""))

    def test_length(self) -> None:
        """A detail has at most 1000 bytes, of which a gateway shows 500 characters."""
        code, detail = code_of(_Odd("é" * 1000))
        self.assertEqual(len(detail), 1000)
        error = error_of(code, detail)
        assert isinstance(error, HelperFailed)
        self.assertEqual(len(error.reason), 500)

    def test_what_a_helper_makes_up(self) -> None:
        """Any code with any detail is an error, which names no more than it was told."""
        for code, detail, reason in (
            (wire.OK, b"", ""),
            (wire.GAP, b"", "gap"),
            (wire.CLOSED, b"", "closed"),
            (wire.FAILED, b"a\nb", "a\\nb"),
            (wire.NO_SERVERS, b"", "no-servers"),
            (wire.NO_SERVERS, b"1", "1"),
            (wire.NO_SERVERS, b"1 -2", "1 -2"),
            (wire.NO_SERVERS, "1 ٣".encode(), "1 \\u0663"),
            (b"\xff\x1b", b"", "\\ufffd\\x1b"),
        ):
            self.assertSame(error_of(code, detail), HelperFailed(reason))
        digits = b"9" * 400
        self.assertSame(
            error_of(wire.NO_SERVERS, digits + b" " + digits),
            NotEnoughServers(999_999_999, 999_999_999),
        )
