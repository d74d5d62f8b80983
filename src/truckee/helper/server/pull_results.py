"""
What a helper tells a stock client of its file.

Source: ``docs/formats/helper-stock.md``, "Results".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from truckee.codec.caps import ChkVerifyCap
from truckee.codec.hashes import ueb_hash
from truckee.codec.ueb import fields_in_ueb, geometry_in_ueb
from truckee.helper.pull_results import UploadResults
from truckee.helper.server.stored import Stored


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
