"""Which certificates of grid managers count."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.grid_managers import DAY, Manager, public_text, when
from truckee.codec.grid_certificate import (
    MAX_CERTIFICATES,
    SignedCertificate,
    Standing,
    parse_public_key,
    standing_of,
)

NOW = 1_700_000_000.0
MANAGER, OTHER = Manager(), Manager()
KEYS = [parse_public_key(OTHER.public_identity), parse_public_key(MANAGER.public_identity)]
SERVER = public_text(Ed25519PrivateKey.generate())
ELSE = public_text(Ed25519PrivateKey.generate())
TOMORROW, YESTERDAY = when(NOW, DAY), when(NOW, -DAY)
GOOD = MANAGER.sign(SERVER, TOMORROW)

ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda each: (
        st.lists(each)
        | st.dictionaries(st.sampled_from(["certificate", "signature"]), each)
    ),
)

# What a server may announce that does not count, and why.
BAD: dict[str, tuple[Any, str]] = {
    "none": (None, "it has no certificate"),
    "an empty list": ([], "it has no certificate"),
    "no list": (GOOD, "no list"),
    "a text": (json.dumps([GOOD]), "no list"),
    "expired": ([MANAGER.sign(SERVER, YESTERDAY)], "expired on 2023-11-13"),
    "expired at this moment": ([MANAGER.sign(SERVER, when(NOW, 0))], "expired on"),
    "expired, elsewhere": (
        [MANAGER.sign(SERVER, "2023-11-14T23:59:00+14:00")],
        "expired on 2023-11-14",
    ),
    "year 1": ([MANAGER.sign(SERVER, "0001-01-01T00:00:00+14:00")], "expired on 0001"),
    "another manager": ([Manager().sign(SERVER, TOMORROW)], "signed by none"),
    "another signature": ([GOOD | {"signature": OTHER.sign("x", "")["signature"]}], "none"),
    "changed": ([GOOD | {"certificate": GOOD["certificate"] + " "}], "signed by none"),
    "the server's own": ([GOOD | {"signature": "a" * 103}], "signed by none"),
    "a short signature": ([GOOD | {"signature": "aa"}], "signed by none"),
    "no signature": ([GOOD | {"signature": ""}], "signed by none"),
    "no base32": ([GOOD | {"signature": "!" * 103}], "not base32"),
    "upper case": ([GOOD | {"signature": GOOD["signature"].upper()}], "not base32"),
    "spare bits": ([GOOD | {"signature": "b" * 103}], "not base32"),
    "a number for it": ([GOOD | {"signature": 5}], "no signature"),
    "without signature": ([{"certificate": GOOD["certificate"]}], "no signature"),
    "without certificate": ([{"signature": GOOD["signature"]}], "no certificate or"),
    "not encoded": ([GOOD | {"certificate": json.loads(GOOD["certificate"])}], "no certif"),
    "a half character": ([GOOD | {"certificate": "\ud800"}], "signed by none"),
    "no object": ([5], "not a JSON object"),
    "a list in it": ([[GOOD]], "not a JSON object"),
    "huge": ([MANAGER.sign(SERVER, TOMORROW, more="x" * 3000)], "too large"),
    "a huge signature": ([GOOD | {"signature": "a" * 3000}], "too large"),
    "not JSON": ([MANAGER.sign_text("{")], "not JSON"),
    "deep": ([MANAGER.sign_text("[" * 2000)], "not JSON"),
    "a list": ([MANAGER.sign_text("[]")], "not a JSON object"),
    "another version": ([MANAGER.sign(SERVER, TOMORROW, version=2)], "version"),
    "version true": ([MANAGER.sign(SERVER, TOMORROW, version=True)], "version"),
    "a version in text": ([MANAGER.sign(SERVER, TOMORROW, version="1")], "version"),
    "no version": ([MANAGER.sign(SERVER, TOMORROW, version=None)], "version"),
    "another server": ([MANAGER.sign(ELSE, TOMORROW)], "that of another server"),
    "no server": ([MANAGER.sign(SERVER, TOMORROW, public_key=None)], "names no key"),
    "another form": ([MANAGER.sign(SERVER, TOMORROW, public_key=SERVER)], "another server"),
    "no time": ([MANAGER.sign(SERVER, NOW + DAY)], "no time"),
    "a word": ([MANAGER.sign(SERVER, "tomorrow")], "at no time"),
    "no zone": ([MANAGER.sign(SERVER, "2099-01-01T00:00:00")], "without a zone"),
    "too late": ([MANAGER.sign(SERVER, "10000-01-01T00:00:00+00:00")], "at no time"),
    "behind many": ([MANAGER.sign(ELSE, TOMORROW)] * MAX_CERTIFICATES + [GOOD], "another"),
}

# What counts, although it is not as usual.
RIGHT: dict[str, Any] = {
    "one": [GOOD],
    "the same twice": [GOOD, GOOD],
    "two managers": [OTHER.sign(SERVER, YESTERDAY), GOOD],
    "an old one behind it": [GOOD, MANAGER.sign(SERVER, YESTERDAY)],
    "another zone": [MANAGER.sign(SERVER, "2023-11-15T06:00:00+05:30")],
    "bad ones around it": [None, 5, {}, GOOD, MANAGER.sign(ELSE, TOMORROW)],
    "more fields": [GOOD | {"name": "x"}],
    "more in it": [MANAGER.sign(SERVER, TOMORROW, more=[1])],
    "the last year": [MANAGER.sign(SERVER, "9999-12-31T23:59:59-12:00")],
}


class StandingTests(SynchronousTestCase):
    def test_bad(self) -> None:
        """A certificate that does not count says why, in a few words."""
        for name, (announced, reason) in BAD.items():
            refusal = standing_of(SERVER, announced, KEYS).refusal(NOW)
            self.assertIn(reason, refusal, name)
            self.assertLess(len(refusal), 80)

    def test_right(self) -> None:
        """One that counts is enough, wherever it stands."""
        for name, announced in RIGHT.items():
            self.assertEqual(standing_of(SERVER, announced, KEYS).refusal(NOW), "", name)

    def test_no_managers(self) -> None:
        """Without a grid manager all servers are used, whatever they announce."""
        for announced, _ in BAD.values():
            self.assertEqual(standing_of(SERVER, announced, []), Standing())
        self.assertEqual(Standing().refusal(1e18), "")

    def test_time(self) -> None:
        """It is looked at when a server is to be used, not once."""
        standing = standing_of(SERVER, [GOOD], KEYS)
        self.assertEqual(standing.refusal(NOW + DAY - 1), "")
        self.assertIn("expired on 2023-11-15", standing.refusal(NOW + DAY))

    def test_other_names(self) -> None:
        """A server that has no key for a name has no certificate."""
        for name in ("one", "", "pub-" + SERVER, SERVER.removeprefix("v0-")):
            self.assertNotEqual(standing_of(name, [GOOD], KEYS).refusal(NOW), "")

    @settings(max_examples=50)
    @given(ANYTHING)
    def test_anything(self, announced: Any) -> None:
        """Whatever a server announces is no error."""
        self.assertNotEqual(standing_of(SERVER, announced, KEYS).refusal(NOW), "")

    @settings(max_examples=50)
    @given(st.text().map(lambda text: f'{{"version": 1, {text}}}') | st.text())
    def test_any_text(self, text: str) -> None:
        """Whatever a grid manager signs is a certificate or a ``ValueError``."""
        with self.assertRaises(ValueError):
            SignedCertificate(text, b"").read()


class KeyTests(SynchronousTestCase):
    def test_bad(self) -> None:
        """A key in another form than the public identity of a grid manager is refused."""
        good = MANAGER.public_identity
        parse_public_key(good)
        others = ["", "x", good[4:], "priv" + good[3:], good[:-1], good + "a", good + " "]
        others += [good.upper(), "pub-v0-" + "a" * 51, "pub-v1-" + good[7:]]
        for text in others:
            with self.assertRaises(ValueError):
                parse_public_key(text)
