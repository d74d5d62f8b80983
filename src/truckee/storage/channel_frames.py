"""
What goes over a share channel.  Pure.

Source: ``docs/formats/share-channel.md``.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

from attrs import field, frozen

# What a client says first, over plain TCP, and what it is answered.
GREETING = b"TRUCKEE CHANNEL 1\n"
READY = b"READY\n"
TICKET_SIZE = 32  # bytes
MAX_DATA = (1 << 20) + 4096  # bytes of a write, or of what is read

_QUESTION = Struct(">BB16s32sQI")
_ANSWER = Struct(">BI")
QUESTION_SIZE = _QUESTION.size
ANSWER_SIZE = _ANSWER.size
_MAX_REFUSAL = 1000  # bytes of its name and reason
HANDLE_SIZE = 32
NO_HANDLE = bytes(HANDLE_SIZE)


class Kind(IntEnum):
    """What is asked."""

    WRITE = 1
    READ = 2


@frozen
class Question:
    """One of a client; after a write its data follows."""

    kind: Kind
    share: int
    storage_index: bytes  # 16
    handle: bytes = field(repr=False)  # 32; of a share that is written
    offset: int
    length: int  # bytes

    def pack(self) -> bytes:
        """Return it as it goes over the line."""
        return _QUESTION.pack(
            self.kind,
            self.share,
            self.storage_index,
            self.handle,
            self.offset,
            self.length,
        )

    @classmethod
    def unpack(cls, data: bytes | bytearray) -> Question:
        """Return what *data* asks.  :raises ValueError: when nobody asks that."""
        kind, share, index, handle, offset, length = _QUESTION.unpack(data)
        if length > MAX_DATA or offset > (1 << 62):
            raise ValueError("this is no part of a share")
        return cls(Kind(kind), share, index, handle, offset, length)


@frozen
class Answer:
    """The head of one of a server; *length* bytes follow."""

    failed: bool
    length: int

    def pack(self) -> bytes:
        """Return it as it goes over the line."""
        return _ANSWER.pack(self.failed, self.length)

    @classmethod
    def unpack(cls, data: bytes | bytearray, most: int) -> Answer:
        """
        Return what *data* says, where at most *most* bytes were asked for.

        :raises ValueError: when it is no answer to that.
        """
        failed, length = _ANSWER.unpack(data)
        if failed > 1 or length > (_MAX_REFUSAL if failed else most):
            raise ValueError("this is no answer")
        return cls(bool(failed), length)


@frozen
class Refusal:
    """Why something was not done, in the words of the server."""

    name: str
    reason: str

    def pack(self) -> bytes:
        """Return the answer, head and all."""
        text = f"{self.name}\n{self.reason}".encode("utf-8", "replace")[:_MAX_REFUSAL]
        return Answer(True, len(text)).pack() + text

    @classmethod
    def unpack(cls, data: bytes | bytearray) -> Refusal:
        """Return what a failed answer says; nobody vouches for it."""
        name, _, reason = bytes(data).decode("utf-8", "replace").partition("\n")
        return cls(name, reason)
