"""
Our storage for others: a server on the network, and its announcement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from foolscap.furl import BadFURLError
from foolscap.referenceable import SturdyRef
from twisted.logger import Logger

from truckee import __version__
from truckee.codec import base32
from truckee.errors import Misuse
from truckee.flow.durable import write_durably
from truckee.grid.announcements import Envelope, sign
from truckee.node.grid_managers import OwnCertificate, certificate_troubles
from truckee.node.layout import NodeDirectory

log = Logger()

_SWISSNUM_SIZE = 20  # bytes


@define
class BadOffer(Misuse):
    """
    {path} cannot be used: {reason}. Restore it from a backup: other nodes know this server
    by what is in it.
    """

    path: Path
    reason: str


def keep_furl(tub: Any, path: Path, random: Callable[[int], bytes]) -> str:
    """
    Return the swissnum of the furl in the file *path*, which is made if need be; blocks.

    Foolscap would open the file for writing at each start, and empty it on a full disk.
    :raises OSError: when there is none, and none can be written.  :raises BadOffer:
    """
    try:
        old = path.read_text("ascii").strip()
    except FileNotFoundError:
        old = ""
    except (OSError, ValueError) as error:
        raise BadOffer(path, str(error)) from None
    name = base32.encode(random(_SWISSNUM_SIZE))
    if old:
        try:
            reference = SturdyRef(old)
        except (ValueError, BadFURLError) as error:
            raise BadOffer(path, str(error)) from None
        if reference.tubID != tub.tubID:
            raise BadOffer(path, "it belongs to another private/node.pem")
        name = str(reference.name)
    furl = tub.buildURL(name)
    if furl != old:
        try:
            write_durably(path, f"{furl}\n".encode("ascii"))
        except OSError:
            # Where it leads to another address now, that is in our announcements.
            if not old:
                raise
    return name


@define(eq=False)
class StorageOffer:
    """What a storage node publishes."""

    _directory: NodeDirectory
    _key: Ed25519PrivateKey = field(repr=False)
    _nickname: str
    _random: Callable[[int], bytes]
    certificates: Sequence[OwnCertificate] = ()

    @property
    def public_key(self) -> str:
        """What names this server to grid managers: ``pub-v0-`` and base32."""
        return f"pub-v0-{base32.encode(self._key.public_key().public_bytes_raw())}"

    def keep_public_key(self) -> None:
        """Write it where people look for it; blocks.  :raises OSError:"""
        path = self._directory.path / "node.pubkey"
        data = f"{self.public_key}\n".encode("ascii")
        if not path.exists() or path.read_bytes() != data:
            write_durably(path, data)

    def troubles(self, now: float) -> dict[str, str]:
        """Return what is wrong with certificates of grid managers, by name."""
        return certificate_troubles(self.certificates, self.public_key, now)

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

    def announcement(self, furl: str, nurls: Sequence[str], number: int) -> Envelope:
        """
        Return a new announcement, whose *number* is higher than all before.

        *nurls* are where the same server is reached over HTTPS.
        """
        fields: dict[str, object] = {
            "version": 0,
            "service-name": "storage",
            "nickname": self._nickname,
            "app-versions": [],
            "my-version": f"truckee/{__version__}",
            "oldest-supported": "1.0.0",
            "seqnum": number,
            "nonce": base32.encode(self._random(32)),
            "permutation-seed-base32": base32.encode(self.permutation_seed()),
            "anonymous-storage-FURL": furl,
        }
        if nurls:
            fields["anonymous-storage-NURLs"] = list(nurls)
        if self.certificates:
            documents = [dict(each.document) for each in self.certificates]
            fields["grid-manager-certificates"] = documents
        return sign(self._key, fields)

    def next_number(self, now: float) -> int:
        """
        Return the number of the next announcement, to be kept by ``keep_number``; blocks.

        One counts starts, so the time in seconds is higher than any number before: it is
        what comes after a file that is damaged, which is set aside.
        """
        path = self._directory.seqnum
        try:
            return int(path.read_bytes()) + 1
        except FileNotFoundError:
            return 1
        except (OSError, ValueError):
            with suppress(OSError):
                path.rename(path.with_suffix(".damaged"))
            log.error("{path} is damaged and was set aside", path=str(path))
            return int(now)

    def keep_number(self, number: int) -> None:
        """Note which number was used last; blocks.  :raises OSError:"""
        write_durably(self._directory.seqnum, b"%d\n" % number)
