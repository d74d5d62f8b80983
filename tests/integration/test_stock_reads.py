"""Stock Tahoe-LAFS reads what we store, and we read what it stores: the same directory."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest import SkipTest
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from tests.grids import files_below
from tests.integration.stock import TAHOE, StockNode, stock_node
from tests.processes import GridProcess, ask, curl, running

# Around the sizes where something changes: literal caps, k, segments of 1 MiB.
SIZES = (0, 1, 55, 56, 57, 1000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_300_007)


def content(size: int) -> bytes:
    """Return the same *size* random bytes each time."""
    return random.Random(size).randbytes(size)


def copy_shares(source: Path, target: Path) -> None:
    """Have the finished shares of one storage directory in another too."""
    shutil.copytree(
        source, target, ignore=shutil.ignore_patterns("incoming"), dirs_exist_ok=True
    )


class StockTests(SynchronousTestCase):
    """
    A 2-of-3 grid of three storage directories, and a stock node with one storage directory
    that is given all shares of each file; the grid is given what the stock node stores.
    """

    cleanup: ExitStack
    grid: GridProcess
    stock: StockNode
    ours: list[Path]  # directories of shares
    theirs: Path

    @classmethod
    def setUpClass(cls) -> None:
        if not TAHOE.exists():
            raise SkipTest("tahoe-lafs is not installed")
        cls.cleanup = ExitStack()
        try:
            room = Path(cls.cleanup.enter_context(tempfile.TemporaryDirectory()))
            grid = GridProcess.create(
                room / "ours", needed=2, happy=2, total=3, storage_dirs=3
            )
            cls.grid = cls.cleanup.enter_context(running(grid))
            storage = grid.directory / "storage"
            cls.ours = [storage / str(number) / "shares" for number in range(3)]
            cls.theirs = room / "all" / "shares"
            cls.theirs.mkdir(parents=True)
            cls.stock = cls.cleanup.enter_context(
                stock_node(room / "stock", room / "all", (2, 1, 3))
            )
        except BaseException:
            cls.cleanup.close()
            raise

    @classmethod
    def tearDownClass(cls) -> None:
        cls.cleanup.close()

    def give_to_stock(self) -> None:
        """Have all shares of ours in the stock node's storage directory."""
        for shares in self.ours:
            copy_shares(shares, self.theirs)

    def stock_reads(self, cap: str, data: bytes) -> None:
        """Check that the stock node reads *cap* and, by its verifier, finds it healthy."""
        self.give_to_stock()
        url = f"{self.stock.url}uri/{quote(cap, safe='')}"
        self.assertEqual(curl(url), data)
        if len(data) > 100:
            middle = len(data) // 2
            part = curl("--range", f"{middle}-{middle + 70}", url)
            self.assertEqual(part, data[middle : middle + 71])
        if not cap.startswith("URI:LIT:"):
            arguments = "?t=check&verify=true&output=JSON"
            found = json.loads(curl("--request", "POST", url + arguments))
            results = found["results"]
            self.assertTrue(results["healthy"], found["summary"])
            self.assertEqual(results["count-shares-good"], 3)
            self.assertEqual(results["count-corrupt-shares"], 0)

    def put(self, size: int, *options: str, arguments: str = "") -> tuple[str, bytes]:
        """Store *size* bytes with us; return the cap and the bytes."""
        data = content(size)
        cap = curl("-T", "-", *options, f"{self.grid.url}uri{arguments}", data=data)
        return cap.decode("ascii"), data

    def test_announced_length(self) -> None:
        """A file whose length was known from the start."""
        for size in SIZES:
            data = content(size)
            upload = ["--data-binary", "@-", "--request", "PUT"]
            cap = curl(*upload, f"{self.grid.url}uri", data=data).decode("ascii")
            self.stock_reads(cap, data)

    def test_streamed(self) -> None:
        """A file whose length nobody knew before its end."""
        for size in SIZES:
            self.stock_reads(*self.put(size))

    def test_convergent(self) -> None:
        """A file encrypted with a key that comes from its content."""
        for size in SIZES:
            self.stock_reads(*self.put(size, arguments="?key=CHK"))

    def test_given_key(self) -> None:
        """A file encrypted with the client's own key."""
        key = random.Random(1).randbytes(16).hex()
        self.stock_reads(*self.put(2_500_000, arguments=f"?key={key}"))

    def test_form(self) -> None:
        """A file out of a browser's form."""
        data = content(2_000_001)
        cap = curl("--form", "file=@-", f"{self.grid.url}uri?t=upload", data=data)
        self.stock_reads(cap.decode("ascii"), data)

    def test_we_read_theirs(self) -> None:
        """What a stock gateway stored is read here, whole and in part."""
        for size in SIZES:
            data = content(size + 7)
            cap = curl("-T", "-", f"{self.stock.url}uri", data=data).decode("ascii")
            copy_shares(self.theirs, self.ours[0])
            url = f"{self.grid.url}uri/{cap}"
            self.assertEqual(ask(url).body, data)
            if size > 100:
                half = size // 2
                self.assertEqual(ask("--range", f"{half}-", url).body, data[half:])

    def test_same_convergent_cap(self) -> None:
        """With the same convergence secret both make the same cap, and store it once."""
        secret = (self.grid.directory / "private" / "convergence").read_bytes()
        (self.stock.directory / "private" / "convergence").write_bytes(secret)
        self.stock.stop()
        self.stock.start()
        for size in (56, 1000, 2_200_003):
            ours, data = self.put(size, arguments="?key=CHK")
            self.give_to_stock()
            before = files_below(self.theirs)
            theirs = curl("-T", "-", f"{self.stock.url}uri", data=data).decode("ascii")
            self.assertEqual(ours, theirs)
            self.assertEqual(files_below(self.theirs), before)
