"""The body of a request that is short: fields of a form, or text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import parse_qs

from truckee.frontends.http.arguments import BadArgument
from truckee.frontends.http.multipart import Form, is_form
from truckee.net.http.respond import BodyTooLarge

_FIELDS = 64 << 10  # bytes of a form without a file


async def read_text(body: AsyncIterator[bytes], most: int) -> bytes:
    """Return the whole body, which is short.  :raises BodyTooLarge:"""
    parts, size = [], 0
    async for chunk in body:
        size += len(chunk)
        if size > most:
            raise BodyTooLarge(most)
        parts.append(chunk)
    return b"".join(parts)


async def read_fields(body: AsyncIterator[bytes], content_type: str) -> dict[str, str]:
    """
    Return the fields of a form, the first of each name; a body of another type has none.

    :raises BadForm: :raises BadArgument: :raises BodyTooLarge:
    """
    if is_form(content_type):
        form = Form.begin(body, content_type)
        await form.finish()
        return form.fields
    text = await read_text(body, _FIELDS)
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    try:
        found = parse_qs(text.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise BadArgument("?", "the form is not UTF-8") from None
    return {name: values[0] for name, values in found.items()}
