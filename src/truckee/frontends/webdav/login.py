"""
Who asks at /dav/ without a cap: a name and a password by HTTP Basic.

Source: RFC 7617; ``docs/reference/webdav.md``, "Accounts".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from attrs import frozen

from truckee.accounts.account import Account
from truckee.accounts.errors import LoginsBusy, TooManyFailures, WrongLogin
from truckee.accounts.remembered import RememberedLogins
from truckee.codec.caps import DirectoryCap, MalformedCap, parse_cap
from truckee.errors import TruckeeError
from truckee.frontends.webdav.errors import (
    LoginNeeded,
    NotConfidential,
    ReadOnlyAccount,
)
from truckee.net.http.confidential import is_confidential
from truckee.net.http.origin import CrossSite, Sender
from truckee.net.http.request import StreamingRequest

_CHALLENGE = {"www-authenticate": 'Basic realm="truckee", charset="UTF-8"'}
_BUSY = 5  # seconds after which to try again
_READS = (b"GET", b"HEAD", b"PROPFIND", b"OPTIONS")


@frozen(eq=False)
class Login:
    """What lets accounts in."""

    logins: RememberedLogins

    def wants(self, request: StreamingRequest) -> bool:
        """
        Tell whether a request is one for an account, and not for the directory of a cap.

        A password for nobody is wrong, also where there are no accounts: a client whose
        account was removed must not find an empty directory in its place.
        """
        first = request.postpath[0] if request.postpath else b""
        if cap_of(first) is not None:
            return False
        if request.header_lines("authorization"):
            return True
        return not _is_cap_like(first) and self.logins.accounts.exist

    async def account(self, request: StreamingRequest) -> Account:
        """
        Return whose request it is, which may do what it asks for.

        :raises NotConfidential: before anybody is asked for a password.
        :raises LoginNeeded: :raises WrongLogin: :raises TooManyFailures:
        :raises LoginsBusy: :raises ReadOnlyAccount:
        :raises CrossSite: when a page elsewhere has a link to it, which a browser follows
            with the password that it remembers.
        """
        if request.sender is not Sender.OURS:
            raise CrossSite("cross-site")
        if not is_confidential(request, request.site.hosts, request.connection()):
            raise NotConfidential
        name, password = _basic(request.header_lines("authorization"))
        account = await self.logins.log_in(name, password, request.client_address)
        if account.read_only and request.method not in _READS:
            raise ReadOnlyAccount
        return account


def headers_of(error: TruckeeError) -> Mapping[str, str]:
    """Return what an answer that refuses a log-in says in its head."""
    if isinstance(error, LoginNeeded | WrongLogin):
        return _CHALLENGE
    if isinstance(error, TooManyFailures):
        return {"retry-after": str(error.seconds)}
    if isinstance(error, LoginsBusy):
        return {"retry-after": str(_BUSY)}
    return {}


def cap_of(segment: bytes) -> DirectoryCap | None:
    """
    Return the cap that a segment of a path is; None: it is none of a directory.

    Underscores may stand for colons, which no path has on Windows.
    """
    text = segment.decode("utf-8", "replace").strip()
    if ":" not in text:
        text = text.replace("_", ":")
    try:
        cap = parse_cap(text)
    except MalformedCap:
        return None
    return cap if isinstance(cap, DirectoryCap) else None


def _is_cap_like(segment: bytes) -> bool:
    """Tell whether a segment was meant to be a cap."""
    return (
        segment.strip().replace(b"_", b":").startswith((b"URI:", b"ro.URI:", b"imm.URI:"))
    )


def _basic(lines: list[str]) -> tuple[str, str]:
    """Return name and password.  :raises LoginNeeded: when there are none."""
    scheme, _, text = (lines[0] if len(lines) == 1 else "").partition(" ")
    if scheme.lower() != "basic":
        raise LoginNeeded
    try:
        data = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise LoginNeeded from None
    try:
        both = data.decode("utf-8")
    except UnicodeDecodeError:
        both = data.decode("latin-1")  # of clients older than RFC 7617
    name, colon, password = both.partition(":")
    if not colon:
        raise LoginNeeded
    return name, password
