"""What we find of a file and make of it, beside stock gateways on stock servers."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.stock_grid import Grid, NodeProcess, content, grid
from tests.processes import ask, curl
from truckee.codec.container import HEADER_SIZE
from truckee.codec.geometry import Encoding
from truckee.codec.share import ShareLayout

MIB = 1 << 20
SIZE = 2 * MIB + 5
# Of a file of that size that was stored with a known length.
LAYOUT = ShareLayout.stock(Encoding().geometry(SIZE))


class _Shared:
    """The grid of this module."""

    cleanup = ExitStack()
    grid: Grid


def setUpModule() -> None:
    """Run it."""
    with ExitStack() as stack:
        room = stack.enter_context(tempfile.TemporaryDirectory())
        _Shared.grid = stack.enter_context(grid(Path(room)))
        _Shared.cleanup = stack.pop_all()


def tearDownModule() -> None:
    """End it."""
    _Shared.cleanup.close()


def flip(share: Path, offset: int) -> None:
    """Change one bit of a share."""
    with share.open("r+b") as file:
        file.seek(HEADER_SIZE + offset)
        byte = file.read(1)[0]
        file.seek(HEADER_SIZE + offset)
        file.write(bytes([byte ^ 1]))


def cut(share: Path, length: int) -> None:
    """End a share early; its lease goes too."""
    data = share.read_bytes()
    share.write_bytes(data[: HEADER_SIZE + length])


def swap_blocks(share: Path, other: Path) -> None:
    """Give a share the blocks and the block tree of another, which fit together."""
    mine, theirs = bytearray(share.read_bytes()), other.read_bytes()
    for start, end in (
        (LAYOUT.data, LAYOUT.crypttext_tree),
        (LAYOUT.block_tree, LAYOUT.chain),
    ):
        part = slice(HEADER_SIZE + start, HEADER_SIZE + end)
        mine[part] = theirs[part]
    share.write_bytes(mine)


def several(shares: dict[int, Path]) -> None:
    """Damage three shares, each in another way."""
    shares[0].unlink()
    flip(shares[1], LAYOUT.data)
    flip(shares[2], LAYOUT.ueb + 40)


def remove(shares: dict[int, Path], count: int) -> None:
    """Remove the first shares."""
    for number in range(count):
        shares[number].unlink()


Damage = Callable[[dict[int, Path]], object]

DAMAGES: dict[str, Damage] = {
    "none": lambda shares: None,
    "missing": lambda shares: shares[4].unlink(),
    "version": lambda shares: flip(shares[4], 1),
    "offset of data": lambda shares: flip(shares[4], 4 * 3 + 3),
    "offset of the ciphertext tree": lambda shares: flip(shares[4], 4 * 5 + 3),
    "offset of the chain": lambda shares: flip(shares[4], 4 * 7 + 3),
    "offset of the UEB": lambda shares: flip(shares[4], 4 * 8 + 3),
    "first block": lambda shares: flip(shares[4], LAYOUT.data),
    "last block": lambda shares: flip(shares[4], LAYOUT.block(2)),
    "plaintext tree": lambda shares: flip(shares[4], LAYOUT.crypttext_tree - 1),
    "ciphertext tree": lambda shares: flip(shares[4], LAYOUT.crypttext_tree + 33),
    "block tree": lambda shares: flip(shares[4], LAYOUT.block_tree + 33),
    "chain": lambda shares: flip(shares[4], LAYOUT.chain + 10),
    "length of the UEB": lambda shares: flip(shares[4], LAYOUT.ueb + 3),
    "UEB": lambda shares: flip(shares[4], LAYOUT.ueb + 40),
    "several": several,
    "too many": lambda shares: remove(shares, 8),
    "all": lambda shares: remove(shares, 10),
}


class CheckTests(SynchronousTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.grid = _Shared.grid
        self.grid.clear()

    def check(self, gateway: NodeProcess, cap: str, more: str = "&verify=true") -> Any:
        """Return what a gateway says of a file, in an order of ours."""
        arguments = f"?t=check&output=JSON{more}"
        found = json.loads(curl("-X", "POST", gateway.file_url(cap) + arguments))
        for document in (found, *found.values()):
            if isinstance(document, dict) and "sharemap" in document.get("results", {}):
                results = document["results"]
                results["servers-responding"].sort()
                results["list-corrupt-shares"].sort()
                for holders in results["sharemap"].values():
                    holders.sort()
        return found

    def both(self, cap: str, more: str) -> tuple[Any, Any]:
        """Return what both gateways say."""
        return self.check(self.grid.ours, cap, more), self.check(self.grid.stock, cap, more)

    def gone(self, numbers: Iterable[int]) -> None:
        """Remove shares, wherever they are."""
        gone = {str(number) for number in numbers}
        for path in self.all_shares():
            if path.name in gone:
                path.unlink()

    def test_same_words(self) -> None:
        """Of the same file with the same damage both say the same, key by key."""
        data = content(1, SIZE)
        cap = self.grid.ours.put(data)
        shares = self.grid.shares()
        kept = {path: path.read_bytes() for path in shares.values()}
        for name, damage in DAMAGES.items():
            damage(shares)
            lost = not all(path.exists() for path in kept)
            for more in ("&verify=true", "") if lost else ("&verify=true",):
                ours, stock = self.both(cap, more)
                self.assertEqual(ours, stock, name + more)
            for path, whole in kept.items():
                if not path.exists() or path.read_bytes() != whole:
                    path.write_bytes(whole)

    def test_what_stock_forgets(self) -> None:
        """A share with the blocks of another is corrupt to us alone: nobody can read it."""
        cap = self.grid.stock.put(content(2, SIZE))
        shares = self.grid.shares()
        swap_blocks(shares[4], shares[5])
        ours, stock = self.both(cap, "&verify=true")
        self.assertEqual(stock["results"]["count-corrupt-shares"], 0)
        self.assertEqual(ours["results"]["count-corrupt-shares"], 1)
        self.assertEqual(ours["results"].keys(), stock["results"].keys())
        done = self.check(self.grid.ours, cap, "&verify=true&repair=true")
        self.assertTrue(done["repair-successful"])

    def test_literal(self) -> None:
        """Of a file in its cap both say the same."""
        for more in ("", "&verify=true", "&repair=true"):
            ours, stock = self.both("URI:LIT:mfrgg", more)
            self.assertEqual(ours, stock)

    def test_beyond_repair(self) -> None:
        """A repair without enough shares is answered with the same status."""
        cap = self.grid.stock.put(content(3, 1000))
        for left in (range(2, 10), range(2)):
            self.gone(left)
            statuses = []
            for gateway in (self.grid.ours, self.grid.stock):
                url = f"{gateway.file_url(cap)}?t=check&repair=true&output=JSON"
                reply = ask("-X", "POST", url)
                statuses.append((reply.status, reply.headers["content-type"]))
            self.assertEqual(statuses[0][0], statuses[1][0])
            self.assertEqual(statuses[0][0], 410)

    def test_we_repair(self) -> None:
        """
        What we make of any three shares stock verifies and reads, and that from any three
        of the new ones; whoever stored it, with or without a known length.
        """
        for number, size in enumerate((56, 100_000, SIZE)):
            data = content(10 + number, size)
            for gateway, chunked in (
                (self.grid.ours, False),
                (self.grid.ours, True),
                (self.grid.stock, False),
            ):
                cap = gateway.put(data, chunked=chunked)
                verify_cap = self.verify_cap(cap)
                gone = random.Random(size).sample(range(10), 7)
                self.gone(gone)
                done = self.check(self.grid.ours, verify_cap, "&repair=true")
                self.assertTrue(done["repair-attempted"] and done["repair-successful"])
                for each in (self.grid.stock, self.grid.ours):
                    found = self.check(each, cap)
                    self.assertEqual(found["summary"], "Healthy")
                    self.assertEqual(found["results"]["count-happiness"], 10)
                self.gone(set(range(10)) - set(gone[:3]))
                for each in (self.grid.stock, self.grid.ours):
                    self.assertTrue(each.get(cap) == data, (size, chunked))
                self.grid.clear()

    def test_they_repair(self) -> None:
        """What stock repairs is healthy to us, and so is the document of a repair."""
        for chunked in (False, True):
            data = content(20 + chunked, SIZE)
            cap = self.grid.ours.put(data, chunked=chunked)
            self.gone(range(7))
            kept = self.all_shares()
            before = self.check(self.grid.ours, cap)
            stock = self.check(self.grid.stock, cap, "&verify=true&repair=true")
            self.assertTrue(stock["repair-successful"])
            self.assertEqual(stock["pre-repair-results"], before)
            self.assertEqual(self.check(self.grid.ours, cap)["summary"], "Healthy")
            for path in set(self.all_shares()) - set(kept):
                path.unlink()
            ours = self.check(self.grid.ours, cap, "&verify=true&repair=true")
            self.assertEqual(ours.keys(), stock.keys())
            self.assertEqual(ours["pre-repair-results"], stock["pre-repair-results"])
            for key in ("repair-attempted", "repair-successful", "storage-index"):
                self.assertEqual(ours[key], stock[key])
            mine, theirs = (each["post-repair-results"] for each in (ours, stock))
            self.assertEqual(mine.keys(), theirs.keys())
            self.assertEqual(mine["results"].keys(), theirs["results"].keys())
            for key, value in theirs["results"].items():
                if key not in ("sharemap", "servers-responding"):
                    self.assertEqual(mine["results"][key], value, key)
            self.assertTrue(self.grid.stock.get(cap) == data)
            self.grid.clear()

    def test_corrupt_shares(self) -> None:
        """A corrupt share is made anew elsewhere, and stock reads from the new ones."""
        data = content(30, SIZE)
        cap = self.grid.stock.put(data)
        shares = self.grid.shares()
        for number in range(6):
            flip(shares[number], LAYOUT.block(number % 3))
        before = set(self.all_shares())
        done = self.check(self.grid.ours, cap, "&verify=true&repair=true")
        self.assertTrue(done["repair-successful"])
        self.assertEqual(done["pre-repair-results"]["results"]["count-corrupt-shares"], 6)
        self.assertEqual(done["post-repair-results"]["summary"], "healthy")
        new = [path for path in self.all_shares() if path not in before]
        self.assertEqual(sorted(int(path.name) for path in new), list(range(6)))
        for share in before:
            share.unlink()
        self.assertTrue(self.grid.stock.get(cap) == data)
        counted = self.check(self.grid.stock, cap)["results"]
        self.assertEqual(counted["count-shares-good"], 6)

    def all_shares(self) -> list[Path]:
        return [path for server in self.grid.servers for path in server.shares()]

    def verify_cap(self, cap: str) -> str:
        """Return the verify cap of a file."""
        found = json.loads(curl(f"{self.grid.ours.file_url(cap)}?t=json"))
        return str(found[1]["verify_uri"])
