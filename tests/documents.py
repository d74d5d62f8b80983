"""The project's pages: their blocks of code, headings and links, from the Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

TOP = Path(__file__).parents[1]
SHELL = ("sh", "bash", "shell", "console")

_FENCE = re.compile(r"^( *)(`{3,}|~{3,})\s*(\S*)\s*$")
_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.*?)(?: +#+)?$")
# [text](target), and the target of a reference.
_LINK = re.compile(r"\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s+\"[^\"]*\")?\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s*(\S+)")
_CODE = re.compile(r"(`+)(?:(?!\1).)+?\1")


@frozen
class Block:
    """A fenced block of a page."""

    page: Path
    line: int  # of its fence, from 1
    language: str
    text: str
    not_run: str | None  # the reason, if the comment above says that it is not run
    first: tuple[str, ...]  # shell of hidden comments that belongs before this block

    @property
    def place(self) -> str:
        """Where people find it."""
        return f"{self.page.relative_to(TOP)}:{self.line}"

    @property
    def is_shell(self) -> bool:
        """Whether it is something to type into a shell."""
        return self.language in SHELL


@frozen
class Command:
    """What is typed at one prompt, and what the page shows as the answer."""

    text: str
    output: tuple[str, ...] = ()


def pages() -> list[Path]:
    """Return all pages for users."""
    named = [TOP / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md")]
    return named + sorted((TOP / "docs").rglob("*.md"))


def blocks(page: Path) -> list[Block]:
    """
    Return the fenced blocks of a page, in order.

    ``<!-- not run: REASON -->`` right above a fence says why no test runs the block.
    ``<!-- first: SHELL -->`` before it is run first, and has what the text supposes.
    """
    found: list[Block] = []
    before: list[str] = []  # lines since the last block
    inside: tuple[int, str, str, int] | None = None  # line, fence, language, indent
    body: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if inside is None:
            if fence is None:
                before.append(line)
            else:
                inside = number, fence[2], fence[3], len(fence[1])
                body = []
        elif fence and not fence[3] and fence[2].startswith(inside[1]):
            first, not_run = _directives(before)
            text = "\n".join(each[inside[3] :] for each in body)
            found.append(Block(page, inside[0], inside[2], text, not_run, first))
            inside, before = None, []
        else:
            body.append(line)
    assert inside is None, f"{page.name}: the block of line {inside} has no end"
    return found


def _directives(lines: list[str]) -> tuple[tuple[str, ...], str | None]:
    """Return the shell of comments, and the reason of the one right above a block."""
    text = "\n".join(lines)
    first, not_run = [], None
    for comment in _COMMENT.finditer(text):
        kind, _, said = comment[1].strip().partition(":")
        if kind == "first":
            first.append(said.strip())
        elif kind == "not run" and not text[comment.end() :].strip():
            not_run = said.strip()
        else:
            raise AssertionError(f"nothing reads the comment {comment[0]!r} there")
    return tuple(first), not_run


def commands(block: Block) -> list[Command]:
    """Return what a block of shell has to be typed, one command after the other."""
    if block.language != "console":
        return [Command(block.text)]
    found: list[Command] = []
    open_line = False  # the command goes on in the next line
    for line in block.text.splitlines():
        if open_line:
            found[-1] = Command(f"{found[-1].text}\n{line}")
        elif line.startswith("$ "):
            found.append(Command(line[2:]))
        else:
            assert found, f"{block.place}: no prompt before {line!r}"
            found[-1] = Command(found[-1].text, (*found[-1].output, line))
            continue
        open_line = line.endswith("\\")
    return found


def _prose(page: Path) -> Iterator[str]:
    """Give the lines that are no code."""
    fence = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        found = _FENCE.match(line)
        if not fence:
            if found:
                fence = found[2]
            else:
                yield line
        elif found and not found[3] and found[2].startswith(fence):
            fence = ""


def anchors(page: Path) -> set[str]:
    """Return the names of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    names = set()
    for line in _prose(page):
        heading = _HEADING.match(line)
        if heading is None:
            continue
        text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        names.add(f"{slug}-{count}" if count else slug)
    return names


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and pictures."""
    found = []
    for line in _prose(page):
        reference = _REFERENCE.match(line)
        if reference:
            found.append(reference[1])
        found += _LINK.findall(_CODE.sub("`", line))
    return found


def indented_code(page: Path) -> list[str]:
    """Return lines that Markdown shows as code and that are in no fence."""
    found = []
    blank, listed = True, False
    for line in _prose(page):
        if line.strip():
            if re.match(r" *([-*+]|\d+\.) ", line):
                listed = True
            elif not line.startswith(" "):
                listed = False
            if blank and line.startswith("    ") and not listed:
                found.append(line)
        blank = not line.strip()
    return found
