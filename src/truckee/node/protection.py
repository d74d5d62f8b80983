"""
Settings that protect somebody, and cannot be honoured: they stop the start.

Source: ``docs/reference/node-directory.md``, "What stops the start".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from attrs import frozen

from truckee.node.tor_settings import why_no_tor

_REMOVE = "Remove the line if that is acceptable to you"

# Settings of very old nodes, one file each, which stock nodes do not start with either.
_OLD_FILES = (
    "nickname",
    "webport",
    "introducer.furl",
    "helper.furl",
    "keepalive_timeout",
    "disconnect_timeout",
    "log_gatherer.furl",
    "advertised_ip_addresses",
    "authorized_keys.8223",
    "no_storage",
    "readonly_storage",
    "sizelimit",
    "debug_discard_storage",
    "run_helper",
)


@frozen
class Obstacle:
    """Why a node does not start: which setting, and what to do."""

    where: str
    reason: str


class Settings(Protocol):
    """What ``tahoe.cfg`` says, as text without blanks around it."""

    def text(self, section: str, key: str) -> str:
        """Return a value; empty when it is not set."""

    def boolean(self, section: str, key: str, default: bool) -> bool:
        """Return a value that is true or false."""

    def names(self, section: str) -> Sequence[str]:
        """Return the keys of a section."""


def dials_tcp(settings: Settings) -> bool:
    """Tell whether the node may use plain TCP.  :raises ValueError: with a reason."""
    told = settings.text("connections", "tcp").lower()
    if told not in ("", "tcp", "tor", "disabled"):
        raise ValueError(f"{told!r} is none of tcp, tor, disabled")
    return told in ("", "tcp")


def obstacle_in(
    settings: Settings, shows_address: bool, stores_for_others: bool
) -> Obstacle | None:
    """
    Return the first setting that this node would have to break; None: there is none.

    It is for nodes among others: a grid of its own connects to nobody.

    :param shows_address: whether others are told where it is.
    """
    found = _of_connections(settings, shows_address)
    if found is None and settings.names("grid_managers"):
        found = _of_helper(settings)
    if found is None and stores_for_others:
        found = _of_storage(settings)
    return found


def _of_connections(settings: Settings, shows_address: bool) -> Obstacle | None:
    no_tor = why_no_tor(settings)
    if no_tor is not None:
        return Obstacle(*no_tor)
    for section, key in (("tor", "onion"), ("i2p", "dest")):
        if settings.boolean(section, key, False):
            return Obstacle(
                f"[{section}] {key}",
                "this version offers no hidden services. Remove the line, and set another "
                "tub.port and tub.location if this node may be known by its address",
            )
    for part in settings.text("node", "tub.port").lower().split(","):
        if part.strip().startswith(("listen:tor", "listen:i2p", "onion:", "tor:", "i2p:")):
            return Obstacle(
                "[node] tub.port",
                "this version offers no hidden services. Use tcp:PORT if this node may be "
                "known by its address",
            )
    if settings.boolean("node", "reveal-ip-address", True):
        return None
    if dials_tcp(settings) or shows_address:
        return Obstacle(
            "[node] reveal-IP-address",
            "it is false, and this node would show its address: it connects to others over "
            "plain TCP unless [connections] tcp is tor or disabled, and tells others where "
            f"it is unless tub.port and tub.location are disabled. {_REMOVE}",
        )
    return None


def _of_helper(settings: Settings) -> Obstacle | None:
    furl = settings.text("client", "helper.furl")
    if not furl or not settings.boolean("client", "helper.enabled", True):
        return None
    if settings.boolean("client", "helper.verify", True):
        return None
    return Obstacle(
        "[client] helper.verify",
        "it is false, and there are [grid_managers]: what a helper stores on servers that "
        "none of them approves of would count as stored. Set it to true",
    )


def _of_storage(settings: Settings) -> Obstacle | None:
    if settings.text("storage", "plugins"):
        return Obstacle(
            "[storage] plugins",
            "plugins, which decide who may store, are not run in this version. Set "
            f"[storage] enabled = false. {_REMOVE}",
        )
    if not settings.boolean("storage", "anonymous", True):
        return Obstacle(
            "[storage] anonymous",
            "it is false, and storage is offered to all or to nobody in this version. Set "
            f"[storage] enabled = false. {_REMOVE}",
        )
    return None


def obstacle_beside(directory: Path, is_gateway: bool) -> Obstacle | None:
    """Return a file of the node directory that forbids and is not obeyed here; blocks."""
    for name in _OLD_FILES:
        if (directory / name).is_file():
            return Obstacle(
                name,
                f"settings in files of their own are not read any more. Move it to "
                f"tahoe.cfg and remove {directory / name}",
            )
    if is_gateway and _forbids(directory / "access.blacklist"):
        return Obstacle(
            "access.blacklist",
            "it forbids files, and this version does not look at it. Remove the entries of "
            f"{directory / 'access.blacklist'} to give out those files too",
        )
    return None


def _forbids(path: Path) -> bool:
    """Tell whether a list of forbidden files has an entry."""
    try:
        text = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return False
    return any(line.strip() and line.lstrip()[0] != "#" for line in text.splitlines())
