"""
What SFTP packets are made of: lengths, numbers and strings.  Pure.

Source: draft-ietf-secsh-filexfer-02, sections 3 and 5.
"""

from __future__ import annotations

from struct import Struct

from attrs import define, field

from truckee.codec.hashes import Buffer
from truckee.errors import Misuse

_U32, _U64 = Struct(">I"), Struct(">Q")

# Of one packet, without its length: what OpenSSH accepts too.
MAX_PACKET = 256 << 10  # bytes
# Of one path or handle; longer ones are not looked at.
MAX_STRING = 16 << 10  # bytes


@define
class BadPacket(Misuse):
    """The SFTP packet is malformed: {reason}."""

    reason: str


@define
class PacketTooLong(BadPacket):
    """An SFTP packet is malformed: {reason}. The connection is closed."""


@define(eq=False)
class Splitter:
    """Feed what a channel brings; take whole packets out."""

    _buffer: bytearray = field(factory=bytearray, init=False, repr=False)

    @property
    def pending(self) -> int:
        """Bytes of a packet that is not whole yet."""
        return len(self._buffer)

    def feed(self, data: Buffer) -> list[bytes]:
        """Return the packets that are whole now.  :raises PacketTooLong:"""
        self.add(data)
        found = list[bytes]()
        while self.kind() is not None:
            found.append(self.take())
        return found

    def add(self, data: Buffer) -> None:
        """Have *data*, too."""
        self._buffer += data

    def clear(self) -> None:
        """Have nothing."""
        self._buffer = bytearray()

    def kind(self) -> int | None:
        """
        Return the type of the next packet; None: it is not whole.

        :raises PacketTooLong: when it is empty, or larger than any that is taken; there
            is no way to go on then.
        """
        buffer = self._buffer
        if len(buffer) < 4:
            return None
        (length,) = _U32.unpack_from(buffer)
        if not 0 < length <= MAX_PACKET:
            raise PacketTooLong(f"a length of {length} bytes")
        return buffer[4] if len(buffer) >= 4 + length else None

    def take(self) -> bytes:
        """Return the next packet, without its length, which is whole."""
        buffer = self._buffer
        (length,) = _U32.unpack_from(buffer)
        packet = bytes(memoryview(buffer)[4 : 4 + length])
        del buffer[: 4 + length]
        return packet


@define(eq=False)
class Fields:
    """The fields of a packet, one after the other.  All of them :raises BadPacket:"""

    _packet: bytes = field(repr=False)
    _at: int = 0

    def byte(self) -> int:
        """Return one byte."""
        return self._take(1)[0]

    def u32(self) -> int:
        """Return a number of four bytes."""
        (value,) = _U32.unpack(self._take(4))
        return int(value)

    def u64(self) -> int:
        """Return a number of eight bytes."""
        (value,) = _U64.unpack(self._take(8))
        return int(value)

    def data(self) -> memoryview:
        """Return the bytes of a string of any length, without a copy."""
        return self._take(self.u32())

    def string(self) -> bytes:
        """Return a short string."""
        length = self.u32()
        if length > MAX_STRING:
            raise BadPacket(f"a string of {length} bytes")
        return bytes(self._take(length))

    def rest(self) -> bool:
        """Tell whether there is more."""
        return self._at < len(self._packet)

    def _take(self, length: int) -> memoryview:
        end = self._at + length
        if end > len(self._packet):
            raise BadPacket("it ends too early")
        found = memoryview(self._packet)[self._at : end]
        self._at = end
        return found


def u32(value: int) -> bytes:
    """Return a number as four bytes."""
    return _U32.pack(value)


def u64(value: int) -> bytes:
    """Return a number as eight bytes."""
    return _U64.pack(value)


def string(value: Buffer) -> bytes:
    """Return a string with its length."""
    return _U32.pack(len(value)) + bytes(value)
