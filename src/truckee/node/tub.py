"""Foolscap tubs, as a node needs them."""

from __future__ import annotations

from datetime import datetime
from time import monotonic
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from foolscap.api import Tub

from truckee.net.foolscap.broker import BoundedBroker
from truckee.net.foolscap.connection_bounds import ConnectionBounds

# Seconds of silence before a peer is asked whether it lives, and before it counts as gone.
# A write of a megabyte on a thin line is not silence: bytes keep coming.
KEEPALIVE = 60
DISCONNECT = 300

# The same on a line to a helper, where a dead peer keeps an upload from going on.
HELPER_KEEPALIVE = 30
HELPER_DISCONNECT = 90

# Peers believe the certificate whose hash is the tub's id, at any time: RFC 5280, 4.1.2.5.
_ALWAYS = datetime(2000, 1, 1), datetime(9999, 12, 31, 23, 59, 59)


def new_identity() -> bytes:
    """
    Return a new key and its certificate, in PEM, for a tub that nobody knows yet.

    The key is of P-256, which every peer's TLS takes and which is made at once; foolscap's
    own are RSA, and take a tenth of a second of a processor each.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tub")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_ALWAYS[0])
        .not_valid_after(_ALWAYS[1])
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


def make_tub(
    certificate: bytes | None,
    keepalive: int = KEEPALIVE,
    disconnect: int = DISCONNECT,
    bounds: ConnectionBounds | None = None,
) -> Any:
    """
    Return a tub that is not started: with a lasting identity, or with a new one.

    All its connections share *bounds*, which several tubs may have together.

    *certificate* and its key are in PEM.  :raises ValueError: when they are damaged.
    """
    certificate = new_identity() if certificate is None else certificate
    try:
        # In place of an empty one foolscap would make another identity.
        tub = Tub(certData=certificate) if certificate else None
    except Exception:
        tub = None
    if tub is None:
        raise ValueError("it is not a certificate and its key")
    tub.brokerClass = BoundedBroker
    tub.bounds = bounds or ConnectionBounds(monotonic)
    tub.bounds_known = lambda transport: None
    # With exposed types a remote error cannot be awaited.
    tub.setOption("expose-remote-exception-types", False)
    tub.setOption("accept-gifts", False)
    tub.setOption("keepaliveTimeout", keepalive)
    tub.setOption("disconnectTimeout", disconnect)
    # Our tracebacks, with the paths in them, are not for strangers.
    tub.unsafeTracebacks = False
    return tub
