"""``truckee ls``."""

from __future__ import annotations

import json

from tests.cli.grid_case import GridCase
from tests.processes import SharedNode, ask

room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node of this module."""
    room.close()


class LsTests(GridCase):
    room = room

    def test_listed(self) -> None:
        """What tahoe has stored is listed, as tahoe lists it; the long form has sizes."""
        self.file("f", bytes(1000))
        self.file("d/g")
        self.stock("cp", "-r", "f", "d", self.alias)
        self.stock("put", "--mutable", "f", f"{self.alias}m")
        for options in ((), ("-F",), ("--uri",), ("--readonly-uri",)):
            ours = self.do("ls", *options, self.alias).output.split()
            self.assertEqual(ours, self.stock("ls", *options, self.alias).split(), options)
        rows = [
            line.split() for line in self.do("ls", "-l", self.alias).output.splitlines()
        ]
        found = [(row[0], row[1], row[-1]) for row in rows]
        self.assertEqual(
            found, [("drw", "-", "d"), ("-r-", "1000", "f"), ("-rw", "?", "m")]
        )
        self.assertEqual(
            self.do("ls", f"{self.alias}d", f"{self.alias}f").output.split()[1:], ["g", "f"]
        )
        told = json.loads(self.do("ls", "--json", f"{self.alias}f").output)
        self.assertEqual(told[1]["size"], 1000)
        self.assertIn("1.0 kB", self.do("ls", "-l", "--human", self.alias).output)

    def test_roots(self) -> None:
        """A cap comes from a file, from standard input, or as an argument."""
        self.do("mkdir", f"{self.alias}x")
        cap = self.root_cap()
        self.file("the.cap", cap.encode())
        self.assertEqual(self.do("ls", "--root", "the.cap").output, "x\n")
        self.assertEqual(self.do("ls", "--root", "-", "x", data=cap.encode()).output, "")
        self.assertEqual(self.do("ls", f"{cap}/x").output, "")
        self.assertEqual(self.do("ls", cap).output, "x\n")

    def test_odd_names(self) -> None:
        """Names are found however they are composed, and cannot move the cursor."""
        for name in ("e%CC%81", "a%20b", "a%1B%5B2J%0Ab", "%25"):
            ask("-X", "POST", f"{self.node.url}uri/{self.root_cap()}/{name}?t=mkdir")
        output = self.do("ls", self.alias).output
        self.assertEqual(output.splitlines(), ["%", "a\\x1b[2J\\nb", "a b", "\u00e9"])
        self.do("ls", f"{self.alias}e\u0301", f"{self.alias}a b", f"{self.alias}%")

    def test_not_there(self) -> None:
        """What is not there, no alias, no gateway: a sentence and a code each."""
        done = self.do("ls", f"{self.alias}nix", code=4)
        self.assertEqual(
            done.errors, f"Error: {self.alias}nix: there is no such file or directory\n"
        )
        self.assertIn("truckee alias create", self.do("ls", "unknown:", code=4).errors)
        self.do("ls", "-u", "http://127.0.0.1:1/", self.alias, code=3)
        self.do("ls", "--root", "not-there", code=1)
        self.do("ls", "URI:DIR2:broken", code=1)
