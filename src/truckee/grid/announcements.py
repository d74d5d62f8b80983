"""
What servers say about themselves, signed.  Pure.

Source: ``docs/formats/announcements.md``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from attrs import evolve, field, frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from truckee.codec import base32
from truckee.grid.addresses import ANY_ADDRESS, AddressPolicy, host_of, with_hints

# A few hundred bytes are usual; grid-manager certificates make it a few thousand.
MAX_MESSAGE = 16 * 1024  # bytes
_MAX_PART = 200  # bytes of a key or a signature
_MAX_NICKNAME = 200  # characters that are kept
_MAX_SEED = 400  # characters
_MAX_FURL = 4096  # characters; also of a NURL
_MAX_NURLS = 8
_PREFIX = "v0-"
_TUBID_CHARACTERS = 32
# What foolscap takes, and not what it would fail on later.
_FURL = re.compile(r"pb://(?P<tubid>[^@\s]+)@(?P<hints>[^/\s]*)/\S+")

Envelope = tuple[bytes, bytes, bytes]


@frozen
class Announcement:
    """One server's announcement, or an operator's word for it."""

    server_id: str  # v0- and the public key in base32; for static servers any name
    nickname: str
    furl: str = field(repr=False)
    nurls: tuple[str, ...] = field(repr=False)  # the same server over HTTPS
    permutation_seed: bytes
    seqnum: int | None  # None: not told
    fields: Mapping[str, Any] = field(repr=False)  # all that was said
    over_tor: bool = False  # by the operator's word: never over plain TCP

    @property
    def has_hints(self) -> bool:
        """Whether its furl says where it is."""
        match = _FURL.fullmatch(self.furl)
        return match is not None and bool(match["hints"])

    @property
    def lease_seed(self) -> bytes:
        """The 20-byte id of its tub."""
        return tubid_of(self.furl)

    @property
    def short_name(self) -> str:
        """How people call it when it has no nickname."""
        return self.server_id.removeprefix(_PREFIX)[:8]


def tubid_of(furl: str) -> bytes:
    """Return the 20-byte tub id in *furl*.  :raises ValueError: when there is none."""
    match = _FURL.fullmatch(furl)
    if match is None or (match["hints"] and "" in match["hints"].split(",")):
        raise ValueError("a furl looks like pb://TUBID@tcp:HOST:PORT/SWISSNUM")
    try:
        tubid = base32.decode(match["tubid"][:_TUBID_CHARACTERS])
    except ValueError as error:
        raise ValueError(f"in the tub id of the furl, {error}") from None
    if len(tubid) != 20:
        raise ValueError("the tub id of a furl has 20 bytes, 32 characters")
    return tubid


def parse_fields(server_id: str, fields: Mapping[str, Any]) -> Announcement:
    """
    Return what *fields* say of the storage server *server_id*.

    :raises ValueError: when a field that is needed is missing or has another form.
    """
    furl = fields.get("anonymous-storage-FURL")
    if not isinstance(furl, str):
        raise ValueError("it has no anonymous-storage-FURL")
    if len(furl) > _MAX_FURL:
        raise ValueError("its furl is too long")
    if len(furl) > _MAX_FURL:
        raise ValueError("its furl is too long")
    tubid_of(furl)
    nickname = fields.get("nickname", "")
    nurls = fields.get("anonymous-storage-NURLs", [])
    seqnum = fields.get("seqnum")
    if not isinstance(nickname, str) or not isinstance(nurls, list):
        raise ValueError("its nickname or its NURLs have another form")
    return Announcement(
        server_id,
        "".join(each for each in nickname[:_MAX_NICKNAME] if each.isprintable()),
        with_hints(furl, ANY_ADDRESS),
        tuple(
            nurl
            for nurl in nurls[:_MAX_NURLS]
            if isinstance(nurl, str) and len(nurl) <= _MAX_FURL
        ),
        _permutation_seed(server_id, fields),
        seqnum if isinstance(seqnum, int) and not isinstance(seqnum, bool) else None,
        dict(fields),
    )


def _permutation_seed(server_id: str, fields: Mapping[str, Any]) -> bytes:
    """The announced seed, of any length; else the key; else a hash of the name."""
    seed = fields.get("permutation-seed-base32")
    if isinstance(seed, str):
        if len(seed) > _MAX_SEED:
            raise ValueError("its permutation seed is too long")
        return base32.decode(seed)
    try:
        key = base32.decode(server_id.removeprefix(_PREFIX))
    except ValueError:
        key = b""
    if server_id.startswith(_PREFIX) and len(key) == 32:
        return key
    return sha256(server_id.encode("utf-8")).digest()


def restricted(announcement: Announcement, policy: AddressPolicy) -> Announcement:
    """Return *announcement* with those addresses alone that *policy* allows."""
    hosts = (
        (nurl, host_of(nurl.partition("@")[2].partition("/")[0]))
        for nurl in announcement.nurls
    )
    return evolve(
        announcement,
        furl=with_hints(announcement.furl, policy),
        # What is no NURL is named when it is looked at.
        nurls=tuple(nurl for nurl, host in hosts if host is None or policy.allows(host)),
    )


def verify(envelope: object) -> Announcement:
    """
    Return the announcement in a signed *envelope* of unknown origin.

    :raises ValueError: when it is no envelope, its signature is wrong, or it says
        nothing of a storage server.
    """
    if not (isinstance(envelope, tuple) and len(envelope) == 3):
        raise ValueError("an envelope is a message, a signature and a key")
    message, signature, key = envelope
    for part, most in ((message, MAX_MESSAGE), (signature, _MAX_PART), (key, _MAX_PART)):
        if not isinstance(part, bytes) or len(part) > most:
            raise ValueError("a part of the envelope is not bytes, or too long")
    try:
        server_id = key.decode("ascii")
        public = Ed25519PublicKey.from_public_bytes(_unprefixed(key))
        public.verify(_unprefixed(signature), message)
        fields = json.loads(message.decode("utf-8"))
    except InvalidSignature:
        raise ValueError("the signature is wrong") from None
    except RecursionError:
        raise ValueError("the message is nested too deeply") from None
    if not isinstance(fields, dict):
        raise ValueError("the message is not a JSON object")
    return parse_fields(server_id, fields)


def sign(key: Ed25519PrivateKey, fields: Mapping[str, Any]) -> Envelope:
    """Return the envelope of *fields* under a server's *key*."""
    message = json.dumps(fields, sort_keys=True).encode("utf-8")
    return (
        message,
        _prefixed(key.sign(message)),
        _prefixed(key.public_key().public_bytes_raw()),
    )


def is_newer(new: Announcement, known: Announcement) -> bool:
    """Whether *new* replaces *known*, of the same server and the same introducer."""
    if new.fields == known.fields:
        return False
    if known.seqnum is None:
        return True
    return new.seqnum is not None and new.seqnum > known.seqnum


def _prefixed(data: bytes) -> bytes:
    return (_PREFIX + base32.encode(data)).encode("ascii")


def _unprefixed(text: bytes) -> bytes:
    """:raises ValueError: when *text* is not ``v0-`` and base32."""
    plain = text.decode("ascii")
    if not plain.startswith(_PREFIX):
        raise ValueError("a key or signature does not begin with v0-")
    return base32.decode(plain.removeprefix(_PREFIX))
