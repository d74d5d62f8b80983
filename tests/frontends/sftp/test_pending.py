"""Requests that wait for their turn."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.sftp.pending import READS_AT_ONCE, Pending
from truckee.frontends.sftp.requests import Kind
from truckee.frontends.sftp.wire import MAX_PACKET, BadPacket, string, u32


@define(eq=False)
class Server:
    """What begins requests, each of which goes on until it is let go."""

    clock: Clock = field(factory=Clock)
    begun: list[tuple[bytes, Deferred[None]]] = field(factory=list)
    credit: list[tuple[int, bool]] = field(factory=list)
    bad: list[BadPacket] = field(factory=list)
    pending: Pending = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.pending = Pending(
            self._begin,
            lambda amount, grow: self.credit.append((amount, grow)),
            self.bad.append,
            lambda: None,
            self.clock,
        )

    async def _begin(self, packet: bytes) -> None:
        done: Deferred[None] = Deferred()
        self.begun.append((packet, done))
        await done


def _packets(kind: Kind, count: int) -> bytes:
    return b"".join(string(bytes([kind]) + u32(number)) for number in range(count))


class PendingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()

    def test_reads(self) -> None:
        """So many reads are begun at once, the others when these are done, in order."""
        data = _packets(Kind.READ, 3 * READS_AT_ONCE) + _packets(Kind.CLOSE, 1)
        begun = self.server.begun
        for byte in data:
            self.server.pending.add(bytes([byte]))
        self.assertEqual(len(begun), READS_AT_ONCE)
        for number in range(3 * READS_AT_ONCE):
            self.server.clock.advance(0)
            begun[number][1].callback(None)
        self.server.clock.advance(0)
        numbers = [packet[1:5] for packet, _ in begun]
        self.assertEqual(numbers, [u32(n) for n in range(3 * READS_AT_ONCE)] + [u32(0)])
        self.assertFalse(self.server.pending.is_empty)
        begun[-1][1].callback(None)
        self.assertTrue(self.server.pending.is_empty)
        self.assertEqual(sum(amount for amount, _ in self.server.credit), len(data))

    def test_writes(self) -> None:
        """Whoever writes gets more to send from then on."""
        self.server.pending.add(_packets(Kind.WRITE, 1) + _packets(Kind.CLOSE, 1))
        for _, done in self.server.begun:
            done.callback(None)
        self.assertEqual(self.server.credit, [(9, True), (9, False)])

    def test_bad_lengths(self) -> None:
        """Behind a length that cannot be, nothing is begun, and the rest is forgotten."""
        for length in (0, MAX_PACKET + 1):
            server = Server()
            server.pending.add(_packets(Kind.CLOSE, 1) + u32(length) + b"rest")
            self.assertEqual(len(server.begun), 1)
            self.assertEqual(len(server.bad), 1)
            server.begun[0][1].callback(None)
            self.assertTrue(server.pending.is_empty)
            self.assertEqual(len(server.bad), 1)
