"""Stock's ``tahoe`` command, and what it does with one gateway after another."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from attrs import define, field, frozen
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests import warm
from tests.integration.stock import TAHOE

TIME = 120.0  # seconds for one command

# What is another one each time, in the order in which it is looked for.
_VARIABLE = (
    (r"http://127\.0\.0\.1:\d+", "NODE"),
    (r"URI(:|%3A)(DIR2-)?LIT(:|%3A)([a-z2-7]*)", r"\2literal-\4"),
    (
        r"URI(:|%3A)(DIR2-CHK[A-Za-z-]*)((:|%3A)[a-z2-7]{26,}){2}:(\d+):(\d+):\d+",
        r"\2 \5-\6",
    ),
    (r"URI(:|%3A)([A-Za-z0-9-]+)((:|%3A)[a-z2-7]{26,}){2}", r"\2"),
    (r"\bv0-[a-z2-7]{52}\b", "SERVER"),
    (r"\b[a-z2-7]{32}\b", "SERVER"),
    (r"\b[a-z2-7]{26}\b", "INDEX"),
    (r"seq(\d+)-[a-z2-7]{4}-sh", r"seq\1-HASH-sh"),
    (r"\d{4}-\d\d-\d\d_\d\d:\d\d:\d\dZ", "DAY"),
    (r"\b[A-Z][a-z]{2} [ \d]\d (\d\d:\d\d| \d{4})", "DAY"),
    (r"\d+h \d+m \d+s elapsed", "TIME elapsed"),
    (r"\b\d+:\d\d:\d\d(\.\d+)?\b", "TIME"),
    (r"\(for last .*\):", "(for last TIME):"),
    (r"(size-directories|largest-directory): .*", r"\1: SIZE"),
    # Each program explains its errors in words of its own.
    (r"(?m)^b\\?['\"].*$", "PROSE"),
    # Faults of the command itself are known by their last line.
    (r"Traceback \(most recent call last\):\n( .*\n)+", "Traceback\n"),
)
# Keys of JSON whose values are another one each time.
_MOMENTS = (
    *("ctime", "mtime", "linkcrtime", "linkmotime", "st_ino", "st_dev"),
    # How long a time is as a text tells.
    *("size-directories", "largest-directory"),
)

# What our answers have and stock's do not.
_ADDED = ("cursor",)


@frozen
class Row:
    """One command, and what has to be known of it."""

    command: str  # {name} is what a row before has kept
    given: bytes = b""  # to its input
    keep: str = ""  # the name under which later rows have the first cap that it prints
    # Where our gateway answers otherwise on purpose: why, and our words for stock's.
    why: str = ""
    ours: Sequence[tuple[str, str]] = ()

    def expected(self, stock: str) -> str:
        """Return what has to be seen of our gateway, when this was seen of stock's."""
        for theirs, ours in self.ours:
            stock = stock.replace(theirs, ours)
        return stock


@frozen
class Seen:
    """What a command did, without what is another one each time."""

    code: int
    output: str
    errors: str

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.output}--- errors\n{self.errors}"


@define(eq=False)
class Terminal:
    """Where a person types the commands: a directory of files, and a node."""

    place: Path  # the files
    node: Path  # its directory
    lose: Callable[[], None]  # one share of each file
    _kept: dict[str, str] = field(factory=dict, init=False)

    def run(self, rows: Sequence[Row]) -> Iterator[Seen]:
        """
        Type all rows; give what each did.

        Of these are not of ``tahoe``: cat, write FILE TEXT, and lose-a-share.
        """
        for row in rows:
            words = [word.format(**self._kept) for word in shlex.split(row.command)]
            match words:
                case ["cat", *names]:
                    found = [self._content(self.place / name) for name in names]
                    yield Seen(0, normal("".join(found)), "")
                case ["write", name, text]:
                    (self.place / name).write_text(text, "utf-8")
                    yield Seen(0, "", "")
                case ["lose-a-share"]:
                    self.lose()
                    yield Seen(0, "", "")
                case _:
                    yield self._type(row, words)

    def _type(self, row: Row, words: Sequence[str]) -> Seen:
        done = warm.run(
            [TAHOE, "--node-directory", str(self.node), *words],
            check=False,
            input=row.given,
            capture_output=True,
            timeout=TIME,
            cwd=self.place,
        )
        output, errors = done.stdout.decode(), done.stderr.decode()
        if row.keep:
            found = re.search(r"URI:\S+", output)
            self._kept[row.keep] = "" if found is None else found[0]
        return Seen(done.returncode, self._same(output), self._same(errors))

    def _content(self, path: Path) -> str:
        """Return what is at *path*, and below it."""
        if path.is_dir():
            return "".join(self._content(each) for each in sorted(path.iterdir()))
        name = path.relative_to(self.place)
        if not path.exists():
            return f"{name}: missing\n"
        return f"{name}: {path.read_text('utf-8')}\n"

    def _same(self, text: str) -> str:
        return normal(
            text.replace(str(self.place), "PLACE").replace(str(self.node), "HOME")
        )


def normal(text: str) -> str:
    """Return *text* without what is another one each time; JSON with its keys sorted."""
    try:
        text = json.dumps(_still(json.loads(text)), indent=1, sort_keys=True)
    except ValueError:
        text = "".join(f"{_same_line(line)}\n" for line in text.splitlines())
    for pattern, put in _VARIABLE:
        text = re.sub(pattern, put, text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _same_line(line: str) -> str:
    if not line.startswith("{"):
        return line
    try:
        return json.dumps(_still(json.loads(line)), sort_keys=True)
    except ValueError:
        return line


def _still(document: object) -> object:
    if isinstance(document, list):
        return [_still(each) for each in document]
    if isinstance(document, dict):
        return {
            key: "MOMENT" if key in _MOMENTS else _still(value)
            for key, value in document.items()
            if key not in _ADDED
        }
    return document


FILES = {
    "small": "hello",
    "empty": "",
    "big": "0123456789" * 300,
    "other": "other" * 500,
    "t/a.txt": "a" * 2000,
    "t/small.txt": "s",
    "t/caf\u00e9": "c" * 100,
    "t/sub/b.txt": "b" * 1500,
    "t/sub/deep/c.txt": "c" * 1200,
    "v/.hidden": "h",
    "v/kept": "k" * 500,
    "v/note.tmp": "n",
    "v/.git/config": "g",
}


def make_files(place: Path) -> None:
    """Have the files that the commands of the table name."""
    for path, content in FILES.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(content, "utf-8")
    (place / "t" / "empty").mkdir()
    (place / "nothing").mkdir()
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (place / "key.pem").write_bytes(pem)
