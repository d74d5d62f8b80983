"""
Certificates of tubs that have few RSA keys between them.

Making a key takes a tenth of a second of a processor, a certificate a hundredth of that;
and what tells tubs apart is the certificate.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from functools import cache, partial
from itertools import count
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from foolscap import crypto
from twisted.trial.unittest import SynchronousTestCase

# As many as the servers of a grid: they are distinct where they stand side by side.
KEYS = 10
_turns = count()


@cache
def _key(number: int) -> tuple[rsa.RSAPrivateKey, bytes]:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return key, pem


def certificate() -> bytes:
    """Return a certificate that nobody has, and its key, in PEM, as foolscap makes them."""
    return _certificate(next(_turns) % KEYS)


def share_keys(keys: int) -> None:
    """Let all new tubs of this process, and of those forked from it, have so many keys."""
    for number in range(keys):
        _key(number)
    crypto.createCertificate = partial(_create, keys)


def few_keys(case: SynchronousTestCase) -> None:
    """Let all new tubs of this process have one key, until the test ends."""
    case.patch(crypto, "createCertificate", partial(_create, 1))


def _create(keys: int) -> Any:
    return crypto.loadCertificate(_certificate(secrets.randbelow(keys)))


def _certificate(number: int) -> bytes:
    key, pem = _key(number)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "newpb_thingy")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2000, 1, 1))
        .not_valid_after(datetime(2100, 1, 1))
        .sign(key, SHA256())
    )
    return made.public_bytes(Encoding.PEM) + pem
