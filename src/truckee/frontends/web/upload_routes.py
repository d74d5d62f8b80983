"""
Which way the next upload takes, for people and for programs.

The decision itself is made in ``helper/gateway/route.py``.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class HelperSeen:
    """What a gateway knows of the helper it uses."""

    connected: bool
    pushes: bool = False  # ciphertext can be pushed to it; else it pulls, as stock does
    version: str | None = None
    last_received: float | None = None  # Unix seconds, when it was greeted


@frozen
class UploadRoutes:
    """Where ciphertext goes now: "helper", or "servers" from here."""

    known: str  # of files whose length is announced
    unknown: str  # of others
    spooled: bool  # others wait in the gateway's spool until their end has come


def next_routes(helper: HelperSeen | None, sized: bool) -> UploadRoutes:
    """
    Return the way of the next upload.

    *sized*: too few servers take files whose size is not known.
    """
    if helper is None or not helper.connected:
        return UploadRoutes("servers", "servers", sized)
    if helper.pushes:
        return UploadRoutes("helper", "helper", False)
    # Once it is spooled its length is known, and a stock helper takes it too.
    return UploadRoutes("helper", "helper" if sized else "servers", sized)


def tell_routes(helper: HelperSeen | None, sized: bool) -> str:
    """Return the same in plain words; empty when there is nothing to tell."""
    routes = next_routes(helper, sized)
    waits = (
        " One of unannounced length waits, encrypted, in this gateway's spool until its "
        "end has come, because too few servers take it before."
    )
    if helper is None:
        return "Uploads go from here to the servers." + waits if sized else ""
    if not helper.connected:
        text = "Until it is back, uploads go from here to the servers."
        return text + waits if sized else text
    text = "The next upload goes to the helper, which makes its shares."
    if not helper.pushes:
        text = (
            "The next upload whose length is announced goes to the helper, which makes its "
            "shares. This helper must know the length beforehand: an upload of unannounced "
            "length "
        )
        text += (
            "waits, encrypted, in this gateway's spool, and goes there when its end has "
            "come."
            if routes.spooled
            else "goes from here to the servers."
        )
    return f"{text} With helper=no in its address an upload goes from here in any case."


def helper_json(helper: HelperSeen | None) -> dict[str, object] | None:
    """Return the helper for programs, in the words that they know of servers."""
    if helper is None:
        return None
    return {
        "connection_status": "Connected" if helper.connected else "Not connected",
        "pushes": helper.connected and helper.pushes,
        "version": helper.version,
        "last_received_data": helper.last_received,
    }


def routes_json(helper: HelperSeen | None, sized: bool) -> dict[str, object]:
    """Return the routes for programs."""
    routes = next_routes(helper, sized)
    return {
        "known_length": routes.known,
        "unknown_length": routes.unknown,
        "unknown_length_spooled": routes.spooled,
    }
