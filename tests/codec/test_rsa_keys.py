"""The keys of mutable files."""

from __future__ import annotations

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.codec.mutable_example import PRIVATE_KEY, signing_key
from truckee.codec.rsa_keys import (
    MAX_PRIVATE_KEY_SIZE,
    MAX_PUBLIC_KEY_SIZE,
    SIGNATURE_SIZE,
    BadPrivateKey,
    BadPublicKey,
    SigningKey,
    VerifyingKey,
)

PKCS8 = PrivateFormat.PKCS8
PKCS1 = PrivateFormat.TraditionalOpenSSL
SHORT = rsa.generate_private_key(65537, 1024)
CURVE = ec.generate_private_key(ec.SECP256R1())


def printed(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    encoding: Encoding = Encoding.DER,
    format: PrivateFormat = PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    """Return a private key in one of its many forms."""
    return key.private_bytes(encoding, format, encryption or NoEncryption())


def rsa_numbers(key: SigningKey) -> rsa.RSAPrivateNumbers:
    """Return the numbers of a key."""
    found = load_der_private_key(key.der, None)
    assert isinstance(found, rsa.RSAPrivateKey)
    return found.private_numbers()


def composite_of(bits: int) -> int:
    """Return a number of so many bits that is no prime, and that e does not divide."""
    number = (3 << (bits - 2)) + 1
    while number % 7 or (number - 1) % 65537 == 0:
        number += 2
    return number


class SigningKeyTests(SynchronousTestCase):
    def test_example(self) -> None:
        """A key is read from DER, kept to the letter, and its public key is known."""
        key = signing_key()
        self.assertEqual(key.der, PRIVATE_KEY)
        public = key.verifying_key.der
        self.assertEqual(len(public), 294)
        self.assertEqual(
            sha256(public).hexdigest(),
            "03c75142d4a510d13737408cbd7d0666e80fce88a9a87516224a2009488442e7",
        )
        self.assertEqual(SigningKey.parse(memoryview(PRIVATE_KEY)), key)

    def test_generate(self) -> None:
        """A new key is another one, and is read again as it was printed."""
        key = SigningKey.generate()
        self.assertNotEqual(key, signing_key())
        self.assertEqual(SigningKey.parse(key.der).der, key.der)
        self.assertEqual(SigningKey.load(key.der).der, key.der)

    def test_forms(self) -> None:
        """Whatever form a client has a key in, it is the same key."""
        key = load_der_private_key(PRIVATE_KEY, None)
        assert isinstance(key, rsa.RSAPrivateKey)
        for encoding in (Encoding.DER, Encoding.PEM):
            for format in (PKCS8, PKCS1):
                text = printed(key, encoding, format)
                self.assertEqual(SigningKey.load(text), signing_key())
                if encoding is Encoding.PEM:
                    self.assertEqual(
                        SigningKey.load(b"remark\n\n" + text + b"\n"), signing_key()
                    )

    def test_refused(self) -> None:
        """What is no RSA key of 2048 bits is refused with a sentence that says why."""
        password = BestAvailableEncryption(b"password")
        for text, why in (
            (printed(SHORT), "it has 1024 bits"),
            (printed(CURVE), "it is not an RSA key"),
            (printed(SHORT, Encoding.PEM, PKCS8, password), "protected by a password"),
            (printed(SHORT, Encoding.DER, PKCS8, password), "protected by a password"),
            (b"", "neither PEM nor DER"),
            (b"-----BEGIN RSA PRIVATE KEY-----\n", "neither PEM nor DER"),
            (PRIVATE_KEY[:-1], "neither PEM nor DER"),
            (PRIVATE_KEY + b"\0", "neither PEM nor DER"),
            (signing_key().verifying_key.der, "neither PEM nor DER"),
            (b"\x30" * 20_000, "too many"),
        ):
            with self.assertRaises(BadPrivateKey) as caught:
                SigningKey.load(text)
            self.assertIn(why, str(caught.exception))
            self.assertIn("2048-bit RSA key", str(caught.exception))
        with self.assertRaises(BadPrivateKey):
            SigningKey.parse(PRIVATE_KEY + bytes(MAX_PRIVATE_KEY_SIZE))
        pem = printed(SHORT, Encoding.PEM)
        with self.assertRaisesRegex(BadPrivateKey, "neither PEM nor DER"):
            SigningKey.parse(pem)  # a share has DER only

    def test_numbers_belong_together(self) -> None:
        """A key whose numbers do not make an RSA key is refused, and not computed with."""
        numbers = rsa_numbers(signing_key())
        values = {
            value.to_bytes(-(-value.bit_length() // 8), "big")
            for value in (
                numbers.public_numbers.n,
                numbers.p,
                numbers.q,
                numbers.d,
                numbers.dmp1,
                numbers.dmq1,
                numbers.iqmp,
            )
        }
        for value in values:
            at = PRIVATE_KEY.index(value) + len(value) // 2
            wrong = bytearray(PRIVATE_KEY)
            wrong[at] ^= 2
            for read in (SigningKey.parse, SigningKey.load):
                with self.assertRaisesRegex(BadPrivateKey, "damaged|belong together"):
                    read(bytes(wrong))

    def test_exponents(self) -> None:
        """Keys with other exponents, as older writers made them, are read and sign."""
        numbers = rsa_numbers(signing_key())
        e = 17
        d = pow(e, -1, (numbers.p - 1) * (numbers.q - 1))
        old = rsa.RSAPrivateNumbers(
            numbers.p,
            numbers.q,
            d,
            d % (numbers.p - 1),
            d % (numbers.q - 1),
            numbers.iqmp,
            rsa.RSAPublicNumbers(e, numbers.public_numbers.n),
        )
        der = printed(old.private_key())
        for key in (SigningKey.parse(der), SigningKey.load(der)):
            public = VerifyingKey.parse(key.verifying_key.der)
            self.assertEqual(len(public.der), 292)
            self.assertTrue(public.is_signature(key.sign(b"old"), b"old"))

    def test_wrong_primes(self) -> None:
        """A client's key is refused whose factors are no primes; one in a share is not."""
        numbers = rsa_numbers(signing_key())
        p, e = composite_of(1024), numbers.public_numbers.e
        q = numbers.q
        d = pow(e, -1, (p - 1) * (q - 1))
        composite = rsa.RSAPrivateNumbers(
            p,
            q,
            d,
            d % (p - 1),
            d % (q - 1),
            pow(q, -1, p),
            rsa.RSAPublicNumbers(e, p * q),
        )
        der = printed(composite.private_key(unsafe_skip_rsa_key_validation=True))
        with self.assertRaisesRegex(BadPrivateKey, "damaged"):
            SigningKey.load(der)
        # It signs nothing that would be refused later.
        with self.assertRaisesRegex(BadPrivateKey, "signatures are not good"):
            SigningKey.parse(der).sign(b"x")

    def test_not_in_repr(self) -> None:
        """A private key is in no log."""
        self.assertEqual(repr(signing_key()), "SigningKey()")


class VerifyingKeyTests(SynchronousTestCase):
    def test_signature(self) -> None:
        """A signature is good for its message and key, and differs each time."""
        key, message = signing_key(), b"what is signed"
        signature = key.sign(message)
        self.assertEqual(len(signature), SIGNATURE_SIZE)
        self.assertNotEqual(signature, key.sign(message))
        public = VerifyingKey.parse(memoryview(key.verifying_key.der))
        self.assertEqual(public, key.verifying_key)
        self.assertTrue(public.is_signature(memoryview(signature), bytearray(message)))
        flipped = bytes([signature[0] ^ 1]) + signature[1:]
        for wrong in (flipped, signature[:-1], signature + b"\0", b"", bytes(256)):
            self.assertFalse(public.is_signature(wrong, message))
        self.assertFalse(public.is_signature(signature, message + b"."))
        other = SigningKey.generate().verifying_key
        self.assertFalse(other.is_signature(signature, message))

    def test_refused(self) -> None:
        """What is no public RSA key of 2048 bits is refused with a sentence."""

        def public(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
            return key.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )

        good = signing_key().verifying_key.der
        for der in (
            b"",
            good[:-1],
            good + b"\0",
            public(SHORT),
            public(CURVE),
            PRIVATE_KEY,
            bytes(MAX_PUBLIC_KEY_SIZE + 1),
        ):
            with self.assertRaisesRegex(BadPublicKey, "cannot be used: .*another cap"):
                VerifyingKey.parse(der)
