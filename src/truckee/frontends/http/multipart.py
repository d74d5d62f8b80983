"""Forms of RFC 7578 whose file streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from attrs import define, field
from multipart import (
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from truckee.errors import Misuse
from truckee.net.http.upload_head import PartialUpload, check_coding

# All small fields together; the file is not counted.
MAX_FIELDS_SIZE = 64 * 1024  # bytes
MAX_FIELDS = 64
# At least this much more than the file itself: all small fields, and the lines between.
FORM_OVERHEAD = 2 * MAX_FIELDS_SIZE  # bytes

# What a Content-Transfer-Encoding says of bytes that are nothing but themselves.
_AS_IT_IS = ("7bit", "8bit", "binary", "identity")


@define
class BadForm(Misuse):
    """
    The form cannot be read: {reason}. Send multipart/form-data with the file in a field
    named "file", as curl -F file=@NAME does.
    """

    reason: str


def boundary_of(content_type: str) -> str:
    """Return the boundary in a Content-Type.  :raises BadForm: when it is no form."""
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data":
        raise BadForm("its Content-Type is not multipart/form-data")
    if not options.get("boundary"):
        raise BadForm("its Content-Type has no boundary")
    return str(options["boundary"])


def is_form(content_type: str) -> bool:
    """Tell whether a Content-Type is that of a form with parts."""
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


@define(eq=False)
class Form:
    """
    The fields of a form in the order they come, read once.

    First ``find``, then iterate over the file's bytes, then ``finish``.  ``fields`` has
    the small fields that came so far.
    """

    _chunks: AsyncIterator[bytes]
    _parser: PushMultipartParser
    fields: dict[str, str] = field(factory=dict, init=False)
    filename: str = field(default="", init=False)  # what the client calls the file
    _events: Iterator[object] = field(factory=lambda: iter(()), init=False, repr=False)
    _room: int = field(default=MAX_FIELDS_SIZE, init=False)

    @classmethod
    def begin(cls, chunks: AsyncIterator[bytes], content_type: str) -> Form:
        """Return the form in *chunks*.  :raises BadForm: when the type is another."""
        boundary = boundary_of(content_type)
        try:
            parser = PushMultipartParser(
                boundary, max_segment_count=MAX_FIELDS, max_header_size=8192
            )
        except MultipartError as error:
            raise BadForm(str(error)) from None
        return cls(chunks, parser)

    async def find(self, name: str) -> None:
        """Go to the file field *name*.  :raises BadForm: when there is none."""
        if not await self.seek(name):
            raise BadForm(f'it has no field named "{name}"')

    async def seek(self, name: str) -> bool:
        """Go to the file field *name*, or to the end; tell whether there is one."""
        while segment := await self._segment():
            if segment.name == name:
                _check_file(segment)
                self.filename = segment.filename or ""
                return True
            await self._keep(segment)
        return False

    def __aiter__(self) -> Form:
        return self

    async def __anext__(self) -> bytes:
        event = await self._next()
        if not isinstance(event, (bytes, bytearray)):
            raise StopAsyncIteration
        return bytes(event)

    async def finish(self) -> None:
        """Read what follows the file."""
        while segment := await self._segment():
            await self._keep(segment)

    async def _segment(self) -> MultipartSegment | None:
        """Return the next field's head, None after the last one."""
        event = await self._next()
        return event if isinstance(event, MultipartSegment) else None

    async def _keep(self, segment: MultipartSegment) -> None:
        value = b""
        async for data in self:
            value += data
            self._room -= len(data)
            if self._room < 0:
                raise BadForm(f"its small fields are larger than {MAX_FIELDS_SIZE} bytes")
        try:
            self.fields.setdefault(segment.name, value.decode("utf-8"))
        except UnicodeDecodeError:
            raise BadForm("a field is not UTF-8") from None

    async def _next(self) -> object:
        """Return the parser's next event; _END at the end of the form."""
        try:
            while True:
                for event in self._events:
                    return event
                try:
                    chunk = await self._chunks.__anext__()
                except StopAsyncIteration:
                    self._parser.close()
                    return _END
                if not self._parser.closed:
                    self._events = iter(self._parser.parse(chunk))
        except MultipartError as error:
            raise BadForm(str(error)) from None


def _check_file(segment: MultipartSegment) -> None:
    """:raises TruckeeError: if the file does not stand in the form as it is."""
    lines: dict[str, list[str]] = {}
    for name, value in segment.headerlist:
        lines.setdefault(name.lower(), []).append(value)
    if "content-range" in lines:
        raise PartialUpload
    check_coding("Content-Encoding", lines.get("content-encoding", ()), ("identity",))
    coding = "content-transfer-encoding"  # RFC 7578, section 4.7
    check_coding("Content-Transfer-Encoding", lines.get(coding, ()), _AS_IT_IS)


_END = object()
