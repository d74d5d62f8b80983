"""What the paths of requests to a storage server over HTTPS name."""

from __future__ import annotations

from truckee.storage import gbs_schema
from truckee.storage.gbs_cbor import MAX_SHARES
from truckee.storage.gbs_http import Refusal


def parse_path(uri: bytes) -> list[str]:
    """Return what the path of *uri* names, behind the prefix."""
    path = uri.partition(b"?")[0].decode("ascii", "replace")
    if not path.startswith(gbs_schema.PREFIX + "/"):
        raise Refusal(404, "There is nothing here.")
    return path.removeprefix(gbs_schema.PREFIX + "/").split("/")


def storage_index_of(text: str) -> bytes:
    """Return the 16 bytes that *text* stands for."""
    try:
        return gbs_schema.parse_storage_index(text)
    except ValueError as error:
        raise Refusal(404, str(error)) from None


def share_number_of(text: str) -> int:
    """Return the number of a share that *text* stands for."""
    # Other ways to write a number are no paths of shares.
    if text not in _NUMBERS:
        raise Refusal(404, "Share numbers are 0 to 255.")
    return int(text)


_NUMBERS = frozenset(map(str, range(MAX_SHARES)))
