"""
All shares that one server has of a file, read and verified.

Source: ``docs/formats/mutable.md``, "What a reader checks".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field, frozen

from truckee.codec.hashes import Buffer
from truckee.codec.mutable_layout import HEADER_SIZE, Part
from truckee.codec.mutable_prefix import MAX_PREFIX_SIZE
from truckee.codec.mutable_share import ShareParser, VerifiedShare
from truckee.errors import Corrupt
from truckee.flow.cpu import Workers
from truckee.storage.interfaces import MAX_SLOT_SHARES, ISlotServer, SlotRead

# What is read of every share first: all that is verified of SDMF, and its data if that is
# short; all of MDMF but the block tree.
FIRST_READ = 4000  # bytes
# Further requests for one share.  One is enough unless it is overwritten meanwhile.
_MOST_ROUNDS = 4
# What is wrong with one that is overwritten as often.  No server is told.
CHANGING = "it changes again and again while it is read"


@frozen(eq=False)
class ServerShares:
    """What was found on one server, by share number."""

    verified: Mapping[int, VerifiedShare]
    damaged: Mapping[int, tuple[bytes, str]]  # the first bytes, at most 75, and the reason
    # Encrypted, not verified: of the shares where the first read had it.
    private_keys: Mapping[int, bytes] = field(repr=False)
    # Not verified: the blocks of SDMF, likewise.
    blocks: Mapping[int, bytes] = field(repr=False)


@define(eq=False)
class _Draft:
    """One share that is being verified."""

    number: int
    fingerprint: bytes
    head: bytes = b""
    private_key: bytes | None = None
    block: bytes | None = None
    reason: str = ""  # why it is damaged
    _parser: ShareParser = field(init=False)

    def begin(self, data: bytes, asked: int) -> None:
        """Take the first bytes of the share, of which so many were *asked* for."""
        self.head = data[:MAX_PREFIX_SIZE]
        self._parser = ShareParser(self.number, self.fingerprint)
        self._feed(0, data, asked)
        header = self._parser.header
        if header is not None and not self.reason:
            layout, cut = header.layout, header.prefix.geometry
            self.private_key = _copy(layout.private_key, data)
            if not cut.salted:
                block = Part(layout.data.offset, cut.data_size)
                self.block = _copy(block, data)

    @property
    def share(self) -> VerifiedShare | None:
        """The share, once all was read."""
        return self._parser.share

    @property
    def wanted(self) -> tuple[Part, ...]:
        """What is still to be read."""
        done = self.reason or self._parser.share is not None
        return () if done else tuple(self._parser.wanted())

    def go_on(self, asked: Sequence[Part], head: bytes, rest: Sequence[bytes]) -> None:
        """Take what was *asked* for, and the *head* of the share as it is now."""
        header = self._parser.header
        if header is None or not head.startswith(header.pack()):
            self.begin(head, HEADER_SIZE)  # it was overwritten meanwhile
            return
        for part, data in zip(asked, rest, strict=True):
            self._feed(part.offset, data, part.length)

    def _feed(self, offset: int, data: Buffer, asked: int) -> None:
        if self.reason:
            return
        try:
            self._parser.feed(offset, data, last=len(data) < asked)
        except Corrupt as error:
            self.reason = getattr(error, "reason", str(error))


async def read_shares(
    slots: ISlotServer, storage_index: bytes, fingerprint: bytes, cpu: Workers
) -> ServerShares:
    """
    Return the shares that *slots* has of a file, each verified but for its blocks.

    Most of the time that is one request; MDMF takes a second one.  Raises what reads of
    *slots* raise.
    """
    first = await slots.read(storage_index, frozenset(), [SlotRead(0, FIRST_READ)])
    numbers = sorted(n for n in first if 0 <= n < MAX_SLOT_SHARES)
    drafts = [_Draft(number, fingerprint) for number in numbers]
    if drafts:
        await cpu.run(_begin, drafts, first)
    for _ in range(_MOST_ROUNDS):
        alike: dict[tuple[Part, ...], list[_Draft]] = {}
        for draft in drafts:
            if draft.wanted:
                alike.setdefault(draft.wanted, []).append(draft)
        for parts, group in alike.items():
            reads = [
                SlotRead(0, HEADER_SIZE),
                *(SlotRead(p.offset, p.length) for p in parts),
            ]
            shares = {draft.number for draft in group}
            found = await slots.read(storage_index, shares, reads)
            await cpu.run(_go_on, group, parts, found)
            gone = {id(draft) for draft in group if draft.number not in found}
            drafts = [draft for draft in drafts if id(draft) not in gone]
    for draft in drafts:
        if draft.wanted:
            draft.reason = CHANGING
    good = [draft for draft in drafts if draft.share is not None]
    return ServerShares(
        {draft.number: draft.share for draft in good if draft.share is not None},
        {draft.number: (draft.head, draft.reason) for draft in drafts if draft.reason},
        {each.number: each.private_key for each in good if each.private_key is not None},
        {each.number: each.block for each in good if each.block is not None},
    )


def _copy(part: Part, data: Buffer) -> bytes | None:
    """Return *part* of a share from its first bytes; None: it is not in them."""
    found = part.cut(data)
    return None if found is None else bytes(found)


def _begin(drafts: Sequence[_Draft], found: Mapping[int, Sequence[bytes]]) -> None:
    for draft in drafts:
        draft.begin(found[draft.number][0], FIRST_READ)


def _go_on(
    drafts: Sequence[_Draft],
    parts: Sequence[Part],
    found: Mapping[int, Sequence[bytes]],
) -> None:
    for draft in drafts:
        if draft.number in found:
            head, *rest = found[draft.number]
            draft.go_on(parts, head, rest)
