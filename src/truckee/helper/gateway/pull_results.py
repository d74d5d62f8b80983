"""
What there is to check in the results of a stock helper.

Source: ``docs/formats/helper-stock.md``, "Results".
"""

from __future__ import annotations

from collections.abc import Mapping

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import MAX_SHARES
from truckee.codec.ueb import ueb_of_fields
from truckee.helper.gateway.integrity import CiphertextProof
from truckee.helper.pull_results import UploadResults

_MOST_FIELDS = 100  # of a UEB that a helper sends, or servers of a share


def check_results(
    results: object,
    proof: CiphertextProof,
    root: bytes,
    storage_index: bytes,
    needed: int,
    total: int,
) -> ChkVerifyCap:
    """
    Return the cap that *results* make, if they are of the file that *proof* knows.

    :raises ValueError: when they do not.
    """
    told = vars(results) if isinstance(results, UploadResults) else {}
    cap = proof.check(_ueb_in(told), root, storage_index, needed, total)
    if told.get("uri_extension_hash") != cap.ueb_hash:
        raise ValueError("the hash is that of another UEB")
    return cap


def ueb_in(results: object) -> bytes:
    """Return the UEB that *results* state, or something that is none."""
    try:
        return _ueb_in(vars(results) if isinstance(results, UploadResults) else {})
    except ValueError:
        return b"none"


def _ueb_in(told: Mapping[str, object]) -> bytes:
    fields = told.get("uri_extension_data")
    if not isinstance(fields, dict) or len(fields) > _MOST_FIELDS:
        raise ValueError("the results tell nothing of the file")
    if not all(isinstance(name, str) for name in fields):
        raise ValueError("the names in the UEB are no text")
    return ueb_of_fields(fields)


def holders_in(results: object) -> dict[int, list[str]]:
    """Return the ids of the servers of each share, as far as *results* have them."""
    told = vars(results) if isinstance(results, UploadResults) else {}
    sharemap = told.get("sharemap")
    if not isinstance(sharemap, dict):
        return {}
    return {
        share: sorted(
            ascii(str(server, "ascii", "replace"))[1:-1]
            for server in list(servers)[:_MOST_FIELDS]
            if isinstance(server, bytes)
        )
        # Very old helpers report them in sentences.
        for share, servers in sharemap.items()
        if isinstance(servers, (set, list)) and share in range(MAX_SHARES)
    }


def found_in(results: object) -> int:
    """Return how many shares *results* say were there before."""
    told = vars(results) if isinstance(results, UploadResults) else {}
    found = told.get("preexisting_shares")
    return found if isinstance(found, int) else 0
