"""
Certificates with which grid managers approve of storage servers.

Source: ``docs/formats/grid-managers.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import inf

from attrs import field, frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from truckee.codec import base32

MAX_CERTIFICATES = (
    16  # of one server that are looked at; one for each grid manager is usual
)
MAX_CERTIFICATE = 2048  # characters of what is signed; about 170 are usual

_PUBLIC = "pub-v0-"
_VERSION = 1
_NO_CERTIFICATE = "it has no certificate of a grid manager"


@frozen
class GridCertificate:
    """What a grid manager says of one storage server."""

    public_key: str  # of the server: pub-v0- and base32
    expires: float  # Unix seconds
    day: str  # of that, as YYYY-MM-DD


@frozen
class SignedCertificate:
    """A certificate whose signature nobody has looked at."""

    text: str  # JSON
    signature: bytes = field(repr=False)

    @classmethod
    def parse(cls, document: object) -> SignedCertificate:
        """Return what a JSON *document* holds.  :raises ValueError: when it is none."""
        if not isinstance(document, Mapping):
            raise ValueError("its certificate is not a JSON object")
        text, signature = document.get("certificate"), document.get("signature")
        if not isinstance(text, str) or not isinstance(signature, str):
            raise ValueError("its certificate has no certificate or no signature")
        if len(text) > MAX_CERTIFICATE or len(signature) > MAX_CERTIFICATE:
            raise ValueError("its certificate is too large")
        try:
            return cls(text, base32.decode(signature))
        except ValueError:
            raise ValueError("the signature of its certificate is not base32") from None

    def read(self) -> GridCertificate:
        """Return what it says, true or not.  :raises ValueError: when that is nothing."""
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            raise ValueError("its certificate is not JSON") from None
        if not isinstance(found, dict):
            raise ValueError("its certificate is not a JSON object")
        version = found.get("version")
        if isinstance(version, bool) or version != _VERSION:
            raise ValueError("its certificate has another version than 1")
        key, expires = found.get("public_key"), found.get("expires")
        if not isinstance(key, str) or not isinstance(expires, str):
            raise ValueError("its certificate names no key or no time")
        try:
            moment = datetime.fromisoformat(expires)
        except ValueError:
            raise ValueError("its certificate expires at no time") from None
        if moment.tzinfo is None:
            raise ValueError("its certificate expires at a time without a zone")
        return GridCertificate(key, moment.timestamp(), moment.date().isoformat())

    def signed_by(self, keys: Sequence[Ed25519PublicKey]) -> bool:
        """Tell whether one of *keys* has signed it."""
        data = self.text.encode("utf-8", "surrogatepass")
        for key in keys:
            try:
                key.verify(self.signature, data)
                return True
            except InvalidSignature:
                continue
        return False


@frozen
class Standing:
    """Until when a server may be given new shares, or why it may not."""

    expires: float = inf  # Unix seconds
    problem: str = ""  # then, in a few words that follow the server's name

    def refusal(self, now: float) -> str:
        """Return why it is given no shares *now*, in Unix seconds; empty: it is."""
        return "" if now < self.expires else self.problem


def parse_public_key(text: str) -> Ed25519PublicKey:
    """Return the key ``pub-v0-…``.  :raises ValueError: when *text* is none."""
    if not text.startswith(_PUBLIC):
        raise ValueError(f"a public key begins with {_PUBLIC}")
    key = base32.decode(text.removeprefix(_PUBLIC))
    if len(key) != 32:
        raise ValueError(f"a public key has 52 characters after {_PUBLIC}")
    return Ed25519PublicKey.from_public_bytes(key)


def standing_of(
    server_id: str, announced: object, keys: Sequence[Ed25519PublicKey]
) -> Standing:
    """
    Return what the certificates count that the server *server_id* (``v0-…``) announced.

    *keys* are those of the grid managers that count; without any, no certificate is needed.
    The certificate that lasts longest counts, whatever the others are.
    """
    if not keys:
        return Standing()
    certificates = announced if isinstance(announced, (list, tuple)) else []
    found: list[GridCertificate] = []
    problem = "" if announced in (None, certificates) else "its certificates are no list"
    for each in certificates[:MAX_CERTIFICATES]:
        try:
            found.append(_certificate_for(f"pub-{server_id}", each, keys))
        except ValueError as error:
            problem = problem or str(error)
    if not found:
        return Standing(-inf, problem or _NO_CERTIFICATE)
    last = max(found, key=lambda certificate: certificate.expires)
    return Standing(last.expires, f"its certificate expired on {last.day}")


def _certificate_for(
    public_key: str, document: object, keys: Sequence[Ed25519PublicKey]
) -> GridCertificate:
    """:raises ValueError: when it is no certificate of one of *keys* for *public_key*."""
    signed = SignedCertificate.parse(document)
    if not signed.signed_by(keys):
        raise ValueError("its certificate is signed by none of the grid managers")
    certificate = signed.read()
    if certificate.public_key != public_key:
        raise ValueError("its certificate is that of another server")
    return certificate
