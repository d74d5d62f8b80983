"""
``[tor]`` in ``tahoe.cfg``: how Tor is reached for connections to others.

Source: ``docs/how-to-use-tor.md``.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from attrs import frozen
from twisted.internet.endpoints import clientFromString

from truckee.node.config_values import parse_path


@frozen
class TorSettings:
    """Which Tor: one that is launched, else one that runs; endpoints are strings."""

    launch: bool = False
    socks: str | None = None
    control: str | None = None
    executable: Path | None = None  # of what is launched; None: the first of the PATH
    all_tcp: bool = False  # plain TCP is not used at all

    @property
    def asked_for(self) -> bool:
        """Whether the operator wants it, or there just may be one."""
        return self.all_tcp or self.launch or bool(self.socks or self.control)


class Settings(Protocol):
    """What ``tahoe.cfg`` says."""

    def text(self, section: str, key: str) -> str:
        """Return a value; empty when it is not set."""

    def boolean(self, section: str, key: str, default: bool) -> bool:
        """Return a value that is true or false."""


def is_installed() -> bool:
    """Tell whether the package is there that Tor is used with."""
    return find_spec("txtorcon") is not None


def needs_tor(settings: Settings) -> bool:
    """Tell whether all that goes over TCP must go through Tor."""
    return settings.text("connections", "tcp").lower() == "tor"


def tor_settings(directory: Path, settings: Settings) -> TorSettings | None:
    """
    Return how Tor is reached; None: it is not used.

    Paths begin at the node *directory*.
    """
    if not settings.boolean("tor", "enabled", True) or not is_installed():
        return None
    executable = settings.text("tor", "tor.executable")
    return TorSettings(
        settings.boolean("tor", "launch", False),
        settings.text("tor", "socks.port") or None,
        settings.text("tor", "control.port") or None,
        parse_path(directory, executable) if "/" in executable else _or_none(executable),
        needs_tor(settings),
    )


def _or_none(executable: str) -> Path | None:
    return Path(executable) if executable else None


def why_no_tor(settings: Settings) -> tuple[str, str] | None:
    """Return a setting, and why Tor cannot be used as it says; None: it can be."""
    for key in ("socks.port", "control.port"):
        text = settings.text("tor", key)
        if text and not _is_endpoint(text):
            reason = "it is no endpoint, as in tcp:127.0.0.1:9050 or unix:/run/tor/socks"
            return f"[tor] {key}", reason
    if not needs_tor(settings):
        return None
    where = "[connections] tcp"
    if not settings.boolean("tor", "enabled", True):
        return where, "it is tor, and [tor] enabled is false. Set that to true"
    if not is_installed():
        return where, "Tor is used with the package txtorcon: pip install 'truckee[tor]'"
    return None


def _is_endpoint(text: str) -> bool:
    """Tell whether a text is an endpoint of this machine or another one."""
    if text.partition(":")[0] not in ("tcp", "unix"):
        return False
    try:
        clientFromString(None, text)
    except Exception:
        return False
    return True
