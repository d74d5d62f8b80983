"""
Our storage for others: a server on the network, and its announcement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from foolscap.furl import BadFURLError
from foolscap.tokens import WrongTubIdError
from twisted.internet.interfaces import IReactorTime

from truckee import __version__
from truckee.codec import base32
from truckee.errors import Misuse
from truckee.flow.durable import sync_file, write_durably
from truckee.grid.announcements import Envelope, sign
from truckee.node.layout import NodeDirectory
from truckee.node.storage import OfferedStorage
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.quotas import ShareQuotas


@define
class BadOffer(Misuse):
    """
    {path} cannot be used: {reason}. Restore it from a backup: other nodes know this server
    by what is in it.
    """

    path: Path
    reason: str


def register(tub: Any, served: Any, path: Path) -> str:
    """Let *tub* serve an object; return its furl, which is kept in the file *path*."""
    try:
        if path.exists() and not path.stat().st_size:
            # What a power cut left of it; nobody was told of what was to be in it.
            path.unlink()
        furl: str = tub.registerReference(served, furlFile=str(path))
        sync_file(path)
    except WrongTubIdError:
        raise BadOffer(path, "it belongs to another private/node.pem") from None
    except (ValueError, BadFURLError) as error:
        raise BadOffer(path, str(error)) from None
    return furl


@define(eq=False)
class StorageOffer:
    """What a storage node publishes."""

    _directory: NodeDirectory
    _key: Ed25519PrivateKey = field(repr=False)
    _nickname: str
    _random: Callable[[int], bytes]

    def permutation_seed(self) -> bytes:
        """
        Return the seed of this server, which is chosen once and kept.

        As stock servers do, it is the text of the public key, not its bytes.
        """
        path = self._directory.path / "permutation-seed"
        if not path.exists():
            public = base32.encode(self._key.public_key().public_bytes_raw())
            write_durably(path, (base32.encode(public.encode("ascii")) + "\n").encode())
        try:
            return base32.decode(path.read_text("ascii").strip())
        except (OSError, ValueError) as error:
            raise BadOffer(path, str(error)) from None

    def register(
        self,
        tub: Any,
        storage: OfferedStorage,
        reactor: IReactorTime,
        quotas: ShareQuotas,
    ) -> str:
        """Let *tub* serve *storage*; return its furl, the same at every start."""
        path = self._directory.private / "storage.furl"
        served = FoolscapStorage(storage.immutable, reactor, storage.mutable, quotas)
        return register(tub, served, path)

    def announcement(self, furl: str, nurls: Sequence[str]) -> Envelope:
        """
        Return a new announcement, with a number higher than all before.

        *nurls* are where the same server is reached over HTTPS.
        """
        fields: dict[str, object] = {
            "version": 0,
            "service-name": "storage",
            "nickname": self._nickname,
            "app-versions": [],
            "my-version": f"truckee/{__version__}",
            "oldest-supported": "1.0.0",
            "seqnum": self._next_number(),
            "nonce": base32.encode(self._random(32)),
            "permutation-seed-base32": base32.encode(self.permutation_seed()),
            "anonymous-storage-FURL": furl,
        }
        if nurls:
            fields["anonymous-storage-NURLs"] = list(nurls)
        return sign(self._key, fields)

    def _next_number(self) -> int:
        path = self._directory.path / "announcement-seqnum"
        try:
            number = int(path.read_text("ascii")) + 1
        except FileNotFoundError:
            number = 1
        except (OSError, ValueError) as error:
            raise BadOffer(path, str(error)) from None
        write_durably(path, b"%d\n" % number)
        return number
