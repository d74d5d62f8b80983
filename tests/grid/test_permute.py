"""The order of a file's servers."""

from __future__ import annotations

from hashlib import sha256
from itertools import permutations
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import REACTOR
from truckee.codec import base32
from truckee.flow.cpu import Workers
from truckee.grid.announcements import parse_fields
from truckee.grid.permute import permuted
from truckee.storage.server import DiskServer
from truckee.storage.sharefiles import ShareDirectory

FURL = "pb://" + "a" * 32 + "@tcp:127.0.0.1:1/swissnum"
INDEX = base32.decode("hdis5iaveku6lnlaiccydyid7q")


def _server(name: str, seed: bytes) -> DiskServer:
    """Return a server that is never asked anything."""
    return DiskServer(
        name=name,
        permutation_seed=seed,
        lease_seed=bytes(20),
        directory=ShareDirectory(Path("nowhere")),
        disk=Workers(REACTOR, 1, "test"),
        now=lambda: 0.0,
        reserved_space=0,
    )


class PermutedTests(SynchronousTestCase):
    """Source: formats, "Server order"."""

    def test_examples(self) -> None:
        """The documented examples hold, in whatever order the servers are known."""
        servers = [_server(name, name.encode() * 32) for name in "ABC"]
        for known in permutations(servers):
            for storage_index, order in ((INDEX, "CBA"), (bytes(16), "ACB")):
                names = [server.name for server in permuted(known, storage_index)]
                self.assertEqual("".join(names), order)

    def test_lengths(self) -> None:
        """A seed may be of any length, also empty; nobody is left out."""
        seeds = (b"", b"A", b"A" * 20, b"A" * 52, b"A" * 500)
        servers = [_server(str(len(seed)), seed) for seed in seeds]
        self.assertEqual(
            {server.name for server in permuted(servers, INDEX)},
            {server.name for server in servers},
        )
        self.assertEqual(permuted([], INDEX), [])

    def test_equal_seeds(self) -> None:
        """Servers with the same seed stand together, none replaces another."""
        servers = [_server(name, name.encode()[:1] * 32) for name in ("A1", "C", "A2", "B")]
        names = [server.name for server in permuted(servers, bytes(16))]
        self.assertEqual(names, ["A1", "A2", "C", "B"])

    def test_spread(self) -> None:
        """Over many files each server is the first about equally often."""
        servers = [_server(str(n), b"%d" % n) for n in range(4)]
        firsts = [
            permuted(servers, sha256(b"%d" % file).digest()[:16])[0].name
            for file in range(1000)
        ]
        for server in servers:
            self.assertTrue(200 < firsts.count(server.name) < 300)


class SeedTests(SynchronousTestCase):
    """Where a seed comes from, by what is announced."""

    def _seed(self, server_id: str, **fields: str) -> bytes:
        return parse_fields(
            server_id, {"anonymous-storage-FURL": FURL, **fields}
        ).permutation_seed

    def test_announced(self) -> None:
        """An announced seed counts, decoded once, whatever its length and the id."""
        text = base32.encode(bytes(range(32)))
        for seed in (b"", b"short", text.encode("ascii")):
            fields = {"permutation-seed-base32": base32.encode(seed)}
            self.assertEqual(self._seed("v0-" + text, **fields), seed)

    def test_key(self) -> None:
        """Without one it is the 32 bytes in an id that is a key."""
        key = bytes(range(32))
        self.assertEqual(self._seed("v0-" + base32.encode(key)), key)

    def test_other_ids(self) -> None:
        """Without either it is the SHA-256 of the id."""
        key = base32.encode(bytes(range(32)))
        for name in ("mine", "v0-", "v0-abc", key, "v1-" + key, "v0-" + key[:-2], "größe"):
            self.assertEqual(self._seed(name), sha256(name.encode()).digest())
