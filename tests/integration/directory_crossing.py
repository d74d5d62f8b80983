"""One directory, changed by two gateways in turns."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode

from attrs import define, field

from tests.integration.mutable_crossing import Gateway
from tests.processes import Reply, ask

NAMES = ("a", "b", "file.txt", "caf\u00e9", "\u4e2d\u6587", "with space", "x%y&z=1", "..")
LITERAL = "URI:LIT:nbswy3dp"


@define(eq=False)
class Room:
    """A directory and one in it, as several gateways see them."""

    gateways: Sequence[Gateway]
    chance: random.Random
    root: str = field(init=False)  # a write cap

    def __attrs_post_init__(self) -> None:
        self.root = self.ask(self.gateways[0], "POST", "uri?t=mkdir", b"").text
        self._at(self.gateways[-1], "PUT", ["inner"], {"t": "mkdir"}, b"")

    def ask(
        self, gateway: Gateway, method: str, path: str, data: bytes | None = None
    ) -> Reply:
        """Return an answer; the first gateway, which is ours, never fails by itself."""
        options = ["--request", method]
        if data is not None:
            options += ["--data-binary", "@-", "--header", "Content-Type:"]
        reply = ask(*options, gateway.url + path, data=data)
        if reply.status >= 500 and gateway is self.gateways[0]:
            raise AssertionError(f"{method} {path}: {reply.status} {reply.body[:300]!r}")
        return reply

    def _at(
        self,
        gateway: Gateway,
        method: str,
        names: Sequence[str],
        args: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> Reply:
        path = "/".join(quote(each, safe="") for each in (self.root, *names))
        query = f"?{urlencode(args)}" if args else ""
        return self.ask(gateway, method, f"uri/{path}{query}", data)

    def step(self, gateway: Gateway) -> str:
        """Let *gateway* do something; return what."""
        chance = self.chance
        name, other = chance.choice(NAMES), chance.choice(NAMES)
        where = chance.choice(([], [], ["inner"]))
        replace = chance.choice(("true", "true", "false", "only-files"))
        kind = chance.randrange(10)
        data = chance.randbytes(chance.choice((0, 3, 55, 56, 2000)))
        names, args = [*where, name], {"replace": replace}
        if kind in (0, 1):
            format = chance.choice(("CHK", "CHK", "SDMF", "MDMF"))
            reply = self._at(gateway, "PUT", names, {**args, "format": format}, data)
        elif kind == 2:
            reply = self._at(gateway, "PUT", names, {**args, "t": "uri"}, LITERAL.encode())
        elif kind == 3:
            reply = self._at(gateway, "POST", where, {"t": "mkdir", "name": name}, b"")
        elif kind == 4:
            reply = self._at(gateway, "DELETE", names)
        elif kind == 5:
            args = {"t": "unlink", "name": name}
            reply = self._at(gateway, "POST", where, args, b"")
        elif kind == 6:
            args |= {"t": "rename", "from_name": name, "to_name": other}
            reply = self._at(gateway, "POST", where, args, b"")
        elif kind == 7:
            target = f"{self.root}/inner"
            args |= {"t": "relink", "from_name": name, "to_dir": target, "to_name": other}
            reply = self._at(gateway, "POST", [], args, b"")
        else:
            child: dict[str, Any] = {"ro_uri": LITERAL}
            if chance.random() < 0.5:
                child["metadata"] = {"n": chance.randrange(9), "tahoe": {"x": 1}}
            body = json.dumps({each: ["filenode", child] for each in (name, other)})
            args |= {"t": "set_children"}
            reply = self._at(gateway, "POST", where, args, body.encode())
        return f"{kind} {where} {name!r} {other!r} {args}: {reply.status}"

    def seen(self, gateway: Gateway) -> Any:
        """Return what a gateway tells of both directories."""
        found = []
        for names in ([], ["inner"]):
            reply = self._at(gateway, "GET", names, {"t": "json"})
            document = json.loads(reply.body)
            for kind, child in document[1]["children"].values():
                if kind == "filenode" and child["mutable"]:
                    child.pop("size", None)  # where a gateway happens to know it
            found.append(document)
        return found


def cross(gateways: Sequence[Gateway], steps: int, seed: int = 0) -> Iterator[str]:
    """Let *gateways* take turns; give each step after which they do not see the same."""
    chance = random.Random(seed)
    room = Room(gateways, chance)
    for _ in range(steps):
        gateway = chance.choice(list(gateways))
        which = gateways.index(gateway)
        what = room.step(gateway)
        first, *others = [room.seen(each) for each in gateways]
        if any(each != first for each in others):
            yield f"by gateway {which}: {what}"


def fill(gateways: Sequence[Gateway], ours: int, each: int) -> tuple[list[int], list[str]]:
    """
    Let all *gateways*, of which the first are *ours*, link children in one directory.

    Return how many of each gateway were answered with success, and the names of those
    among them that are not there; a name begins with the number of its gateway.
    """
    room = Room(gateways, random.Random(1))

    def work(which: int) -> list[str]:
        done = []
        for number in range(each):
            name = f"{which} {number}"
            path = f"uri/{quote(room.root, safe='')}/{quote(name)}?t=uri"
            options = ("--request", "PUT", "--data-binary", "@-")
            try:
                reply = ask(*options, gateways[which].url + path, data=LITERAL.encode())
            except ConnectionError:
                if which < ours:
                    raise
                continue  # what stock answers has no status line, when writes collide
            if reply.status in (200, 201):
                done.append(name)
        return done

    with ThreadPoolExecutor(len(gateways)) as pool:
        done = list(pool.map(work, range(len(gateways))))
    there = room.seen(gateways[0])[0][1]["children"]
    lost = [name for found in done for name in found if name not in there]
    return [len(found) for found in done], lost
