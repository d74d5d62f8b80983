"""Both ends of stock helper traffic, as they are and as they must not be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import TestCase

from tests.grids import NOW, REACTOR, Grid, make_file, until
from tests.helper.helped import INDEX, KEY, PATIENCE, Content, Helped, new_tub
from truckee.codec.caps import ChkReadCap
from truckee.codec.share import ShareOffsets
from truckee.helper import wire
from truckee.helper.gateway.connection import HelperConnection
from truckee.helper.gateway.pull_sink import StockHelperSink, StockHelperSinks
from truckee.helper.gateway.timeouts import HelperPatience
from truckee.helper.protocol import RIEncryptedUploadable, RIHelper, RIUploadHelper
from truckee.helper.pull_results import UploadResults
from truckee.helper.server.pull_results import results_of_upload
from truckee.helper.server.stored import Stored
from truckee.immutable.upload.sinks import NewFile
from truckee.storage.foolscap_schema import serves

_PIECE = 51_200  # bytes, as stock clients cut


@serves(RIEncryptedUploadable)
@define(eq=False)
class Reader(Referenceable):  # type: ignore[misc]
    """A stock client's file; *mood* may answer in its place, or wait."""

    content: Content
    # Takes the method and its arguments; None: answer as a stock client does.
    mood: Callable[..., Any] = lambda *_: None
    calls: list[tuple[Any, ...]] = field(factory=list)
    position: int = field(default=0, init=False)  # stock clients never go back
    reading: int = field(default=0, init=False)  # calls under way
    closed: int = field(default=0, init=False)

    @property
    def reads(self) -> list[tuple[int, int]]:
        """What was asked for."""
        return [call[1:] for call in self.calls if call[0] == "read_encrypted"]

    def _answer(self, *call: Any) -> Any:
        self.calls.append(call)
        return self.mood(*call)

    def remote_get_size(self) -> Any:
        answer = self._answer("get_size")
        return self.content.size if answer is None else answer

    def remote_get_all_encoding_parameters(self) -> Any:
        answer = self._answer("get_all_encoding_parameters")
        encoding = self.content.encoding
        segment = encoding.geometry(self.content.size).segment_size
        usual = (encoding.needed, 1, encoding.total, segment)
        return usual if answer is None else answer

    async def _read(self, offset: int, length: int) -> Any:
        self.reading += 1
        assert self.reading == 1, "one call at a time"
        try:
            answer = self._answer("read_encrypted", offset, length)
            if isinstance(answer, Deferred):
                answer = await answer
            if answer is not None:
                return answer
            assert offset >= self.position, "forward only"
            data = self.content.ciphertext[offset : offset + length]
            self.position = offset + len(data)
            return [data[at : at + _PIECE] for at in range(0, len(data) or 1, _PIECE)]
        finally:
            self.reading -= 1

    def remote_read_encrypted(self, offset: int, length: int) -> Any:
        return Deferred.fromCoroutine(self._read(offset, length))

    def remote_close(self) -> Any:
        self.closed += 1
        return self._answer("close")


@define(eq=False)
class StockClient:
    """A stock client's end of the line."""

    tub: Any
    helper: Any  # foolscap's reference

    @classmethod
    async def of(cls, helped: Helped, number: int = 1) -> StockClient:
        """Return one that is connected to a helper."""
        tub = new_tub(helped.case, number)
        return cls(tub, await tub.getReference(helped.furl))

    async def open(self, index: bytes = INDEX) -> tuple[Any, Any]:
        """Return the results of a file that is there, or an upload."""
        results, upload = await self.helper.callRemote("upload_chk", index)
        return results, upload

    async def store(self, reader: Reader, index: bytes = INDEX) -> Any:
        """Return the results, whether the file was there or not."""
        results, upload = await self.open(index)
        if results is not None:
            return results
        return await upload.callRemote("upload", reader)


@serves(RIUploadHelper)
@define(eq=False)
class PullingUpload(Referenceable):  # type: ignore[misc]
    """A stock helper's upload, which does what a test wants."""

    work: Callable[[Any], Any]  # a coroutine function that takes the reader
    readers: list[Any] = field(factory=list)

    def remote_get_version(self) -> dict[bytes, object]:
        return {wire.CHK_UPLOAD: {}, b"application-version": b"tahoe-lafs/1.20.0"}

    def remote_upload(self, reader: Any) -> Any:
        self.readers.append(reader)
        return Deferred.fromCoroutine(self.work(reader))


@serves(RIHelper)
@define(eq=False)
class PullingHelper(Referenceable):  # type: ignore[misc]
    """A stock helper that answers what a test wants."""

    answer: Callable[[], Any]  # to upload_chk
    opened: int = field(default=0, init=False)

    def remote_get_version(self) -> dict[bytes, object]:
        return {wire.HELPER: {}, b"application-version": b"tahoe-lafs/1.20.0"}

    def remote_upload_chk(self, si: bytes) -> Any:
        self.opened += 1
        return self.answer()


def ueb_of(content: Content) -> bytes:
    """Return the UEB of a file."""
    share = make_file(content.plaintext, KEY, content.encoding).shares[0]
    offsets = ShareOffsets.parse(share, content.encoding.total)
    start, length = offsets.proof
    return offsets.split_proof(share[start : start + length])[1]


def results_for(content: Content, **changes: Any) -> UploadResults:
    """Return what a helper says of a file that it stored, but for some *changes*."""
    shares = {number: [b"v0-%d" % number] for number in range(content.encoding.total)}
    stored = Stored(ueb_of(content), {}, 0, shares)
    made = results_of_upload(stored, INDEX, lambda seed: seed, content.size, {"total": 1.0})
    made.__dict__.update(changes)
    return made


@define(eq=False)
class StockPull:
    """
    Pulls as a stock helper does, and stores nothing.

    What it got it has in *held*, which may be something from before.
    """

    content: Content
    held: bytearray = field(factory=bytearray)
    upto: int | None = None  # bytes after which *then* comes
    then: Callable[[], Any] = lambda: None  # may be a coroutine function
    answers: list[int] = field(factory=list)  # bytes in each

    async def __call__(self, reader: Any) -> UploadResults:
        if len(self.held) < self.content.size:
            size = await reader.callRemote("get_size")
            while len(self.held) < size:
                if self.upto is not None and len(self.held) >= self.upto:
                    self.upto = None
                    await maybeDeferred(self.then)
                length = min(_PIECE, size - len(self.held))
                pieces = await reader.callRemote("read_encrypted", len(self.held), length)
                self.answers.append(sum(map(len, pieces)))
                assert 0 < self.answers[-1] <= length, "neither nothing nor more"
                self.held += b"".join(pieces)
        await reader.callRemote("get_all_encoding_parameters")
        await reader.callRemote("close")
        await reader.callRemote("close")
        assert bytes(self.held) == self.content.ciphertext
        return results_for(self.content)


@define(eq=False)
class PulledGateway:
    """A gateway's end of the line to a stock helper."""

    tub: Any
    connection: HelperConnection
    sinks: StockHelperSinks

    @classmethod
    async def new(
        cls,
        case: TestCase,
        grid: Grid,
        furl: str,
        *,
        happy: int = 1,
        patience: HelperPatience = PATIENCE,
    ) -> PulledGateway:
        """Return one that is connected to the helper at *furl*, and codes like *grid*."""
        tub = new_tub(case, 2)
        connection = HelperConnection(tub, furl, REACTOR, lambda: NOW)
        connection.start()
        case.addCleanup(connection.stop)
        connection._reconnector.initialDelay = 0.02
        await until(lambda: connection.connected)
        sinks = StockHelperSinks(
            grid.encoding, happy, connection, grid.cpu, REACTOR, patience
        )
        return cls(tub, connection, sinks)

    async def open(self, size: int, **options: Any) -> StockHelperSink:
        """Return a sink for the file under KEY."""
        return await self.sinks.open(NewFile(INDEX, size, size, **options))

    async def store(self, content: Content, **options: Any) -> ChkReadCap:
        """Store a file, segment by segment; whatever fails is aborted."""
        sink = await self.open(content.size, **options)
        cap: ChkReadCap = await bring(sink, content)
        return cap


async def bring(sink: StockHelperSink, content: Content, start: int = 0) -> Any:
    """Bring *content* from *start* on, segment by segment; return its cap."""
    try:
        for at in range(start, content.size, sink.chunk_size):
            await sink.write(content.ciphertext[at : at + sink.chunk_size])
        return (await sink.close()).read_cap(KEY)
    except Exception:
        await sink.abort()
        raise
