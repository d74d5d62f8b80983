"""Settings of stock nodes that are read past here and protect nobody.  Pure."""

from __future__ import annotations

from collections.abc import Callable

# Section, key, and the values with which it changes nothing.
_UNSUPPORTED = (
    ("node", "timeout.keepalive", ()),
    ("node", "timeout.disconnect", ()),
    ("node", "log_gatherer.furl", ()),
    ("node", "web.static", ("public_html",)),
    ("node", "tempdir", ("tmp",)),
    ("i2p", "enabled", ("false",)),
    ("i2p", "launch", ("false",)),
    ("client", "mutable.format", ("sdmf",)),
    ("client", "peers.preferred", ()),
    ("client", "storage.plugins", ()),
    ("client", "stats_gatherer.furl", ()),
    ("storage", "debug_discard", ("false",)),
    ("ftpd", "enabled", ("false",)),
    ("drop_upload", "enabled", ("false",)),
    ("magic_folder", "enabled", ("false",)),
)


def unsupported(text: Callable[[str, str], str]) -> list[str]:
    """Return what is set and does nothing here; *text* returns the value of a key."""
    found = []
    for section, key, off in _UNSUPPORTED:
        value = text(section, key)
        if value.lower() in ("", *off):
            continue
        # A furl is a right to use something.
        secret = key.endswith(".furl")
        found.append(f"[{section}] {key}" if secret else f"[{section}] {key} = {value}")
    return found
