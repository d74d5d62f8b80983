"""
The helper's protocols as foolscap carries them: names, arguments, results.

``wire`` has the values that these are made of.

Source: ``docs/formats/helper-push.md`` and ``docs/formats/helper-stock.md``.
"""

from __future__ import annotations

from foolscap.api import (
    Any,
    ChoiceOf,
    DictOf,
    ListOf,
    Referenceable,
    RemoteInterface,
    TupleOf,
)
from foolscap.constraint import ByteStringConstraint, IntegerConstraint

from truckee.helper.wire import LARGEST_PIECE, LARGEST_PUSH, MOST_PIECES

StorageIndex = ByteStringConstraint(16)
Size = IntegerConstraint(8)
Code = ByteStringConstraint(40)
Detail = ByteStringConstraint(1000)
OptionalSize = ChoiceOf(Size, None)
Data = ByteStringConstraint(LARGEST_PUSH)
Hash = ByteStringConstraint(32)
Secret = ByteStringConstraint(32)
UebBytes = ByteStringConstraint(2000)
Parameters = TupleOf(int, int, int, int)  # k, happy, N, segment size
Shares = DictOf(int, ListOf(ByteStringConstraint(200), maxLength=256), maxKeys=256)


class RIPushObserver(RemoteInterface):
    """Hears how far an upload has come."""

    __remote_name__ = "RIPushObserver.truckee"

    def progress(held=Size, stored=Size):
        return None

    def placed(shares=Shares):
        return None


class RIPushUpload(RemoteInterface):
    """One upload that is pushed."""

    __remote_name__ = "RIPushUpload.truckee"

    def push(offset=Size, data=Data):
        return TupleOf(Size, Code)

    def handle():
        return Secret

    def finish(size=Size, root=Hash):
        return TupleOf(Code, Detail, UebBytes, Shares)

    def abort(forget=bool):
        return None


class RIEncryptedUploadable(RemoteInterface):
    """The ciphertext of a stock client, pulled from it."""

    __remote_name__ = "RIEncryptedUploadable.tahoe.allmydata.com"

    def get_size():
        return Size

    def get_all_encoding_parameters():
        return Parameters

    def read_encrypted(offset=Size, length=int):
        return ListOf(ByteStringConstraint(LARGEST_PIECE), maxLength=MOST_PIECES)

    def close():
        return None


class RIUploadHelper(RemoteInterface):
    """One upload of a stock client."""

    __remote_name__ = "RIUploadHelper.tahoe.allmydata.com"

    def get_version():
        return DictOf(bytes, Any())

    def upload(reader=RIEncryptedUploadable):
        return Any()


# See ``wire.Opened``.
Opened = TupleOf(
    Code,
    Code,
    Size,
    ByteStringConstraint(32),
    ChoiceOf(RIPushUpload, None),
    UebBytes,
)


class RIHelper(RemoteInterface):
    """A helper."""

    __remote_name__ = "RIHelper.tahoe.allmydata.com"

    def get_version():
        return DictOf(bytes, Any())

    def upload_chk(si=StorageIndex):
        return TupleOf(Any(), ChoiceOf(RIUploadHelper, None))

    def open_push(
        storage_index=StorageIndex,
        parameters=Parameters,
        size=OptionalSize,
        observer=RIPushObserver,
    ):
        return Opened

    def open_push_v2(
        storage_index=StorageIndex,
        parameters=Parameters,
        size=OptionalSize,
        observer=RIPushObserver,
        secret=Secret,
    ):
        return Opened

    def truckee_share_channel(canary=Referenceable):
        return TupleOf(Hash, Secret)
