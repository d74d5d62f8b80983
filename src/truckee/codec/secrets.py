"""
Keys and secrets that are computed from others.

Source: formats, "Keys and encryption" and "Leases".
"""

from __future__ import annotations

from attrs import field, frozen

from truckee.codec.geometry import Geometry
from truckee.codec.hashes import TaggedHasher, tagged_hash, tagged_pair_hash
from truckee.codec.netstring import netstring

KEY_SIZE = 16  # bytes of an AES-128 key
_CONVERGENCE = b"allmydata_immutable_content_to_key_with_added_secret_v1+"


@frozen
class LeaseSecrets:
    """The two 32-byte secrets that a client shows one server for one file."""

    renew: bytes = field(repr=False)
    cancel: bytes = field(repr=False)


def convergence_hasher(secret: bytes, geometry: Geometry) -> TaggedHasher:
    """
    Return the hasher whose first 16 bytes over the whole plaintext are the key.

    The *effective* segment size of *geometry* takes part, so that a file shorter than
    one maximal segment has the same key whatever that maximum is.
    """
    parameters = b"%d,%d,%d" % (geometry.needed, geometry.total, geometry.segment_size)
    return TaggedHasher(_CONVERGENCE + netstring(secret) + netstring(parameters))


def lease_secrets(secret: bytes, storage_index: bytes, lease_seed: bytes) -> LeaseSecrets:
    """
    Return the lease secrets for one file on one server.

    *secret* is the client's 32 bytes, *lease_seed* the 20 bytes that name the server.
    """
    return LeaseSecrets(
        _lease_secret(b"renewal", secret, storage_index, lease_seed),
        _lease_secret(b"cancel", secret, storage_index, lease_seed),
    )


def upload_secret(secrets: LeaseSecrets) -> bytes:
    """
    Return the 32 bytes that let one client continue its shares on one server.

    Source: ``docs/formats/kept-shares.md``.
    """
    return tagged_hash(b"truckee_upload_secret_v1", secrets.renew)


def progress_secret(secrets: LeaseSecrets) -> bytes:
    """
    Return the 32 bytes that show one server which shares in progress are a client's own.

    Source: ``docs/formats/storage-https.md``, "Writing".
    """
    return tagged_hash(b"truckee_progress_secret_v1", secrets.renew)


def _lease_secret(use: bytes, secret: bytes, storage_index: bytes, seed: bytes) -> bytes:
    # In the first step the secret is the tag and the constant is the value.
    client = tagged_hash(secret, b"allmydata_client_%b_secret_v1" % use)
    file = tagged_pair_hash(b"allmydata_file_%b_secret_v1" % use, client, storage_index)
    return tagged_pair_hash(b"allmydata_bucket_%b_secret_v1" % use, file, seed)
