"""
Addresses of ours that stand in headers.

Source: RFC 4918, sections 8.3 and 10.3.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote_to_bytes, urlsplit

from truckee.frontends.webdav.errors import OtherServer

MOUNT = "/dav/"


def segments_of(address: str, own: Collection[str], prefix: str) -> list[bytes]:
    """
    Return the decoded segments behind ``/dav/`` in an address, the cap's first.

    *own* are the names, with ports, that we are known by; *prefix* is what stands in
    front of our paths where a proxy takes that off.

    :raises OtherServer: when it is not ours.
    """
    try:
        parts = urlsplit(address.strip())
        known = not parts.netloc or _plain(parts.scheme, parts.netloc) in own
    except ValueError:
        raise OtherServer from None
    path = parts.path
    if prefix and path.startswith(f"{prefix}{MOUNT}"):
        path = path[len(prefix) :]
    if not known or not path.startswith(MOUNT):
        raise OtherServer
    return [unquote_to_bytes(each) for each in path[len(MOUNT) :].split("/")]


def own_names(*addresses: str) -> set[str]:
    """Return host and port of *addresses*, as ``segments_of`` wants them."""
    found = set()
    for each in addresses:
        parts = urlsplit(each)
        if parts.netloc:
            found.add(_plain(parts.scheme, parts.netloc))
    return found


def _plain(scheme: str, netloc: str) -> str:
    # Who asks over TLS at a proxy reaches us without, and the other way round.
    netloc = netloc.rpartition("@")[2].lower()
    usual = {"http": ":80", "https": ":443"}.get(scheme, "")
    return netloc.removesuffix(usual) if usual else netloc
