"""Proofs that are given up."""

from __future__ import annotations

import gc
import os
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.grids import make_file
from truckee.codec.geometry import Encoding
from truckee.immutable.upload.presence import PresenceProver

FILE = make_file(bytes(1000), b"k" * 16, Encoding(2, 3, 64))


class _Silent:
    """A server that never answers."""

    async def buckets(self, _: bytes) -> object:
        return await Deferred()


class _Selector:
    def candidates(self, _: bytes) -> list[_Silent]:
        return [_Silent() for _ in range(3)]


class CollectedTests(SynchronousTestCase):
    def test_silent_servers(self) -> None:
        """A proof that is collected with its questions just goes, and wakes nobody."""
        outcome: list[object] = []

        def begin() -> None:
            selector = cast(Any, _Selector())
            prover = PresenceProver(selector, cast(Any, None), Clock(), os.urandom)
            cap = FILE.cap.verify_cap()
            proving = Deferred.fromCoroutine(prover.prove(cap, FILE.layout, 1))
            proving.addBoth(outcome.append)

        begin()
        gc.collect()
        self.assertEqual(outcome, [])
