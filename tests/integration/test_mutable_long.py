"""Long MDMF files, which we stream, on stock storage servers, beside a stock gateway."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.stock_grid import NodeProcess, Shape, content, grid
from tests.processes import ask

SHAPE = Shape(2, 2, 4)
# More than is written in one request for each share.
LONG = 9 << 20


class LongFileTests(SynchronousTestCase):
    def check(self, gateway: NodeProcess, cap: str, data: bytes) -> None:
        """Fail unless *gateway* reads *data* and finds all shares whole, and no other."""
        self.assertTrue(gateway.get(cap) == data, "other contents")
        url = f"{gateway.file_url(cap)}?t=check&verify=true&output=JSON"
        found = json.loads(ask("--request", "POST", url).body)["results"]
        self.assertTrue(found["healthy"], found)
        self.assertEqual(found["count-shares-good"], SHAPE.total)
        self.assertEqual(found["count-recoverable-versions"], 1)

    def overwrite(self, gateway: NodeProcess, cap: str, data: bytes) -> None:
        """Write another version."""
        url = f"{gateway.url}uri/{quote(cap, safe='')}"
        reply = ask("--request", "PUT", "--data-binary", "@-", url, data=data)
        self.assertEqual((reply.status, reply.text), (200, cap), reply.body)

    def test_in_turns(self) -> None:
        """We write one, stock replaces it, and we replace that, by long and short ones."""
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        with grid(Path(place.name), servers=3, shape=SHAPE) as nodes:
            ours, stock, data = nodes.ours, nodes.stock, content(1, LONG)
            cap = ours.put(data, chunked=True, arguments="?format=MDMF")
            self.check(stock, cap, data)
            for writer, reader, size in (
                (stock, ours, LONG + 5),
                (ours, stock, LONG - 5),
                (ours, stock, 100),
                (ours, stock, LONG),
            ):
                data = content(size, size)
                self.overwrite(writer, cap, data)
                self.check(reader, cap, data)
            shares = [path for server in nodes.servers for path in server.shares()]
            self.assertEqual(len(shares), SHAPE.total)
