"""
What a gateway pushes next.  Pure: no network, no clock.

Source: ``docs/formats/helper-push.md``, "Pushing".
"""

from __future__ import annotations

from collections import deque

from attrs import define, field, frozen

from truckee.codec.hashes import Buffer
from truckee.errors import Unavailable
from truckee.helper.wire import LARGEST_WINDOW

# Bytes of one message: what the line takes in a moment, since small calls wait behind it.
SMALLEST, LARGEST = 16 * 1024, 256 * 1024
MOMENT = 0.05  # seconds
FEWEST = 3  # messages in a window: one is sent, one is written over there, one waits

# Bytes that the gateway works on at once: what has not left yet waits at the end.
LARGEST_PIECE = 1 << 20

# For so long a good rate is believed.
MEMORY = 10.0  # seconds
# In both directions of a line something always waits a little.
SLACK = 2.0


@define
class HelperForgot(Unavailable):
    """
    The helper has only {held} bytes of this file left, and those from there to {first} are
    gone here. Upload the file again.
    """

    held: int
    first: int


@define(eq=False)
class Line:
    """What is known of the line to the helper: how much of it may be filled."""

    _round_trip: float | None = field(default=None, init=False)  # seconds, the shortest
    _rates: deque[tuple[float, float]] = field(factory=deque, init=False)
    _delivered: int = field(default=0, init=False)  # bytes, on this connection

    @property
    def window(self) -> int:
        """Bytes that may be on their way."""
        filled = int(SLACK * self._rate * (self._round_trip or 0.0))
        return min(LARGEST_WINDOW, max(FEWEST * self.message, filled))

    @property
    def message(self) -> int:
        """Bytes of the next message."""
        return min(LARGEST, max(SMALLEST, int(self._rate * MOMENT)))

    @property
    def piece(self) -> int:
        """Bytes of ciphertext that should be made at once, while as many leave."""
        return min(LARGEST_PIECE, max(SMALLEST, int(2 * self._rate * MOMENT)))

    @property
    def _rate(self) -> float:
        # The best one is the first: none that is lower stands before it.
        return self._rates[0][1] if self._rates else 0.0

    @property
    def delivered(self) -> int:
        """Bytes that were acknowledged so far."""
        return self._delivered

    def acknowledged(self, message: Message, now: float) -> None:
        """*message* was acknowledged *now*."""
        taken = max(now - message.sent_at, 1e-6)
        self._round_trip = min(taken, self._round_trip or taken)
        self._delivered += message.size
        rate = (self._delivered - message.delivered) / taken
        # A lower rate before a higher one will never be the best again.
        while self._rates and self._rates[-1][1] <= rate:
            self._rates.pop()
        self._rates.append((now, rate))
        while now - self._rates[0][0] > MEMORY:
            self._rates.popleft()


@frozen(eq=False)
class Message:
    """One push."""

    offset: int
    data: bytes = field(repr=False)
    sent_at: float  # seconds
    delivered: int  # bytes that had been acknowledged by then

    @property
    def size(self) -> int:
        """Bytes in it."""
        return len(self.data)


@define(eq=False)
class PushSession:
    """
    The bytes of one upload between the client and the helper's disk.

    Every byte is kept from ``feed`` until it is known to be held over there.
    """

    held: int = 0  # bytes from the start that the helper holds
    fed: int = field(default=0, init=False)  # bytes that came so far
    line: Line = field(factory=Line, init=False)
    resent: int = field(default=0, init=False)  # bytes that were sent more than once
    _sent: int = field(init=False)  # up to here, on this connection
    _most_sent: int = field(init=False)  # on any
    # Pieces by offset, adjacent; the first may begin below ``held``.
    _pieces: deque[tuple[int, memoryview]] = field(factory=deque, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._sent = self._most_sent = self.held

    @property
    def waiting(self) -> int:
        """Bytes that were not sent yet."""
        return max(0, self.fed - self._sent)

    @property
    def in_flight(self) -> int:
        """Bytes that were sent and are not known to be held."""
        return max(0, self._sent - self.held)

    @property
    def done(self) -> bool:
        """Whether all that came is held."""
        return self.held >= self.fed

    def feed(self, data: Buffer) -> None:
        """Take the next bytes, which stay unchanged."""
        if self.fed + len(data) > self.held:
            self._pieces.append((self.fed, memoryview(data)))
        self.fed += len(data)

    def next(self, now: float) -> Message | None:
        """Return what to send now; None: wait for more bytes, or for an answer."""
        size = self.line.message
        if self.waiting == 0 or self.in_flight + size > self.line.window:
            return None
        data = self._read(self._sent, size)
        message = Message(self._sent, data, now, self.line.delivered)
        self._sent += len(data)
        self.resent += max(0, min(self._sent, self._most_sent) - message.offset)
        self._most_sent = max(self._most_sent, self._sent)
        return message

    def acknowledged(self, message: Message, held: int, now: float) -> None:
        """The helper said that it holds *held* bytes when it had *message*."""
        self.line.acknowledged(message, now)
        self._hold(held)

    def lost(self) -> None:
        """The connection is gone, and what was in flight may be gone too."""
        self._sent = self.held
        self.line = Line()

    def resume(self, held: int) -> None:
        """
        Go on over a new connection to a helper that holds *held* bytes.

        :raises HelperForgot: when that is less than what is still here.
        """
        first = self._pieces[0][0] if self._pieces else self.fed
        if held < min(first, self.held):
            raise HelperForgot(held, first)
        self.held = self._sent = held
        self._drop()

    def _hold(self, held: int) -> None:
        # Answers can come in another order, and others may push the same file.
        if held > self.held:
            self.held = held
            self._sent = max(self._sent, held)
            self._drop()

    def _drop(self) -> None:
        while self._pieces:
            offset, piece = self._pieces[0]
            if offset + len(piece) > self.held:
                return
            self._pieces.popleft()

    def _read(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes at *offset*, all of which are here."""
        parts: list[memoryview] = []
        for start, piece in self._pieces:
            if start >= offset + size:
                break
            part = piece[max(0, offset - start) : offset + size - start]
            if len(part):
                parts.append(part)
        return b"".join(parts)
