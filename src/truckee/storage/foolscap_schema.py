"""
The storage protocol as foolscap carries it: names, arguments, results.

Source: ``docs/formats/storage-foolscap.md``.  Both sides are checked against this: what
arrives from a peer has these types and sizes or is refused before it reaches us.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import TypeVar

from foolscap.api import Any, DictOf, ListOf, Referenceable, RemoteInterface, SetOf, TupleOf
from foolscap.constraint import ByteStringConstraint, IntegerConstraint
from zope.interface import implementer

from truckee.storage.foolscap_answers import ShareBytesConstraint
from truckee.storage.foolscap_slot_answers import SlotDataConstraint
from truckee.storage.interfaces import (
    MAX_DIRECT_SHARE,
    MAX_KEPT_HASHES,
    MAX_SLOT_READS,
    MAX_SLOT_TESTS,
    MAX_SLOT_WRITES,
)

T = TypeVar("T")

_MOST_SHARES = 256

StorageIndex = ByteStringConstraint(16)
Secret = ByteStringConstraint(maxLength=32, minLength=32)
BlockHash = ByteStringConstraint(maxLength=32, minLength=32)
Bytes = ByteStringConstraint()
Offset = IntegerConstraint(8)
ShareNumbers = SetOf(int, maxLength=_MOST_SHARES)
ReadVector = ListOf(TupleOf(Offset, Offset), maxLength=MAX_SLOT_READS)
TestVector = ListOf(TupleOf(Offset, Offset, bytes, bytes), maxLength=MAX_SLOT_TESTS)
DataVector = ListOf(TupleOf(Offset, Bytes), maxLength=MAX_SLOT_WRITES)


class RIBucketWriter(RemoteInterface):
    """A share in progress."""

    __remote_name__ = "RIBucketWriter"

    def write(offset=Offset, data=Bytes):
        return None

    def close():
        return None

    def abort():
        return None


class RIBucketReader(RemoteInterface):
    """A finished share."""

    __remote_name__ = "RIBucketReader"

    def read(offset=Offset, length=int):
        return ShareBytesConstraint()

    def advise_corrupt_share(reason=Bytes):
        return None


class RIKeptShareWriter(RemoteInterface):
    """A share in progress that outlives its writer."""

    __remote_name__ = "RIKeptShareWriter.truckee"

    def write(offset=Offset, data=Bytes):
        return None

    def close(size=Offset):
        return None

    def leave():
        return None

    def abort():
        return None

    def hashes(offset=Offset, piece=Offset, count=Offset):
        return ListOf(BlockHash, maxLength=MAX_KEPT_HASHES)


class RIStorageServer(RemoteInterface):
    """A storage server."""

    __remote_name__ = "RIStorageServer.tahoe.allmydata.com"

    def get_version():
        return DictOf(bytes, Any())

    def allocate_buckets(
        storage_index=StorageIndex,
        renew_secret=Secret,
        cancel_secret=Secret,
        sharenums=ShareNumbers,
        allocated_size=Offset,
        canary=Referenceable,
    ):
        return TupleOf(ShareNumbers, DictOf(int, RIBucketWriter, maxKeys=_MOST_SHARES))

    def add_lease(storage_index=StorageIndex, renew_secret=Secret, cancel_secret=Secret):
        return Any()

    def get_buckets(storage_index=StorageIndex):
        return DictOf(int, RIBucketReader, maxKeys=_MOST_SHARES)

    def slot_readv(
        storage_index=StorageIndex,
        shares=ListOf(int, maxLength=_MOST_SHARES),
        readv=ReadVector,
    ):
        return SlotDataConstraint()

    def slot_testv_and_readv_and_writev(
        storage_index=StorageIndex,
        secrets=TupleOf(Secret, Secret, Secret),
        # The last is a number or None.  A choice of the two would let a third type end
        # the whole connection.
        tw_vectors=DictOf(
            int, TupleOf(TestVector, DataVector, Any()), maxKeys=_MOST_SHARES
        ),
        r_vector=ReadVector,
    ):
        return TupleOf(bool, SlotDataConstraint())

    def truckee_store_share(
        storage_index=StorageIndex,
        renew_secret=Secret,
        cancel_secret=Secret,
        sharenum=int,
        data=ByteStringConstraint(MAX_DIRECT_SHARE),
    ):
        # For another type than a bool the whole connection would end.
        return Offset

    def truckee_read_share(
        storage_index=StorageIndex, sharenum=int, offset=Offset, length=Offset
    ):
        return ByteStringConstraint(MAX_DIRECT_SHARE)

    def truckee_unfinished_shares(storage_index=StorageIndex, upload_secret=Secret):
        return DictOf(int, Offset, maxKeys=_MOST_SHARES)

    def truckee_open_shares(
        storage_index=StorageIndex,
        renew_secret=Secret,
        cancel_secret=Secret,
        upload_secret=Secret,
        sharenums=ShareNumbers,
        size=Offset,
        open_ended=bool,
        brief=bool,
        canary=Referenceable,
    ):
        opened = TupleOf(RIKeptShareWriter, Offset, Secret)
        return TupleOf(ShareNumbers, DictOf(int, opened, maxKeys=_MOST_SHARES))

    def truckee_share_channel(canary=Referenceable):
        return TupleOf(Secret, Secret)  # the server's fingerprint, and a ticket

    def advise_corrupt_share(
        share_type=bytes, storage_index=StorageIndex, shnum=int, reason=Bytes
    ):
        return None


def serves(interface: object) -> Callable[[type[T]], type[T]]:
    """Declare that a class has the methods of a RemoteInterface, named ``remote_…``."""
    return implementer(interface)


# Keys of the answer to get_version.
PROTOCOL = b"http://allmydata.org/tahoe/protocols/storage/v1"
MAX_SHARE_SIZE = b"maximum-immutable-share-size"
MAX_SLOT_SHARE_SIZE = b"maximum-mutable-share-size"
AVAILABLE_SPACE = b"available-space"
# Beside the protocol's key: True where shares that are closed outlive a power cut.
DURABLE = b"truckee-durable"
# Beside it too: 1 where shares in progress are kept; see ``docs/formats/kept-shares.md``.
KEEPS_SHARES = b"truckee-keeps-shares"
# 1 where there are share channels; see ``docs/formats/share-channel.md``.
SHARE_CHANNEL = b"truckee-share-channel"

# Beside it too: 1 where shares are stored and read in one call each.
DIRECT_SHARES = b"truckee-direct-shares"

# Of what interface a method is.  A peer says which ones its objects have, and may say
# nothing, so whoever calls says what the answer must be.
INTERFACES: dict[str, typing.Any] = {
    name: interface
    for interface in (RIBucketWriter, RIBucketReader, RIStorageServer)
    for name in interface
}
