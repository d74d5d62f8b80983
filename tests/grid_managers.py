"""Grid managers for tests, made without any of the code that obeys them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from truckee.codec import base32

DAY = 86400.0  # seconds


def public_text(key: Ed25519PrivateKey) -> str:
    """Return the public part of *key*: ``v0-`` and base32."""
    return f"v0-{base32.encode(key.public_key().public_bytes_raw())}"


def when(now: float, seconds: float) -> str:
    """Return a time so long after *now*, as stock writes it."""
    moment = datetime.fromtimestamp(now, timezone.utc) + timedelta(seconds=seconds)
    return moment.isoformat()


@define(eq=False)
class Manager:
    """One grid manager."""

    key: Ed25519PrivateKey = field(factory=Ed25519PrivateKey.generate)

    @property
    def public_identity(self) -> str:
        """What clients write into ``tahoe.cfg``."""
        return f"pub-{public_text(self.key)}"

    def sign_text(self, text: str) -> dict[str, Any]:
        """Return a certificate that says *text*."""
        signature = base32.encode(self.key.sign(text.encode()))
        return {"certificate": text, "signature": signature}

    def sign(self, server_id: str, expires: object, **other: object) -> dict[str, Any]:
        """Return a certificate for the server ``v0-…``, with *other* fields."""
        fields = {"expires": expires, "public_key": f"pub-{server_id}", "version": 1}
        fields |= other
        text = json.dumps(fields, separators=(",", ":"), sort_keys=True)
        return self.sign_text(text)
