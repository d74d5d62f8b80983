"""
What a gateway knows of the ciphertext it gave away, to check what comes back.  Pure.

Source: ``docs/formats/helper-push.md``, "The end".
"""

from __future__ import annotations

import hashlib
from typing import Any

from attrs import define, field

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import (
    CRYPTTEXT_SEGMENT,
    HASH_SIZE,
    Buffer,
    TaggedHasher,
    ueb_hash,
)
from truckee.codec.merkle import TreeBuilder, padding_rows
from truckee.codec.ueb import crypttext_hash_in_ueb, pack_ueb, parse_ueb


@define(eq=False)
class CiphertextProof:
    """Takes the bytes of a file in order, and remembers the hashes of its segments."""

    segment_size: int  # bytes
    # Bytes from the start that the helper says it holds, and SHA-256 of those it has.
    prefix: int = 0
    _prefix_digest: bytes = b""
    size: int = field(default=0, init=False)  # bytes so far
    _leaves: TreeBuilder = field(factory=TreeBuilder, init=False, repr=False)
    _hasher: Any = field(factory=hashlib.sha256, init=False, repr=False)
    _segment: TaggedHasher = field(init=False, repr=False)  # the one that is not complete

    def __attrs_post_init__(self) -> None:
        self._segment = TaggedHasher(CRYPTTEXT_SEGMENT)

    def expect(self, prefix: int, digest: bytes) -> None:
        """
        Believe another prefix, if the end of the one before is still to come.

        :raises ValueError: when it is one of another file already.
        """
        if self.size < self.prefix and self.size <= prefix:
            self.prefix, self._prefix_digest = prefix, digest
            if self.size:
                self._compare()

    def absorb(self, data: Buffer) -> None:
        """
        Add the next bytes, as many as there are.

        :raises ValueError: when they show that the helper holds the start of another file.
        """
        before, view = self.size, memoryview(data)
        while view:
            part = view[: self.segment_size - self.size % self.segment_size]
            self._segment.update(part)
            self.size += len(part)
            view = view[len(part) :]
            if self.size % self.segment_size == 0:
                self._end_segment()
        if before < self.prefix:
            self._hasher.update(memoryview(data)[: self.prefix - before])
            self._compare()

    def _end_segment(self) -> None:
        self._leaves.append(self._segment.digest())
        self._segment = TaggedHasher(CRYPTTEXT_SEGMENT)

    def _compare(self) -> None:
        if self.size >= self.prefix and self._hasher.digest() != self._prefix_digest:
            raise ValueError("the helper holds other bytes")

    def root(self) -> bytes:
        """Return the root of the hash tree; no bytes can follow."""
        if self.size % self.segment_size:
            self._end_segment()
        segments = -(-self.size // self.segment_size)
        return self._leaves.finish(padding_rows(segments))[:HASH_SIZE]

    def check(
        self, ueb: bytes, root: bytes, storage_index: bytes, needed: int, total: int
    ) -> ChkVerifyCap:
        """
        Return the cap that *ueb* makes, if it says of the file what is known here.

        :raises ValueError: when it does not, or is not what stock clients write.
        """
        # A segment of a file that has only this one may be shorter.
        geometry = Encoding(needed, total, self.segment_size).geometry(self.size)
        told = parse_ueb(ueb)
        right = pack_ueb(geometry, crypttext_hash_in_ueb(ueb), root, told.share_root_hash)
        if ueb != right:
            raise ValueError("it is the UEB of another file")
        return ChkVerifyCap(storage_index, ueb_hash(ueb), needed, total, self.size)
