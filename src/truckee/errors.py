"""
Four families of errors, one for each answer to "whose move is it?".

A leaf is an attrs class with fields.  Its docstring is the sentence the user reads,
with the fields filled in, so it says what went wrong and what to do.  A frontend maps
families and leaves to its own status codes; an error knows nothing of them.
"""

from __future__ import annotations

from inspect import cleandoc

from attrs import define


class TruckeeError(Exception):
    """Something went wrong."""

    def __str__(self) -> str:
        text = cleandoc(type(self).__doc__ or type(self).__name__).replace("\n", " ")
        fields = getattr(type(self), "__attrs_attrs__", ())
        values = {field.name: getattr(self, field.name) for field in fields}
        return text.format(**values)


@define
class Misuse(TruckeeError):
    """The request is wrong: change it before trying again."""


@define
class Refused(TruckeeError):
    """The request is understood and not allowed."""


@define
class Corrupt(TruckeeError):
    """What was read is not what was written: try another source."""


@define
class Unavailable(TruckeeError):
    """It cannot be done now: try again later."""


__all__ = ["Corrupt", "Misuse", "Refused", "TruckeeError", "Unavailable"]
