"""The text of ``tahoe.cfg``: what is set, and in which line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from configparser import ConfigParser, Error
from pathlib import Path
from typing import TypeVar

from attrs import define, field

from truckee.errors import Misuse
from truckee.node.config_keys import FREE, KNOWN, Entry, Mistake, entries_of, mistakes_of
from truckee.node.config_values import parse_boolean

T = TypeVar("T")


@define
class BadConfig(Misuse):
    """{path}: {where}: {reason}."""

    path: Path
    where: str
    reason: str


@define(eq=False)
class ConfigFile:
    """One file that was read."""

    path: Path
    entries: Sequence[Entry]
    _parser: ConfigParser = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> ConfigFile:
        """Read it; blocks.  :raises BadConfig: when it is no such file."""
        try:
            text = path.read_text("utf-8-sig")
        except (UnicodeDecodeError, OSError) as error:
            raise BadConfig(path, "cannot be read", str(error)) from None
        return cls.parse(path, text)

    @classmethod
    def parse(cls, path: Path, text: str) -> ConfigFile:
        """Return the file *path* with this *text*.  :raises BadConfig:"""
        # As stock nodes: a section or key that comes again is taken, and the last counts.
        parser = ConfigParser(strict=False)
        try:
            parser.read_string(text, str(path))
        except Error as error:
            raise BadConfig(path, "cannot be read", str(error)) from None
        return cls(path, list(entries_of(text)), parser)

    def get(self, section: str, key: str, default: T, convert: Callable[[str], T]) -> T:
        """Return a value, or *default* when it is not set or empty.  :raises BadConfig:"""
        # Else whoever sets it would be told that it has no effect.
        assert key in KNOWN[section], f"[{section}] {key} is missing in KNOWN"
        try:
            text = self._parser.get(section, key, fallback=None)
            return default if text is None or not text.strip() else convert(text.strip())
        except (ValueError, Error) as error:
            raise BadConfig(self.path, f"[{section}] {key}", str(error)) from None

    def text(self, section: str, key: str) -> str:
        """Return a value; empty when it is not set.  :raises BadConfig:"""
        return self.get(section, key, "", str)

    def boolean(self, section: str, key: str, default: bool) -> bool:
        """Return a value that is true or false.  :raises BadConfig:"""
        return self.get(section, key, default, parse_boolean)

    def has(self, section: str, key: str) -> bool:
        """Tell whether a key is there, be it empty."""
        return self._parser.has_option(section, key)

    def has_section(self, section: str) -> bool:
        """Tell whether a section is there, be it empty."""
        return self._parser.has_section(section)

    def names(self, section: str) -> list[str]:
        """Return the keys of a section."""
        return [each.key for each in self.entries if each.section == section and each.key]

    def section(self, section: str) -> dict[str, str]:
        """Return a section whose keys are names of somebody's choice."""
        assert section in FREE, f"[{section}] is missing in FREE"
        found = {}
        for key in self.names(section):
            try:
                found[key] = self._parser.get(section, key).strip()
            except Error as error:
                raise BadConfig(self.path, f"[{section}] {key}", str(error)) from None
        return found

    def line_of(self, section: str, key: str) -> int:
        """Return the line that sets a key; 0 when none does."""
        lines = [
            each.line for each in self.entries if (each.section, each.key) == (section, key)
        ]
        return lines[-1] if lines else 0

    def mistakes(self) -> list[Mistake]:
        """Return unknown names.  :raises BadConfig: when one of them was to protect."""
        found = mistakes_of(self.entries)
        for each in found:
            if each.fatal:
                text = each.text.rstrip(".")
                reason = f"{text} It would protect, so this node does not start without it"
                raise BadConfig(self.path, f"line {each.line}", reason)
        return found
