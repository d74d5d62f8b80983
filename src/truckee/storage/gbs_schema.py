"""
The storage protocol as HTTPS carries it: addresses, headers, messages.  Pure.

Source: ``docs/formats/storage-https.md``.  What a peer sent is read here and nowhere else;
whatever has another form is a ``ValueError``.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence, Set
from hashlib import sha1, sha256

import cbor2
from attrs import field, frozen
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate

from truckee.codec import base32
from truckee.codec.secrets import LeaseSecrets
from truckee.codec.slot_container import MAX_SHARE_SIZE
from truckee.storage.gbs_cbor import (
    MAX_NUMBER,
    decode,
    fields,
    numbers,
    unsigned,
    wanted_shares,
)

PREFIX = "/storage/v1"
CBOR = b"application/cbor"
OCTETS = b"application/octet-stream"

MAX_ALLOCATE = 8 * 1024  # bytes of the question; 256 share numbers take 800
MAX_REPORT = 32 * 1024  # bytes of a report of corruption
MAX_REASON = 32_765  # characters in it
# Bytes of an answer.  The largest names gaps in a share: 30,000 of them fit.
MAX_ANSWER = 1 << 20
MAX_TEXT = 4096  # bytes of what a server says of a refusal
MAX_APPLICATION = 200  # bytes of the name and version of a program
MAX_OFFSET = 1 << 63  # bytes; no file has that many
MAX_SECRET = 1024  # bytes; the usual ones have 20 and 32

RENEW = "lease-renew-secret"
CANCEL = "lease-cancel-secret"
UPLOAD = "upload-secret"
WRITE_ENABLER = "write-enabler"
SECRETS = {RENEW: 32, CANCEL: 32, UPLOAD: None, WRITE_ENABLER: None}  # lengths in bytes

# Keys of the answer to ``version``: byte strings, unlike those of the other messages.
_PROTOCOL = b"http://allmydata.org/tahoe/protocols/storage/v1"
_MAX_SHARE_SIZE = b"maximum-immutable-share-size"
_MAX_SLOT_SHARE_SIZE = b"maximum-mutable-share-size"
_AVAILABLE_SPACE = b"available-space"
_APPLICATION = b"application-version"
# A header of the answer to ``version``, since stock clients refuse keys that they do not
# know: 1 where shares that are closed outlive a power cut.
DURABLE = b"X-Truckee-Durable"
# Another: 1 where shares in progress outlive their writers.
KEEPS_SHARES = b"X-Truckee-Keeps-Shares"

_NURL = re.compile(
    r"pb(?P<tor>\+tor)?://(?P<hash>[A-Za-z0-9_-]{43})@(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
    r":(?P<port>[0-9]{1,5})/(?P<swissnum>[A-Za-z0-9._~-]{1,256})#v=1"
)
_HINT = re.compile(r"tcp:(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")


# Addresses


@frozen
class Nurl:
    """Where a server is, what key it has, and the word that lets one in."""

    spki_hash: bytes  # SHA-256 of the DER form of its public key
    host: str  # without brackets
    port: int
    swissnum: str = field(repr=False)
    over_tor: bool = False  # it is reached through Tor alone

    @classmethod
    def parse(cls, text: str) -> Nurl:
        """:raises ValueError: when *text* is no NURL of version 1."""
        found = _NURL.fullmatch(text)
        if found is None:
            raise ValueError("a NURL looks like pb://HASH@HOST:PORT/SWISSNUM#v=1")
        spki_hash = urlsafe_b64decode(found["hash"] + "=")
        port = int(found["port"])
        if _hash_text(spki_hash) != found["hash"] or not 0 < port < 65536:
            raise ValueError("the hash or the port of a NURL is impossible")
        host, swissnum = found["host"].strip("[]"), found["swissnum"]
        return cls(spki_hash, host, port, swissnum, found["tor"] is not None)

    @property
    def authority(self) -> str:
        """Host and port as they stand in addresses."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def text(self) -> str:
        """The NURL; whoever knows it may use the server."""
        scheme = "pb+tor" if self.over_tor else "pb"
        place = f"{_hash_text(self.spki_hash)}@{self.authority}"
        return f"{scheme}://{place}/{self.swissnum}#v=1"


def nurls_of(furl: str, spki_hash: bytes) -> list[Nurl]:
    """
    Return the addresses over HTTPS of the server that is at *furl* over foolscap.

    There is one for each ``tcp:`` hint; *spki_hash* is that of the tub's certificate.
    """
    hints, _, swissnum = furl.partition("@")[2].rpartition("/")
    found = (_HINT.fullmatch(hint) for hint in hints.split(","))
    return [
        Nurl(spki_hash, hint["host"].strip("[]"), int(hint["port"]), swissnum)
        for hint in found
        if hint is not None
    ]


def _hash_text(spki_hash: bytes) -> str:
    return urlsafe_b64encode(spki_hash).decode("ascii").rstrip("=")


def spki_hash(certificate: bytes) -> bytes:
    """
    Return the hash of the public key in a DER *certificate*.

    :raises ValueError: when it has none that we know.
    """
    try:
        key = load_der_x509_certificate(certificate).public_key()
    except Exception as error:
        raise ValueError("the certificate has no key that can be read") from error
    return sha256(
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).digest()


def tub_id(certificate: bytes) -> bytes:
    """Return the 20 bytes by which furls name the owner of a DER *certificate*."""
    return sha1(certificate).digest()


# Headers


def authorization(swissnum: str) -> bytes:
    """Return the value of ``Authorization``."""
    return b"Tahoe-LAFS " + b64encode(swissnum.encode("ascii"))


def secret_header(name: str, secret: bytes) -> bytes:
    """Return the value of one ``X-Tahoe-Authorization``."""
    return name.encode("ascii") + b" " + b64encode(secret)


def parse_secrets(values: Sequence[bytes], wanted: Set[str]) -> dict[str, bytes]:
    """
    Return the secrets in the values of ``X-Tahoe-Authorization``, by name.

    :raises ValueError: unless they are those *wanted*, each once and as long as it is.
    """
    found: dict[str, bytes] = {}
    for value in values[: len(SECRETS) + 1]:
        name, _, text = value.decode("ascii").partition(" ")
        if len(text) > 2 * MAX_SECRET:
            raise ValueError("a secret is too long")
        secret = b64decode(text, validate=True)
        length = SECRETS.get(name)
        if name in found or not secret or length not in (None, len(secret)):
            raise ValueError("a secret comes twice or has another length")
        found[name] = secret
    if found.keys() != wanted:
        raise ValueError(
            "other secrets are needed: " + (", ".join(sorted(wanted)) or "none")
        )
    return found


def lease_headers(secrets: LeaseSecrets) -> list[tuple[str, bytes]]:
    """Return the secrets of a lease, to be sent."""
    return [(RENEW, secrets.renew), (CANCEL, secrets.cancel)]


def lease_secrets(secrets: Mapping[str, bytes]) -> LeaseSecrets:
    """Return the secrets of a lease that were sent."""
    return LeaseSecrets(secrets[RENEW], secrets[CANCEL])


def content_range(begin: int, end: int) -> bytes:
    """Return the ``Content-Range`` of the bytes from *begin* to before *end*."""
    return b"bytes %d-%d/*" % (begin, end - 1)


def parse_content_range(value: bytes) -> tuple[int, int]:
    """Return the (begin, end) in a ``Content-Range``; the total is not looked at."""
    return _bounds(re.fullmatch(rb"bytes (\d{1,20})-(\d{1,20})/(?:\d{1,20}|\*)", value))


def range_header(begin: int, end: int) -> bytes:
    """Return the ``Range`` of the bytes from *begin* to before *end*."""
    return b"bytes=%d-%d" % (begin, end - 1)


def parse_range(value: bytes) -> tuple[int, int]:
    """Return the (begin, end) in a ``Range`` that has both and is the only one."""
    return _bounds(re.fullmatch(rb"bytes=(\d{1,20})-(\d{1,20})", value))


def _bounds(found: re.Match[bytes] | None) -> tuple[int, int]:
    if found is None:
        raise ValueError("it is no range of bytes with a first and a last")
    begin, last = int(found[1]), int(found[2])
    if not begin <= last < MAX_NUMBER:
        raise ValueError("the range ends before it begins, or is too large")
    return begin, last + 1


def parse_storage_index(text: str) -> bytes:
    """Return the 16 bytes that *text* in a path stands for."""
    storage_index = base32.decode(text)
    if len(storage_index) != 16:
        raise ValueError("a storage index has 16 bytes")
    return storage_index


# Messages


def encode_allocate(shares: Set[int], size: int) -> bytes:
    """Ask for *shares* of *size* bytes each."""
    return cbor2.dumps({"share-numbers": set(shares), "allocated-size": size})


def parse_allocate(body: bytes) -> tuple[Set[int], int]:
    """Return the shares asked for and their size."""
    shares, size = fields(decode(body), "share-numbers", "allocated-size")
    return wanted_shares(shares), unsigned(size)


def encode_allocated(already: Set[int], allocated: Set[int]) -> bytes:
    """Answer which shares are there, and which may be written."""
    return cbor2.dumps({"already-have": set(already), "allocated": set(allocated)})


def parse_allocated(body: bytes) -> tuple[Set[int], Set[int]]:
    """Return the shares that are there, and those that may be written."""
    already, allocated = fields(decode(body), "already-have", "allocated")
    return numbers(already), numbers(allocated)


def encode_required(ranges: Iterable[tuple[int, int]]) -> bytes:
    """Answer which bytes of a share are missing, as (begin, end)."""
    return cbor2.dumps(
        {"required": [{"begin": begin, "end": end} for begin, end in ranges]}
    )


def parse_required(body: bytes) -> list[tuple[int, int]]:
    """Return which bytes of a share are missing, as (begin, end)."""
    (ranges,) = fields(decode(body), "required")
    if not isinstance(ranges, (list, tuple)):
        raise ValueError("the missing ranges are no array")
    pairs = [fields(each, "begin", "end") for each in ranges]
    return [(unsigned(begin), unsigned(end)) for begin, end in pairs]


def encode_shares(shares: Set[int]) -> bytes:
    """Answer which finished shares there are."""
    return cbor2.dumps(set(shares))


def parse_shares(body: bytes) -> Set[int]:
    """Return which finished shares there are."""
    return numbers(decode(body))


def encode_report(reason: str) -> bytes:
    """Say what is wrong with a share, cut to what fits."""
    # Some room is left for the CBOR around it.
    text = reason.encode("utf-8", "replace")[: MAX_REPORT - 64].decode("utf-8", "ignore")
    return cbor2.dumps({"reason": text or "no reason was given"})


def parse_report(body: bytes) -> str:
    """Return what is wrong with a share."""
    (reason,) = fields(decode(body), "reason")
    if not isinstance(reason, str) or not 0 < len(reason) <= MAX_REASON:
        raise ValueError("a reason is a text of 1 to 32765 characters")
    return reason


def encode_version(application: bytes, space: int, max_slot_share: int = 0) -> bytes:
    """
    Answer what the server is, and how many bytes it would take now.

    *max_slot_share* is the largest share of a mutable file it would take.
    """
    return cbor2.dumps(
        {
            _PROTOCOL: {
                _MAX_SHARE_SIZE: space,
                _MAX_SLOT_SHARE_SIZE: max_slot_share,
                _AVAILABLE_SPACE: space,
            },
            _APPLICATION: application,
        }
    )


@frozen
class Version:
    """What a server says of itself."""

    application: str  # its own words
    space: int  # bytes that it would take now
    max_slot_share: int = 0  # bytes of a share of a mutable file; 0: it serves none
    durable: bool = False  # whether shares that it has closed outlive a power cut


def parse_version(body: bytes) -> Version:
    """Return what a server says of itself."""
    version = decode(body)
    known = version.get(_PROTOCOL) if isinstance(version, dict) else None
    if not isinstance(known, dict):
        raise ValueError("the version names no protocol that we speak")
    application = version.get(_APPLICATION, b"?")
    if not isinstance(application, bytes):
        raise ValueError("the version of the application is no byte string")
    return Version(
        application[:MAX_APPLICATION].decode("ascii", "replace"),
        unsigned(known.get(_AVAILABLE_SPACE, known.get(_MAX_SHARE_SIZE))),
        min(unsigned(known.get(_MAX_SLOT_SHARE_SIZE, 0)), MAX_SHARE_SIZE),
    )
