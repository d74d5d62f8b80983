"""
Where a browser goes when its form was taken: ``when_done=`` and ``return_to=``.

Both come with the request, and pages of other sites send none that changes anything.  But
they can lead to a page of ours, so that no link on one leads away.

Source: ``docs/reference/web-api.md``, "After a form".
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from truckee.frontends.http.arguments import BadArgument
from truckee.net.http.respond import TEXT, Answer

_HEADERS = {"content-type": TEXT, "cache-control": "no-store"}


def check_when_done(args: Mapping[str, str]) -> None:
    """:raises BadArgument: when ``when_done=`` is no address that is gone to"""
    address = args.get("when_done", "")
    if not address.isprintable():
        raise BadArgument("when_done", "it has characters that no address has")
    if _scheme(address) not in ("", "http", "https"):
        raise BadArgument("when_done", "it must be relative, or begin with http or https")


def when_done(args: Mapping[str, str], answer: Answer, cap: str = "") -> Answer:
    """
    Return *answer*, or the redirect that a form asks for instead.

    :param cap: is put in the place of %(uri)s.
    :raises BadArgument: as ``check_when_done``
    """
    check_when_done(args)
    address = args.get("when_done", "").replace("%(uri)s", quote(cap, safe=""))
    if not address:
        return answer
    return Answer(answer.body, 302, {**_HEADERS, "location": address})


def return_to(args: Mapping[str, str]) -> str:
    """Return where ``return_to=`` leads on this gateway; empty: nowhere on it."""
    address = args.get("return_to", "").strip()
    # Browsers take \ for /.
    leads_away = address.startswith("//") or "\\" in address or _scheme(address)
    return "" if leads_away or not address.isprintable() else address


def _scheme(address: str) -> str:
    try:
        return urlsplit(address.strip()).scheme
    except ValueError:  # a bracket that is not closed
        return "none"
