"""Trees with all that trees have, made over the web API of either program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from attrs import frozen

from tests.processes import curl
from truckee.codec.netstring import netstring

LITERAL = "URI:LIT:nbuq"


@frozen
class TreeMaker:
    """Makes trees at the gateway with this address."""

    url: str  # with a slash at its end

    def post(self, target: str, data: bytes = b"") -> str:
        """Return the answer to a POST below /uri."""
        options = ["--request", "POST", "--data-binary", "@-", "--header", "Content-Type:"]
        return curl(*options, f"{self.url}uri{target}", data=data).decode()

    def put(self, path: str, data: bytes) -> str:
        """Store a file below /uri/; return its cap."""
        return curl("-T", "-", f"{self.url}uri/{path}", data=data).decode()

    def link(self, path: str, cap: str) -> None:
        """Link *cap* below /uri/."""
        self.put(f"{path}?t=uri", cap.encode())

    def immutable(self, caps: Mapping[str, str]) -> str:
        """Return the cap of an immutable directory of files."""
        children = {name: ["filenode", {"ro_uri": cap}] for name, cap in caps.items()}
        return self.post("?t=mkdir-immutable", json.dumps(children).encode())

    def caps(self, path: str) -> Any:
        """Return the caps of a directory below /uri/."""
        return json.loads(curl(f"{self.url}uri/{path}?t=json"))[1]

    def make(self) -> str:
        """Return the write cap of a tree with every kind of object, loops and repeats."""
        root = self.post("?t=mkdir")
        path = quote(root, safe="")
        same = self.put(f"{path}/zfile", b"x" * 1000)
        for name, data in (("alit", b"hi"), ("empty", b""), ("ten", b"0123456789" * 10)):
            self.put(f"{path}/{name}", data)
        self.put(f"{path}/%C3%A9", b"e" * 60)
        self.put(f"{path}/m?format=SDMF", b"mutable")
        self.put(f"{path}/m2?format=MDMF", b"mutable" * 100)
        self.put(f"{path}/b/f1", b"y" * 2000)
        self.put(f"{path}/a/g1", b"z" * 3000)
        for number in range(2):
            self.put(f"{path}/b/c{number}/d/e", b"%d" % number * 300)
        below = self.caps(f"{path}/b")
        links = {
            "a/linkb": below["rw_uri"],
            "a/root": root,
            "aab": below["ro_uri"],
            "a/same": same,
            "future": "ro.x-future:1",
            "imm": self.immutable({f"i{number}": same for number in range(2)}),
            "lit1": self.immutable({}),
            "lit2": self.immutable({}),
            "lit3": self.immutable({"x": LITERAL}),
        }
        for name, cap in links.items():
            self.link(f"{path}/{name}", cap)
        self.post(f"/{path}?t=mkdir&name=mdir&format=MDMF")
        return root


def packed_directory(caps: Iterable[tuple[str, str]]) -> bytes:
    """
    Return the table of an immutable directory with these names and read caps.

    Stored as a file it is a directory: ``directory_of`` its cap.  Nothing looks at what is
    in it, so a tree of a million objects is made in a minute.
    """
    entries = []
    for name, cap in caps:
        fields = (name.encode(), cap.encode(), b"", b"{}")
        entries.append(netstring(b"".join(netstring(each) for each in fields)))
    return b"".join(entries)


def directory_of(cap: str) -> str:
    """Return the cap of the directory whose table the file *cap* is."""
    return cap.replace("URI:", "URI:DIR2-", 1)
