"""What servers say about themselves."""

from __future__ import annotations

import contextlib
import json
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec import base32
from truckee.grid.announcements import (
    MAX_MESSAGE,
    Announcement,
    is_newer,
    parse_fields,
    sign,
    tubid_of,
    verify,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
SERVER_ID = "v0-" + base32.encode(PUBLIC)
TUBID = base32.encode(bytes(range(20)))
FURL = f"pb://{TUBID}@tcp:127.0.0.1:1234/swissnum"
FIELDS: dict[str, Any] = {
    "anonymous-storage-FURL": FURL,
    "nickname": "one",
    "permutation-seed-base32": base32.encode(b"seed"),
    "seqnum": 3,
    "service-name": "storage",
}


class FurlTests(SynchronousTestCase):
    def test_tub(self) -> None:
        """The tub id is 20 bytes; what follows it is for future extensions."""
        self.assertEqual(tubid_of(FURL), bytes(range(20)))
        self.assertEqual(tubid_of(FURL.replace("@", "more@")), bytes(range(20)))
        self.assertEqual(tubid_of(f"pb://{TUBID}@/x"), bytes(range(20)))

    def test_bad(self) -> None:
        """What foolscap would not take, or trip over later, is refused at once."""
        for furl in (
            "",
            "x",
            TUBID,
            f"http://{TUBID}@tcp:127.0.0.1:1/x",
            f"pb://{TUBID}",
            f"pb://{TUBID}@",
            f"pb://{TUBID}@tcp:127.0.0.1:1",
            f"pb://{TUBID}@tcp:127.0.0.1:1/",
            f"pb://{TUBID}@tcp:127.0.0.1:1,/x",
            f"pb://{TUBID}@,tcp:127.0.0.1:1/x",
            f"pb://{TUBID[:-1]}@tcp:127.0.0.1:1/x",
            f"pb://{TUBID.upper()}@tcp:127.0.0.1:1/x",
            f"pb://{'1' * 32}@tcp:127.0.0.1:1/x",
            f" {FURL}",
            f"{FURL}\nx",
            f"{FURL} x",
        ):
            self.assertRaises(ValueError, tubid_of, furl)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Of any text it is 20 bytes or a ValueError."""
        for furl in (text, f"pb://{TUBID}{text}", f"pb://{text}@tcp:127.0.0.1:1/x"):
            with contextlib.suppress(ValueError):
                self.assertEqual(len(tubid_of(furl)), 20)


class FieldsTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Every field that counts is taken; the others are kept."""
        fields = FIELDS | {"anonymous-storage-NURLs": ["pb://a", 5], "other": [1]}
        found = parse_fields(SERVER_ID, fields)
        self.assertEqual(found.nickname, "one")
        self.assertEqual(found.furl, FURL)
        self.assertEqual(found.nurls, ("pb://a",))
        self.assertEqual(found.permutation_seed, b"seed")
        self.assertEqual(found.seqnum, 3)
        self.assertEqual(found.lease_seed, bytes(range(20)))
        self.assertEqual(found.short_name, SERVER_ID[3:11])
        self.assertEqual(found.fields, fields)

    def test_seeds(self) -> None:
        """Without a seed it is the key, and for an invented name a hash of the name."""
        fields = {"anonymous-storage-FURL": FURL}
        self.assertEqual(parse_fields(SERVER_ID, fields).permutation_seed, PUBLIC)
        for name in ("server", "v0-short", base32.encode(PUBLIC)):
            expected = sha256(name.encode()).digest()
            self.assertEqual(parse_fields(name, fields).permutation_seed, expected)

    def test_stock_seed(self) -> None:
        """The seed of a stock server is the text of its key: it is taken as it is."""
        text = base32.encode(PUBLIC).encode()
        fields = FIELDS | {"permutation-seed-base32": base32.encode(text)}
        self.assertEqual(parse_fields(SERVER_ID, fields).permutation_seed, text)

    def test_odd_numbers(self) -> None:
        """A sequence number that is no number is none."""
        for seqnum in (True, "3", 3.0, None, [3]):
            self.assertIsNone(parse_fields(SERVER_ID, FIELDS | {"seqnum": seqnum}).seqnum)

    def test_bad(self) -> None:
        """Without a furl, or with fields of another form, there is no announcement."""
        for key, value in (
            ("anonymous-storage-FURL", None),
            ("anonymous-storage-FURL", b"pb://"),
            ("anonymous-storage-FURL", "x"),
            ("nickname", 5),
            ("anonymous-storage-NURLs", "pb://"),
            ("permutation-seed-base32", "!"),
        ):
            self.assertRaises(ValueError, parse_fields, SERVER_ID, FIELDS | {key: value})

    def test_secrets(self) -> None:
        """A furl is authority: it is in no repr."""
        self.assertNotIn(TUBID, repr(parse_fields(SERVER_ID, FIELDS)))


class EnvelopeTests(SynchronousTestCase):
    def signed(self, message: bytes) -> tuple[bytes, bytes, bytes]:
        """Return an envelope of any message."""
        signature = ("v0-" + base32.encode(KEY.sign(message))).encode()
        return message, signature, SERVER_ID.encode()

    def test_round_trip(self) -> None:
        """What was signed is verified, under the server's own name."""
        envelope = sign(KEY, FIELDS)
        found = verify(envelope)
        self.assertEqual(found, parse_fields(SERVER_ID, FIELDS))
        self.assertEqual(json.loads(envelope[0]), FIELDS)
        self.assertEqual(envelope[2].decode(), SERVER_ID)
        self.assertEqual(len(envelope[1]), 3 + 103)

    def test_exact_bytes(self) -> None:
        """The signature is of the bytes that came, whatever form the JSON has."""
        message = json.dumps(FIELDS, indent=3).encode()
        self.assertEqual(verify(self.signed(message)).furl, FURL)

    def test_forged(self) -> None:
        """A change of any part makes the signature wrong."""
        message, signature, key = sign(KEY, FIELDS)
        other = Ed25519PrivateKey.from_private_bytes(bytes(32))
        for envelope in (
            (message + b" ", signature, key),
            (message, sign(KEY, {})[1], key),
            (message, signature, sign(other, FIELDS)[2]),
        ):
            error = self.assertRaises(ValueError, verify, envelope)
            self.assertEqual(str(error), "the signature is wrong")

    def test_no_envelopes(self) -> None:
        """Anything else that a peer sends is a ValueError."""
        message, signature, key = sign(KEY, FIELDS)
        for envelope in (
            None,
            5,
            b"x",
            [message, signature, key],
            (message, signature),
            (message, signature, key, b""),
            (message.decode(), signature, key),
            (message, None, key),
            (message, signature, 5),
            (message, b"", key),
            (message, signature, b""),
            (message, signature[3:], key),
            (message, signature, key[3:]),
            (message, b"v0-aaaa", key),
            (message, signature, b"v0-aaaa"),
            (message, signature, b"v0-\xff"),
            (b" " * (MAX_MESSAGE + 1), signature, key),
        ):
            self.assertRaises(ValueError, verify, envelope)

    def test_signed_nonsense(self) -> None:
        """A signature says who sent it, not that it makes sense."""
        for message in (
            b"",
            b"5",
            b"[]",
            b"{",
            b"\xff",
            b"{}",
            b"[" * 60_000,
            b'{"a":' * 10_000,
            b"1" * 60_000,
        ):
            self.assertRaises(ValueError, verify, self.signed(message))


class NewerTests(SynchronousTestCase):
    def announced(self, seqnum: int | None, nickname: str = "one") -> Announcement:
        return parse_fields(SERVER_ID, FIELDS | {"seqnum": seqnum, "nickname": nickname})

    def test_order(self) -> None:
        """A higher number replaces a lower one; without a number nothing replaces one."""
        for new, known, newer in (
            (4, 3, True),
            (3, 3, False),
            (2, 3, False),
            (None, 3, False),
            (1, None, True),
            (None, None, True),
        ):
            found = is_newer(self.announced(new, "new"), self.announced(known))
            self.assertEqual(found, newer, (new, known))

    def test_same(self) -> None:
        """What was said before is not new."""
        self.assertFalse(is_newer(self.announced(None), self.announced(None)))
