"""
Keys and secrets of mutable files that are computed from others.

Source: ``docs/formats/mutable.md``, "Keys".  Read keys and storage indexes are made by the
caps, lease secrets by ``truckee.codec.secrets``: those of immutable files have them too.
"""

from __future__ import annotations

from hmac import compare_digest

from truckee.codec.caps import MutableWriteCap
from truckee.codec.cipher import crypt
from truckee.codec.hashes import Buffer, tagged_hash, tagged_pair_hash
from truckee.codec.mutable_errors import BadShare
from truckee.codec.rsa_keys import BadPrivateKey, SigningKey
from truckee.codec.secrets import KEY_SIZE

_WRITE_KEY = b"allmydata_mutable_privkey_to_writekey_v1"
_FINGERPRINT = b"allmydata_mutable_pubkey_to_fingerprint_v1"
_DATA_KEY = b"allmydata_mutable_readkey_to_datakey_v1"
_MASTER = b"allmydata_mutable_writekey_to_write_enabler_master_v1"
_ENABLER = b"allmydata_mutable_write_enabler_master_and_nodeid_to_write_enabler_v1"


def write_key_of(private_key: Buffer) -> bytes:
    """Return the 16-byte write key of a file, from its private key as DER."""
    return tagged_hash(_WRITE_KEY, private_key)[:KEY_SIZE]


def fingerprint_of(public_key: Buffer) -> bytes:
    """Return the 32-byte fingerprint of a public key as DER."""
    return tagged_hash(_FINGERPRINT, public_key)


def write_cap_of(format: str, key: SigningKey) -> MutableWriteCap:
    """Return the cap that writes the file of *key*; *format* is SSK or MDMF."""
    fingerprint = fingerprint_of(key.verifying_key.der)
    return MutableWriteCap(format, write_key_of(key.der), fingerprint)


def data_key(read_key: bytes, salt: bytes) -> bytes:
    """Return the 16-byte key of one segment, whose *salt* has 16 bytes."""
    return tagged_pair_hash(_DATA_KEY, salt, read_key)[:KEY_SIZE]


def write_enabler(write_key: bytes, lease_seed: bytes) -> bytes:
    """Return the 32 bytes that let a client write on the server of *lease_seed*."""
    return tagged_pair_hash(_ENABLER, tagged_hash(_MASTER, write_key), lease_seed)


def encrypt_private_key(write_key: bytes, key: SigningKey) -> bytes:
    """Return what every share of the file has of its private key."""
    return crypt(write_key, 0, key.der)


def decrypt_private_key(cap: MutableWriteCap, encrypted: Buffer) -> SigningKey:
    """
    Return the private key from what a share has of it.

    This is for a worker thread.  :raises BadShare: when it is not the file's key.
    """
    der = crypt(cap.write_key, 0, encrypted)
    if not compare_digest(write_key_of(der), cap.write_key):
        raise BadShare("its private key is not the one that the cap names")
    try:
        key = SigningKey.parse(der)
    except BadPrivateKey as error:
        raise BadShare(f"its private key is unusable, {error.reason}") from None
    if fingerprint_of(key.verifying_key.der) != cap.fingerprint:
        raise BadShare("its private key does not belong to its public key")
    return key
