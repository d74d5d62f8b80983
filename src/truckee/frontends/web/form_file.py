"""The file in a form, which ends where the form does."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from truckee.frontends.http.multipart import Form
from truckee.frontends.http.upload_options import NAMES
from truckee.frontends.web.afterwards import check_when_done
from truckee.frontends.web.arguments import BadArgument

# What the file is stored by, while it comes.
_HOW = ("format", "mutable", "name", "offset", "overwrite", "private-key", "replace")
_EARLY = (*NAMES, *_HOW)


@define(eq=False)
class FormFile:
    """
    The bytes of a form's file; its end is the end of the whole form.

    So a form that breaks off behind the file, or says there what comes too late, is not
    stored.
    """

    _form: Form
    _query: Mapping[str, str]  # which wins over fields
    _before: Mapping[str, str] = field(init=False)  # fields

    def __attrs_post_init__(self) -> None:
        self._before = dict(self._form.fields)

    def __aiter__(self) -> FormFile:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._form.__anext__()
        except StopAsyncIteration:
            await self._form.finish()
            check_when_done(self._form.fields)
            for name in _EARLY:
                late = self._form.fields.get(name) != self._before.get(name)
                if late and name not in self._query:
                    raise BadArgument(
                        name, "in a form it must come before the file"
                    ) from None
            raise
