"""How a client wants its file to be stored, out of a query or a form."""

from __future__ import annotations

from collections.abc import Mapping

from truckee.frontends.http.arguments import boolean, size
from truckee.immutable.upload.keys import parse_key_choice
from truckee.immutable.upload.options import UploadOptions

KEY, MAX_SIZE, HELPER = NAMES = ("key", "size-limit", "helper")


def parse_upload_options(
    args: Mapping[str, str], length: int | None = None, default_key: str = "random"
) -> UploadOptions:
    """
    Return what *args* ask for, of a file of *length* bytes; None if it is not known.

    :raises BadArgument: :raises BadKey:
    """
    return UploadOptions(
        parse_key_choice(args.get(KEY, default_key)),
        length,
        size(args, MAX_SIZE),
        boolean(args, HELPER, True),
    )
