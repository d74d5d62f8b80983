"""Which of the shares that were just stored their servers give back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.flow.together import together
from truckee.grid.asking import Round, most
from truckee.immutable.read_back import read_back
from truckee.immutable.samples import Part
from truckee.immutable.upload.share_stream import ShareStream
from truckee.storage.direct_client import DirectReader
from truckee.storage.interfaces import IShareReader, IStorageServer, ReadError
from truckee.storage.server import DiskServer

log = Logger()


@define(eq=False)
class StoredProof:
    """
    The outcome of reading back closed shares.

    Directories of this process are believed; of other servers *parts* of each share are
    read.  Once the proved ones are *enough*, slow servers are not waited for long.
    """

    _storage_index: bytes
    _parts: Callable[[int], list[Part]]  # given a share number
    _enough: Callable[[Sequence[ShareStream]], bool]
    _clock: IReactorTime
    proved: list[ShareStream] = field(factory=list, init=False)
    # Not given back, with what was wrong; the rest of the streams did not answer.
    wrong: list[tuple[ShareStream, str]] = field(factory=list, init=False)

    async def run(self, streams: Sequence[ShareStream]) -> None:
        """Ask the servers of *streams*, all at once."""
        by_server: dict[IStorageServer, list[ShareStream]] = {}
        for stream in streams:
            if isinstance(stream.server, DiskServer):
                self.proved.append(stream)
            else:
                by_server.setdefault(stream.server, []).append(stream)
        servers = list(by_server)
        many = most(servers)

        async def ask(server: IStorageServer) -> None:
            mine = by_server[server]
            readers = await self._readers(server, [stream.share for stream in mine])
            await together(self._look(stream, readers) for stream in mine)

        def enough(answers: Mapping[IStorageServer, object]) -> bool:
            return many(answers) and self._enough(self.proved)

        await Round(servers, self._clock, enough, harm=True).ask(ask)

    async def _readers(
        self, server: IStorageServer, shares: Iterable[int]
    ) -> Mapping[int, IShareReader]:
        """Return what reads of *shares*; where a read needs no reader, nothing is asked."""
        direct = server.direct
        if direct is None or not direct.far:
            return await server.buckets(self._storage_index)
        index = self._storage_index
        return {share: DirectReader(direct, index, share) for share in shares}

    async def _look(self, stream: ShareStream, readers: Mapping[int, IShareReader]) -> None:
        try:
            reader = readers.get(stream.share)
            if reader is None:
                raise ValueError("it does not have what was stored")
            await read_back(reader, self._parts(stream.share))
        except ValueError as error:
            self.wrong.append((stream, str(error)))
        except ReadError as error:
            log.warn(
                "Share {share} on {server} was not read back: {error}",
                share=stream.share,
                server=stream.server.name,
                error=str(error),
            )
        else:
            self.proved.append(stream)
