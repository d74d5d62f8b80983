"""Finding a gateway, and what its answers mean."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import click

from truckee.cli.problems import (
    FAILED,
    NOT_FOUND,
    REFUSED,
    Problem,
    printable,
    reason_within,
)
from truckee.node.layout import DEFAULT_NODEDIR

_MOST_TEXT = 4096  # bytes of an error
_CODES = {
    403: REFUSED,
    404: NOT_FOUND,
    409: REFUSED,
    410: NOT_FOUND,
    413: REFUSED,
    507: REFUSED,
}
_MOVED = "it is at another address: name that with -u URL"
_STATUSES = {
    301: _MOVED,
    302: _MOVED,
    307: _MOVED,
    308: _MOVED,
    401: "it wants a password, which this command cannot give",
    404: "there is no such thing; is it a gateway of Tahoe-LAFS?",
    405: "it cannot do that; is it a gateway of Tahoe-LAFS?",
    502: "the proxy in front does not reach the gateway",
    503: "it is too busy; try again later",
    504: "the proxy in front does not reach the gateway",
}
_USUAL = "one looks like http://127.0.0.1:3456/"


def find_gateway(url: str | None, nodedir: str | None) -> str:
    """Return the address of the web API, with a slash at its end.  :raises Problem:"""
    if url is not None:
        return checked_url(url.strip(), "-u, --node-url (or TRUCKEE_NODE_URL)")
    if nodedir is not None:
        return _url_of_node(Path(nodedir), required=True)
    for place in usual_nodes():
        found = _url_of_node(place, required=False)
        if found:
            return found
    named = " or ".join(str(place) for place in usual_nodes())
    raise Problem(
        f"no gateway: there is no node in {named}; make one and start it with truckee run, "
        "or name one with -u URL (--node-url) or -d NODEDIR (--node-directory)"
    )


def usual_nodes() -> tuple[Path, Path]:
    """Return where a node is looked for if nobody says where."""
    # Without a home directory expanduser leaves the ~, and nothing is found there.
    return Path(DEFAULT_NODEDIR), Path(os.path.expanduser("~")) / ".tahoe"


def _url_of_node(place: Path, *, required: bool) -> str:
    """Return the address of the node in *place*; empty: there is none."""
    file = place / "node.url"
    try:
        url = file.read_bytes().decode("utf-8", "replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        if (place / "tahoe.cfg").exists():
            raise Problem(
                f"the node in {place} does not run, or has no web port (there is no "
                f"{file}): start it with truckee run {place}, or name another with -u URL "
                "or -d NODEDIR"
            ) from None
        if not required:
            return ""
        what = "has no node.url" if place.exists() else "is not there"
        raise Problem(
            f"{place} is no directory of a node that runs: it {what}; name another with "
            "-d NODEDIR, or the gateway with -u URL"
        ) from None
    except OSError as error:
        raise Problem(
            f"cannot read {file}: {reason_within(error)}; name the gateway with -u URL or "
            "another node with -d NODEDIR"
        ) from None
    if not url:
        raise Problem(
            f"{file} is empty: the node is starting, or cannot; try again, or name the "
            "gateway with -u URL"
        )
    return checked_url(url, str(file))


def checked_url(url: str, where: str) -> str:
    """Return *url* with a slash at its end.  :raises Problem: when it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
        good = (
            url.isascii()
            and url.isprintable()
            and " " not in url
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and _is_name(parts.hostname)
            and port != 0
            and not (parts.query or parts.fragment or parts.username)
        )
    except ValueError:  # a port that is no number, a bracket that is not closed
        good = False
    if not good:
        raise Problem(
            f"{where}: {printable(url)!r} is no address of a gateway; {_USUAL}. Name it "
            "with -u URL, or its node with -d NODEDIR"
        )
    return url.rstrip("/") + "/"


def _is_name(host: str | None) -> bool:
    """Whether *host* can be the name or the address of a machine."""
    return bool(host) and all(0 < len(label) < 64 for label in (host or "").split("."))


node_url = click.option(
    "-u", "--node-url", metavar="URL", envvar="TRUCKEE_NODE_URL", help="The gateway."
)
node_directory = click.option(
    "-d",
    "--node-directory",
    metavar="NODEDIR",
    type=click.Path(file_okay=False),
    help="Use the gateway of this node, instead of ./truckee-node or else ~/.tahoe.",
)


def problem_of(status: int, body: bytes) -> Problem:
    """Return what an answer that is no good one means."""
    text = body[:_MOST_TEXT].decode("utf-8", "replace").strip()
    told = printable(text.splitlines()[0]) if text else ""
    if not told or told.startswith(
        ("<", "Traceback")
    ):  # a page for people, of some other program
        told = _STATUSES.get(status, "it gave no reason")
    return Problem(f"the gateway said {status}: {told}", _CODES.get(status, FAILED))


def is_cap(text: str) -> bool:
    """Whether *text* looks like a cap; a page of another program does not."""
    return re.fullmatch(r"URI:[A-Z0-9-]+:[!-~]*", text) is not None


NO_GATEWAY = (
    "what answers there is no gateway of Tahoe-LAFS: name one with -u URL or -d NODEDIR"
)
