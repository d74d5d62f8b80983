"""Mutable files that go from one gateway to the other and back, changed by both."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol
from urllib.parse import quote

from attrs import define, field, frozen

from tests.integration.stock_grid import content
from tests.processes import Reply, ask
from truckee.codec.geometry import round_up
from truckee.codec.mutable_geometry import MDMF_SEGMENT_SIZE


class Gateway(Protocol):
    """A gateway that runs."""

    @property
    def url(self) -> str:
        """Where its web API is, with a slash at its end."""


def sizes(needed: int, count: int) -> list[int]:
    """Return sizes around every boundary of segments and of k, then others."""
    segment = round_up(MDMF_SEGMENT_SIZE, needed)
    found = [0, 1, needed - 1, needed, needed + 1, 56]
    for segments in (1, 2, 4):
        found += [segments * segment + more for more in (-needed, -1, 0, 1, needed)]
    chance = random.Random(needed)
    found += [chance.randrange(5 * segment) for _ in range(count)]
    return list(dict.fromkeys(found))[:count]


@frozen
class Wrong(Exception):
    """What was not as it should be."""

    what: str


@define(eq=False)
class Crossing:
    """One file, made by *one* gateway and changed by it and by *other*."""

    one: Gateway
    other: Gateway
    format: str  # SDMF or MDMF
    cap: str = field(default="", init=False)
    data: bytes = field(default=b"", init=False)  # what the file has now

    def run(self, seed: int, size: int) -> None:
        """:raises Wrong: at the first difference"""
        chance = random.Random(seed)
        self.data = content(seed, size)
        self.cap = self._put(self.one, f"uri?format={self.format}", self.data).text
        self._read(self.other, "made")
        self._verify(self.other, "made")
        self._overwrite(self.other, content(seed + 1, chance.randrange(2 * size + 100)))
        self._read(self.one, "overwritten")
        start = chance.randrange(len(self.data) + 1)
        length = chance.randrange(1, 1 + max(1, len(self.data) - start) // 2 + 1)
        self._write_at(self.one, start, content(seed + 2, length))
        self._read(self.other, f"written at {start}")
        # It grows over the next power of two of segments, or by a little.
        more = len(self.data) + 1 if len(self.data) < 700_000 else 1000
        self._write_at(self.other, len(self.data), content(seed + 3, more))
        self._read(self.one, "grown")
        self._overwrite(self.one, self.data[: len(self.data) // 3])
        self._read(self.other, "shrunk")
        for gateway in (self.one, self.other):
            self._verify(gateway, "in the end")

    def _put(self, gateway: Gateway, path: str, data: bytes) -> Reply:
        options = ("--request", "PUT", "--data-binary", "@-")
        reply = ask(*options, gateway.url + path, data=data)
        if reply.status != 200:
            text = reply.body[:300].decode("utf-8", "replace")
            raise Wrong(f"{path.partition('?')[2]}: {reply.status} {text}")
        return reply

    def _overwrite(self, gateway: Gateway, data: bytes) -> None:
        self._put(gateway, f"uri/{quote(self.cap, safe='')}", data)
        self.data = data

    def _write_at(self, gateway: Gateway, offset: int, piece: bytes) -> None:
        self._put(gateway, f"uri/{quote(self.cap, safe='')}?offset={offset}", piece)
        old = self.data
        self.data = old[:offset] + piece + old[offset + len(piece) :]

    def _read(self, gateway: Gateway, when: str) -> None:
        url = f"{gateway.url}uri/{quote(self.cap, safe='')}"
        reply = ask(url)
        if (reply.status, reply.body) != (200, self.data):
            raise Wrong(f"{when}: {reply.status}, {len(reply.body)} of {len(self.data)}")
        if len(self.data) > 10:
            start = len(self.data) // 3
            end = len(self.data) - 3
            part = ask("--range", f"{start}-{end}", url)
            if (part.status, part.body) != (206, self.data[start : end + 1]):
                raise Wrong(f"{when}: range {start}-{end}: {part.status}")

    def _verify(self, gateway: Gateway, when: str) -> None:
        url = f"{gateway.url}uri/{quote(self.cap, safe='')}"
        url += "?t=check&verify=true&output=JSON"
        found = json.loads(ask("--request", "POST", url).body)
        if not found["results"]["healthy"]:
            raise Wrong(f"{when}: {found['summary']}")


def cross(
    one: Gateway, other: Gateway, needed: int, count: int, seed: int = 0
) -> Iterator[str]:
    """Let *count* files cross in both directions, SDMF and MDMF; give what was wrong."""
    ways = [
        (way, format) for way in ((one, other), (other, one)) for format in ("SDMF", "MDMF")
    ]
    for number, size in enumerate(sizes(needed, count)):
        way, format = ways[number % len(ways)]
        try:
            Crossing(*way, format).run(seed + 10 * number, size)
        except Wrong as error:
            first = "ours" if way[0] is one else "stock"
            yield f"{format}, {size} bytes, made by {first}: {error.what}"


@frozen
class Contention:
    """What became of changes that several gateways made to one file at once."""

    succeeded: Sequence[int]  # of each gateway
    lost: Sequence[int]  # of those, what is not there afterwards
    refused: Sequence[int]  # answered otherwise


def contend(gateways: Sequence[Gateway], changes: int) -> Contention:
    """Let each of *gateways* write its own bytes of one file, one at a time."""
    total = len(gateways) * changes
    options = ("--request", "PUT", "--data-binary", "@-")
    cap = ask(*options, f"{gateways[0].url}uri?format=SDMF", data=b"." * total).text

    def work(which: int) -> list[int]:
        done = []
        for number in range(changes):
            at = which * changes + number
            url = f"{gateways[which].url}uri/{quote(cap, safe='')}?offset={at}"
            if ask(*options, url, data=b"%d" % which).status == 200:
                done.append(at)
        return done

    with ThreadPoolExecutor(len(gateways)) as pool:
        done = list(pool.map(work, range(len(gateways))))
    data = ask(f"{gateways[0].url}uri/{quote(cap, safe='')}").body
    lost = [
        sum(data[at : at + 1] != b"%d" % which for at in found)
        for which, found in enumerate(done)
    ]
    return Contention(
        [len(found) for found in done], lost, [changes - len(found) for found in done]
    )
