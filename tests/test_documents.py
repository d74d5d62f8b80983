"""Links of the pages lead somewhere, and all pages are reached from the README."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
from twisted.trial.unittest import SynchronousTestCase

from tests.documents import TOP, anchors, links, pages
from tests.grids import new_directory
from truckee.cli import main


def problem_of(page: Path, target: str) -> str | None:
    """Return what is wrong with a link of *page*; None: nothing, or it leads elsewhere."""
    address = urlsplit(target)
    if address.scheme or address.netloc:
        return None
    place = (page.parent / unquote(address.path)).resolve() if address.path else page
    if not place.exists():
        return f"{page.name}: there is no {target}"
    named = unquote(address.fragment) if place.suffix == ".md" else ""
    if named and named not in anchors(place):
        return f"{page.name}: no heading for {target}"
    return None


def reached(start: Path) -> set[Path]:
    """Return the pages that one comes to from *start*, itself among them."""
    found, waiting = set(), [start]
    while waiting:
        page = waiting.pop()
        if page in found:
            continue
        found.add(page)
        for target in links(page):
            path = urlsplit(target)
            if path.path.endswith(".md") and not path.scheme:
                place = (page.parent / unquote(path.path)).resolve()
                if place.exists():
                    waiting.append(place)
    return found


def options_of(command: click.Command) -> list[click.Option]:
    """Return the options of a command and of those below it."""
    found = [each for each in command.params if isinstance(each, click.Option)]
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        found += options_of(each)
    return found


class LinkTests(SynchronousTestCase):
    def test_each_leads_somewhere(self) -> None:
        """The file of each relative link is there, and so is the heading it names."""
        targets = [(page, target) for page in pages() for target in links(page)]
        self.assertGreater(len(targets), 150)
        wrong = [problem_of(page, target) for page, target in targets]
        self.assertEqual([each for each in wrong if each], [])

    def test_all_pages_are_reached(self) -> None:
        """From the README one comes to every page of docs/."""
        here = {page for page in pages() if (TOP / "docs") in page.parents}
        self.assertEqual(sorted(here - reached(TOP / "README.md")), [])

    def test_what_is_wrong_is_found(self) -> None:
        """A missing file, a missing heading and a heading's second copy are told apart."""
        page = new_directory(self) / "page.md"
        page.write_text(
            "# The `[grid]` section, and more\n## Same\n## Same\n"
            "[a](#the-grid-section-and-more) [b](#same-1) [c](#same-2) [d](other.md)\n"
            "`[no](link)`\n```\n[no](code)\n# no heading\n```\n[e](page.md#no-heading)\n"
        )
        wrong = [target for target in links(page) if problem_of(page, target)]
        self.assertEqual(wrong, ["#same-2", "other.md", "page.md#no-heading"])


class FactTests(SynchronousTestCase):
    def test_modules_are_there(self) -> None:
        """A file of the project that a page names exists."""
        source = TOP / "src" / "truckee"
        for page in pages()[3:]:
            for name in re.findall(r"`([a-z_0-9/]+/[a-z_0-9]+\.py)", page.read_text()):
                here = (source / name).exists() or (TOP / name).exists()
                self.assertTrue(here, f"{page.name}: {name}")

    def test_messages_are_those_of_the_program(self) -> None:
        """Messages in the page on troubles, but for what differs, are in the source."""
        said = "".join(path.read_text() for path in (TOP / "src").rglob("*.py"))
        # As one text, without what stands between the pieces of a sentence.
        said = " ".join(re.sub(r'"\s*\n\s*f?"', "", said).split())
        page = (TOP / "docs" / "how-to-troubleshoot.md").read_text()
        parts = 0
        for line in page.splitlines():
            cells = line.split(" | ")
            for message in re.findall(r"`([^`]*)`", cells[0]) if len(cells) == 3 else ():
                if message[:1] != message[:1].lower() or "…" in message:
                    parts += 1
                    for part in re.split(r"…|\(nothing listens there\)", message):
                        found = part.strip(" .:;,()") in said
                        self.assertTrue(found or "Failed to connect" in part, message)
        self.assertGreater(parts, 30)

    def test_options_are_those_of_the_commands(self) -> None:
        """The page of commands has each option of each command, and no other ones."""
        text = (TOP / "docs" / "reference" / "commands.md").read_text()
        parts = re.split(r"(?m)^## truckee (\S+)", text.partition("\n## twistd")[0])
        sections = dict(zip(parts[1::2], parts[2::2], strict=True))
        context = click.Context(main)
        known = {"--help", "--version"}
        for name in main.list_commands(context):
            command = main.get_command(context, name)
            assert command is not None
            self.assertIn(name, sections)
            said = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", sections[name]))
            for option in options_of(command):
                self.assertTrue(said.intersection(option.opts), f"{name} {option.opts}")
                known.update(option.opts)
        for name, section in sections.items():
            said = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", section))
            self.assertEqual(said - known, set(), name)
