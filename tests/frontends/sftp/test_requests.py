"""What clients ask for, from their packets."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.sftp import requests as asked
from truckee.frontends.sftp.attributes import Attributes
from truckee.frontends.sftp.requests import Kind, Open, read_id, read_request, read_version
from truckee.frontends.sftp.wire import BadPacket, string, u32, u64

H, P, Q = string(b"h"), string(b"/p"), string(b"/q")
NONE = u32(0)


def extended(name: bytes, rest: bytes) -> tuple[int, bytes]:
    """Return the parts of an extended request."""
    return Kind.EXTENDED, string(name) + rest


CASES: list[tuple[tuple[int, bytes], asked.Request]] = [
    ((Kind.OPEN, P + u32(3) + NONE), asked.OpenFile(b"/p", Open(3), Attributes())),
    ((Kind.CLOSE, H), asked.Close(b"h")),
    ((Kind.READ, H + u64(5) + u32(6)), asked.Read(b"h", 5, 6)),
    ((Kind.WRITE, H + u64(5) + Q), asked.Write(b"h", 5, memoryview(b"/q"))),
    ((Kind.LSTAT, P), asked.Stat(b"/p")),
    ((Kind.STAT, P), asked.Stat(b"/p")),
    ((Kind.FSTAT, H), asked.StatHandle(b"h")),
    ((Kind.SETSTAT, P + u32(1) + u64(9)), asked.SetStat(b"/p", Attributes(9))),
    ((Kind.FSETSTAT, H + NONE), asked.SetStatHandle(b"h", Attributes())),
    ((Kind.OPENDIR, P), asked.OpenDirectory(b"/p")),
    ((Kind.READDIR, H), asked.ReadDirectory(b"h")),
    ((Kind.REMOVE, P), asked.Remove(b"/p")),
    ((Kind.MKDIR, P + NONE), asked.MakeDirectory(b"/p")),
    ((Kind.RMDIR, P), asked.RemoveDirectory(b"/p")),
    ((Kind.REALPATH, P), asked.RealPath(b"/p")),
    ((Kind.RENAME, P + Q), asked.Rename(b"/p", b"/q")),
    (
        extended(b"posix-rename@openssh.com", P + Q),
        asked.Rename(b"/p", b"/q", replace=True),
    ),
    (extended(b"hardlink@openssh.com", P + Q), asked.HardLink(b"/p", b"/q")),
    (extended(b"fsync@openssh.com", H), asked.Sync(b"h")),
    (extended(b"statvfs@openssh.com", P), asked.SpaceOf()),
    (extended(b"expand-path@openssh.com", P), asked.RealPath(b"/p")),
    (
        extended(b"copy-data", H + u64(1) + u64(2) + H + u64(3)),
        asked.CopyData(b"h", 1, 2, b"h", 3),
    ),
]


class RequestTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Each is read, also with bytes behind it; cut at any byte it is refused."""
        for (kind, rest), expected in CASES:
            packet = bytes([kind]) + u32(77) + rest
            self.assertEqual(read_id(packet), 77)
            for behind in (b"", b"x", bytes(100)):
                self.assertEqual(read_request(packet + behind), expected)
            for end in range(5, len(packet)):
                with self.assertRaises(BadPacket):
                    read_request(packet[:end])

    def test_unknown(self) -> None:
        """What is not known is said to be unsupported, nothing worse."""
        for kind in set(range(256)) - set(Kind):
            found = read_request(bytes([kind]) + u32(1) + b"whatever")
            self.assertIsInstance(found, asked.Unsupported)
        for name in (b"", b"no@such", b"\xff"):
            packet = bytes([Kind.EXTENDED]) + u32(1) + string(name)
            self.assertIsInstance(read_request(packet), asked.Unsupported)

    @settings(max_examples=500)
    @given(st.sampled_from(list(Kind)), st.binary(max_size=80))
    def test_nonsense(self, kind: int, rest: bytes) -> None:
        """Whatever comes is a request or a malformed packet."""
        try:
            found = read_request(bytes([kind]) + u32(1) + rest)
        except BadPacket:
            return
        self.assertIsInstance(found, asked.Request)

    def test_version(self) -> None:
        """The first packet has a version."""
        self.assertEqual(read_version(b"\1" + u32(6) + b"more"), 6)
        for bad in (b"", b"\1", b"\1\0\0\0", b"\2" + u32(3)):
            with self.assertRaises(BadPacket):
                read_version(bad)
