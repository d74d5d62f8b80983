"""
The RSA keys of mutable files: read, made, signed with.

Source: ``docs/formats/mutable.md``, "Keys".  Making a key, reading a private one and
signing take milliseconds to seconds: call them in a worker thread.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
)

from truckee.codec.hashes import Buffer
from truckee.errors import Corrupt, Misuse

KEY_BITS = 2048
SIGNATURE_SIZE = KEY_BITS // 8  # bytes
# Ordinary keys have 294 and at most 1219 bytes; unusual exponents make them longer.
MAX_PUBLIC_KEY_SIZE = 1024  # bytes of DER
MAX_PRIVATE_KEY_SIZE = 4096  # bytes of DER
_MAX_TEXT = 16_384  # bytes of a private key as PEM, with remarks around it
_PADDING = PSS(MGF1(SHA256()), salt_length=32)


@define
class BadPrivateKey(Misuse):
    """This private key cannot be used: {reason}. Give a 2048-bit RSA key."""

    reason: str


@define
class BadPublicKey(Corrupt):
    """The public key of this file cannot be used: {reason}. Ask for another cap."""

    reason: str


@frozen
class VerifyingKey:
    """The public key of a mutable file."""

    der: bytes  # SubjectPublicKeyInfo
    _key: RSAPublicKey = field(eq=False, repr=False)

    @classmethod
    def parse(cls, der: Buffer) -> VerifyingKey:
        """Return the key in *der*, all of it.  :raises BadPublicKey:"""
        if len(der) > MAX_PUBLIC_KEY_SIZE:
            raise BadPublicKey(f"{len(der)} bytes are too many")
        data = bytes(der)
        try:
            key = load_der_public_key(data)
        except (ValueError, UnsupportedAlgorithm):
            raise BadPublicKey("it is not in DER") from None
        if not isinstance(key, RSAPublicKey) or key.key_size != KEY_BITS:
            raise BadPublicKey(f"it is not an RSA key of {KEY_BITS} bits")
        return cls(data, key)

    def is_signature(self, signature: Buffer, message: Buffer) -> bool:
        """Tell whether *signature* over *message* was made with the private key."""
        try:
            self._key.verify(bytes(signature), bytes(message), _PADDING, SHA256())
        except InvalidSignature:
            return False
        return True


@frozen
class SigningKey:
    """
    The private key of a mutable file.

    Its bytes are kept as they came: the write key is their hash.
    """

    der: bytes = field(repr=False)  # PKCS#8, not encrypted
    _key: RSAPrivateKey = field(eq=False, repr=False)

    @classmethod
    def generate(cls) -> SigningKey:
        """Return a new key; this takes a core for up to a second."""
        return cls._printed(generate_private_key(65537, KEY_BITS))

    @classmethod
    def parse(cls, der: Buffer) -> SigningKey:
        """
        Return the key in *der*, as a share has it.  :raises BadPrivateKey:

        Its hash is in the cap, so who made the file chose it: whether its factors are
        primes, which takes a tenth of a second, is not tried again.
        """
        data = bytes(der)
        key = _load(load_der_private_key, data, MAX_PRIVATE_KEY_SIZE, thorough=False)
        return cls(data, key)

    @classmethod
    def load(cls, text: bytes) -> SigningKey:
        """
        Return the key that somebody gave, as PEM or DER, PKCS#8 or PKCS#1.

        :raises BadPrivateKey: also for one that needs a password.
        """
        load = load_pem_private_key if b"-----BEGIN" in text else load_der_private_key
        return cls._printed(_load(load, text, _MAX_TEXT, thorough=True))

    @classmethod
    def _printed(cls, key: RSAPrivateKey) -> SigningKey:
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return cls(der, key)

    @property
    def verifying_key(self) -> VerifyingKey:
        """The public key."""
        key = self._key.public_key()
        return VerifyingKey(
            key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), key
        )

    def sign(self, message: Buffer) -> bytes:
        """
        Return a signature over *message*, 256 bytes, another one each time.

        It was checked.  :raises BadPrivateKey: when the key makes no good ones.
        """
        signature = self._key.sign(bytes(message), _PADDING, SHA256())
        if not self.verifying_key.is_signature(signature, message):
            raise BadPrivateKey("its signatures are not good")
        return signature


def _load(
    load: Callable[..., object], data: bytes, most: int, *, thorough: bool
) -> RSAPrivateKey:
    if len(data) > most:
        raise BadPrivateKey(f"{len(data)} bytes are too many")
    key = _read(load, data, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, RSAPrivateKey):
        raise BadPrivateKey("it is not an RSA key")
    if key.key_size != KEY_BITS:
        raise BadPrivateKey(f"it has {key.key_size} bits")
    if not _is_consistent(key):
        raise BadPrivateKey("its numbers do not belong together")
    if thorough:
        # Not before its length is known: for a long key this takes minutes.
        _read(load, data, unsafe_skip_rsa_key_validation=False)
    return key


def _read(load: Callable[..., object], data: bytes, **options: bool) -> object:
    try:
        return load(data, password=None, **options)
    except TypeError:
        raise BadPrivateKey("it is protected by a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadPrivateKey("it is neither PEM nor DER, or it is damaged") from None


def _is_consistent(key: RSAPrivateKey) -> bool:
    """Tell whether OpenSSL can be let compute with the numbers of *key*."""
    it = key.private_numbers()
    p, q, e = it.p, it.q, it.public_numbers.e
    return (
        p * q == it.public_numbers.n
        and min(p, q) > 2
        and p & q & 1 == 1
        and it.dmp1 == it.d % (p - 1)
        and it.dmq1 == it.d % (q - 1)
        and it.d * e % (p - 1) == it.d * e % (q - 1) == 1
        and it.iqmp * q % p == 1
    )
