"""
The address by which people outside know the gateway, as the operator says it.  Pure.

Source: ``docs/how-to-put-a-proxy-in-front.md``.
"""

from __future__ import annotations

import re

from attrs import frozen

from truckee.net.http.authority import Authority, Origin, parse_authority, port_of

_URL = re.compile(r"(https?)://([^/?#@\s]+)(/[^?#\s]*)?", re.IGNORECASE)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")


@frozen
class BaseUrl:
    """Where the gateway is for its clients; *prefix* is what stands before its paths."""

    scheme: str
    host: str  # as it was written, with a port if there was one
    prefix: str = ""  # begins with a slash and does not end in one; empty: none

    @property
    def name(self) -> Authority:
        """The host and the port."""
        return parse_authority(self.host)

    @property
    def origin(self) -> Origin:
        """The origin of its pages."""
        return self.scheme, self.name.host, port_of(self.scheme, self.name)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}{self.prefix}"


def parse_base_url(text: str) -> BaseUrl:
    """:raises ValueError: unless *text* is http or https, a host, and maybe a path."""
    match = _URL.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        prefix = check_prefix(match[3] or "")
        base = BaseUrl(match[1].lower(), match[2], prefix)
        base.origin  # noqa: B018 - it has to have one
    except ValueError:
        raise ValueError(
            f"{text!r} is no address of a gateway: one looks like "
            "https://files.example.com/ or https://example.com/tahoe/"
        ) from None
    return base


def check_prefix(text: str) -> str:
    """
    Return a path that stands before those of the gateway, without a slash at its end.

    :raises ValueError: when it is none.
    """
    prefix = text.removesuffix("/")
    parts = prefix.split("/")
    if not _PREFIX.fullmatch(prefix) or "." in parts or ".." in parts:
        raise ValueError(f"{text!r} is no path that can stand before others")
    return prefix
