"""
What a helper tells a stock client of a file, and what there is to check in it.

Source: ``docs/formats/helper-stock.md``, "Results".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from foolscap.api import Copyable, RemoteCopy

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.geometry import MAX_SHARES
from truckee.codec.hashes import ueb_hash
from truckee.codec.ueb import fields_in_ueb, geometry_in_ueb, ueb_of_fields
from truckee.helper.gateway.integrity import CiphertextProof
from truckee.helper.server.upload import Stored

_MOST_FIELDS = 100  # of a UEB that somebody tells of, or servers of a share


class UploadResults(Copyable, RemoteCopy):
    """Goes over the wire by value.  A peer's may hold anything, or nothing."""

    typeToCopy = copytype = "allmydata.upload.UploadResults.tahoe.allmydata.com"


def results_of(stored: Stored, server_id: Callable[[bytes], bytes]) -> UploadResults:
    """Return the results of a file that was there.  *server_id* takes a lease seed."""
    results = UploadResults()
    results.__dict__.update(
        uri_extension_hash=ueb_hash(stored.ueb),
        uri_extension_data=fields_in_ueb(stored.ueb),
        file_size=None,
        ciphertext_fetched=None,
        preexisting_shares=stored.found,
        pushed_shares=0,
        # Foolscap knows sets and no frozen ones.
        sharemap={
            share: {server_id(seed) for seed in seeds}
            for share, seeds in stored.seeds.items()
        },
        servermap={},
        timings={},
        uri=None,
    )
    return results


def results_of_upload(
    stored: Stored,
    storage_index: bytes,
    server_id: Callable[[bytes], bytes],
    fetched: int,
    timings: Mapping[str, float],
) -> UploadResults:
    """Return the results of a file of which *fetched* bytes came, in so many seconds."""
    results = results_of(stored, server_id)
    shape = geometry_in_ueb(stored.ueb)
    digest = ueb_hash(stored.ueb)
    cap = ChkVerifyCap(storage_index, digest, shape.needed, shape.total, shape.size)
    servermap: dict[bytes, set[int]] = {}
    for share, servers in results.sharemap.items():
        for server in servers:
            servermap.setdefault(server, set()).add(share)
    results.__dict__.update(
        verifycapstr=str(cap).encode("ascii"),
        file_size=shape.size,
        ciphertext_fetched=fetched,
        pushed_shares=max(0, len(stored.seeds) - stored.found),
        servermap=servermap,
        timings=dict(timings),
    )
    return results


def check_results(
    results: object,
    proof: CiphertextProof,
    root: bytes,
    storage_index: bytes,
    needed: int,
    total: int,
) -> ChkVerifyCap:
    """
    Return the cap that *results* make, if they tell of the file that *proof* knows.

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
    """Return the ids of the servers of each share, as far as *results* tell of them."""
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
        # Very old helpers tell of them in sentences.
        for share, servers in sharemap.items()
        if isinstance(servers, (set, list)) and share in range(MAX_SHARES)
    }


def found_in(results: object) -> int:
    """Return how many shares *results* say were there before."""
    told = vars(results) if isinstance(results, UploadResults) else {}
    found = told.get("preexisting_shares")
    return found if isinstance(found, int) else 0
