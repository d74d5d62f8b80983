"""
Proof that a file which somebody else stored is on servers that we can reach ourselves.

The servers are asked what they have, and what they claim is proved share by share
(``share_proof``).  Hash trees alone would cost a liar nothing to store.  So of each share a
piece of its blocks is compared, where these are known; else a whole block is proved of some
shares, chosen at random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import Encoding
from truckee.codec.share import ShareLayout
from truckee.flow.changes import Changes, ending
from truckee.flow.cpu import Workers
from truckee.flow.together import Group, together
from truckee.grid.placement import happiness
from truckee.grid.selection import Selector
from truckee.immutable.samples import Part
from truckee.immutable.share_proof import prove_share
from truckee.immutable.upload.ciphertext_samples import CiphertextSamples
from truckee.storage.interfaces import IShareReader, IStorageServer
from truckee.storage.limited import in_time

log = Logger()
T = TypeVar("T")

# One round of questions; the line to the servers may be thin, and a block large.
_ROUND = 60.0  # seconds
# A share that was closed just now may become visible a moment later, and a server may be
# just connecting: for so long after the first round there are others.
RETRIES = 10.0  # seconds
_FIRST_PAUSE = 0.25  # seconds, doubled each time
# Once enough shares are proved, how long a block that is still being read is waited for
# before another one is read instead.
_GRACE = 1.0  # seconds
# Blocks that are read along with the proofs: as many as fit, and always one.
_SAMPLE = 128 * 1024  # bytes


@frozen(eq=False)
class Presence:
    """What was proved of a file."""

    shares: Mapping[int, Sequence[IStorageServer]]  # proved shares, and where they are
    happiness: int
    enough: bool
    asked: int  # servers


@frozen(eq=False)
class PresenceProver:
    """Proves that files are on the servers that *selector* knows."""

    _selector: Selector
    _cpu: Workers
    _clock: IReactorTime
    _random: Callable[[int], bytes]
    _retries: float = RETRIES  # seconds

    @property
    def connected(self) -> int:
        """How many servers can be asked now."""
        return len(self._selector.candidates(b""))

    def samples(self, encoding: Encoding, size: int | None) -> CiphertextSamples:
        """Return what takes the ciphertext of a file of *size* bytes on its way."""
        geometry = None if size is None else encoding.geometry(size)
        segment = geometry.segment_size if geometry else encoding.streaming_segment_size
        return CiphertextSamples(encoding, segment, self._random)

    async def prove(
        self,
        cap: ChkVerifyCap,
        layout: ShareLayout,
        happy: int,
        samples: CiphertextSamples | None = None,
    ) -> Presence:
        """
        Look for max(k, *happy*) distinct shares of *cap*, on *happy* servers at least.

        Most shares are probably laid out as *layout* says.  While there are too few the
        servers are asked again, for a bounded time.  With *samples* of the whole file
        little is read.
        """
        pieces = await self._cpu.run(samples.pieces) if samples else None
        search = _Search(cap, layout, happy, self._cpu, self._clock, self._random, pieces)
        pause = _FIRST_PAUSE
        servers = self._selector.candidates(cap.storage_index)[: 2 * cap.total]
        await search.ask(servers)
        end = self._clock.seconds() + self._retries
        while not search.enough and self._clock.seconds() + pause <= end:
            await deferLater(self._clock, pause)
            pause *= 2
            # Whoever stored it may know more servers than would have been chosen here.
            servers = self._selector.candidates(cap.storage_index)
            await search.ask(servers)
        return search.presence(len(servers))


@define(eq=False)
class _Search:
    """The proofs of one file so far."""

    _cap: ChkVerifyCap
    _layout: ShareLayout
    _happy: int
    _cpu: Workers
    _clock: IReactorTime
    _random: Callable[[int], bytes]
    _pieces: Sequence[Part] | None = field(repr=False)  # one of each share
    _readers: dict[tuple[int, IStorageServer], IShareReader] = field(
        factory=dict, init=False
    )  # of proved shares
    _blocks: set[tuple[int, IStorageServer]] = field(factory=set, init=False)
    _wrong: int = field(default=0, init=False)  # blocks that were not what they must be
    _sample: set[int] = field(init=False)  # shares
    _changes: Changes = field(factory=Changes, init=False)

    def __attrs_post_init__(self) -> None:
        count = max(1, _SAMPLE // self._layout.geometry.block_size)
        if self._pieces is not None:
            count = 0
        self._sample = set(self._shuffled(range(self._cap.total))[:count])

    @property
    def enough(self) -> bool:
        """Whether the file counts as stored."""
        return self._counts and len(self._blocks) >= self._wanted_blocks

    @property
    def _wanted_blocks(self) -> int:
        if self._pieces is not None:
            return 0
        # Each wrong one is a reason to look at more.
        return min(len(self._readers), 1 + 2 * self._wrong)

    @property
    def _counts(self) -> bool:
        holders = self._holders()
        distinct = len(holders) >= max(self._cap.needed, self._happy)
        return distinct and happiness(holders) >= self._happy

    def _holders(self) -> dict[int, list[IStorageServer]]:
        holders: dict[int, list[IStorageServer]] = {}
        for number, server in self._readers:
            holders.setdefault(number, []).append(server)
        return holders

    def presence(self, asked: int) -> Presence:
        """Return what was proved."""
        holders = self._holders()
        return Presence(holders, happiness(holders), self.enough, asked)

    async def ask(self, servers: Sequence[IStorageServer]) -> None:
        """Prove what *servers* have, until that is enough or all have answered."""
        group = Group()
        left = len(servers)
        over = False

        async def one(server: IStorageServer) -> None:
            with ending(answered):
                await self._look(server)

        def answered() -> None:
            nonlocal left
            left -= 1
            self._changes.wake()

        def end() -> None:
            nonlocal over
            over = True
            self._changes.wake()

        timers = [self._clock.callLater(_ROUND, end)]
        for server in servers:
            group.start(one(server))
        try:
            await self._changes.until(lambda: self._counts or not left or over)
            if self._counts and left and not self.enough:
                timers.append(self._clock.callLater(_GRACE, end))
                await self._changes.until(lambda: self.enough or not left or over)
        except Exception:  # includes Twisted's CancelledError
            await group.stop()
            raise
        finally:
            for timer in timers:
                if timer.active():
                    timer.cancel()
        await group.stop()
        if self._counts:
            await self._prove_more_blocks()

    async def _look(self, server: IStorageServer) -> None:
        """Prove the shares that *server* says it has."""
        try:
            found = await server.buckets(self._cap.storage_index)
        except CancelledError:
            raise
        except Exception as error:
            log.info("{server} did not answer: {why}", server=server.name, why=str(error))
            return
        await together(
            self._prove(number, server, reader, number in self._sample)
            for number, reader in found.items()
            if 0 <= number < self._cap.total and (number, server) not in self._readers
        )

    async def _prove_more_blocks(self) -> None:
        """Prove blocks of shares that were proved without one."""
        rest = self._shuffled(set(self._readers) - self._blocks)
        while rest and self._counts and not self.enough:
            number, server = rest.pop()
            await self._prove(number, server, self._readers[number, server], True)

    async def _prove(
        self, number: int, server: IStorageServer, reader: IShareReader, block: bool
    ) -> None:
        geometry = self._layout.geometry
        segment = self._below(geometry.segments) if block else None
        try:
            proof = prove_share(
                self._cap,
                number,
                reader,
                self._cpu,
                expected=self._layout,
                segment=segment,
                piece=None if self._pieces is None else self._pieces[number],
            )
            await in_time(proof, _ROUND, self._clock, server.name)
        except CancelledError:
            raise
        except Exception as error:
            log.warn(
                "Share {share} on {server} is not proved: {reason}",
                share=number,
                server=server.name,
                reason=str(error),
            )
            self._readers.pop((number, server), None)
            self._wrong += block and isinstance(error, ValueError)
        else:
            self._readers[number, server] = reader
            if block:
                self._blocks.add((number, server))
            self._changes.wake()

    def _below(self, count: int) -> int:
        return int.from_bytes(self._random(8), "big") % count

    def _shuffled(self, things: Iterable[T]) -> list[T]:
        return sorted(things, key=lambda _: self._random(8))
