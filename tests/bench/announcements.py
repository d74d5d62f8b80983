"""
What announcements cost the event loop of a gateway.

    python -m tests.bench.announcements [--servers 200] [--one-key]

A gateway is told of so many servers at once, as by an introducer that it subscribes to;
with ``--one-key`` one server announces itself so many times.  It prints the longest time
for which the event loop did nothing else, and the CPU time until the cache is written.
Nothing is sent anywhere: the servers have addresses where nobody listens.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater

from truckee.codec import base32
from truckee.grid.announcements import Envelope, sign
from truckee.node.build import Node
from truckee.node.layout import NodeDirectory

REACTOR: Any = reactor
CONFIG = """[client]
introducer.furl = pb://{tub}@tcp:127.0.0.1:1/introducer
[storage]
enabled = false
"""


def envelopes(servers: int, one_key: bool) -> list[Envelope]:
    """Return signed announcements."""
    key = Ed25519PrivateKey.generate()
    made = []
    for number in range(servers):
        tub = base32.encode(os.urandom(20))
        fields = {
            "anonymous-storage-FURL": f"pb://{tub}@tcp:127.0.0.1:1/{'s' * 32}",
            "nickname": f"server {number}",
            "permutation-seed-base32": base32.encode(os.urandom(32)),
            "seqnum": number + 1,
            "service-name": "storage",
            "version": 0,
            "my-version": "tahoe-lafs/1.20.0",
            "oldest-supported": "1.0.0",
            "nonce": base32.encode(os.urandom(32)),
            "app-versions": {},
        }
        made.append(sign(key if one_key else Ed25519PrivateKey.generate(), fields))
    return made


async def measure(servers: int, one_key: bool) -> str:
    """Return what it cost, in words."""
    with tempfile.TemporaryDirectory() as place:
        directory = NodeDirectory(Path(place))
        directory.private.mkdir(mode=0o700)
        directory.config.write_text(CONFIG.format(tub=base32.encode(bytes(20))))
        node = Node(directory, REACTOR)
        await node.start()
        assert node.network is not None
        [introducer] = node.network.introducers
        cache = directory.private / "introducer_default_cache.yaml"
        told = envelopes(servers, one_key)
        # CPU time of this thread, so that other programs on the machine do not count.
        last, longest = time.thread_time(), 0.0

        def tick() -> None:
            nonlocal last, longest
            now = time.thread_time()
            longest, last = max(longest, now - last), now

        ticking = LoopingCall(tick)
        ticking.start(0.001)
        await deferLater(REACTOR, 0.5)
        longest = 0.0
        began, cpu = time.monotonic(), time.process_time()
        if one_key:
            for each in told:
                introducer.remote_announce_v2([each])
        else:
            introducer.remote_announce_v2(told)
        enough = 1 if one_key else min(servers, 1000)
        while not cache.exists() or len(introducer.known) < enough:
            await deferLater(REACTOR, 0.02)
            if time.monotonic() - began > 30:
                break
        await deferLater(REACTOR, 0.1)
        took, used = time.monotonic() - began, time.process_time() - cpu
        ticking.stop()
        known, size = len(introducer.known), cache.stat().st_size
        await node.stop()
        return (
            f"{servers} announcements: longest block {longest:.3f} s, "
            f"{used:.2f} s of CPU, {took:.2f} s until the cache had {size:,} bytes; "
            f"{known} servers known"
        )


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=200)
    parser.add_argument("--one-key", action="store_true")
    arguments = parser.parse_args()
    work = Deferred.fromCoroutine(measure(arguments.servers, arguments.one_key))
    work.addCallbacks(print, lambda failure: failure.printTraceback())
    work.addBoth(lambda _: REACTOR.stop())
    REACTOR.run()


if __name__ == "__main__":
    main()
