"""Finding a gateway and talking to it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import treq
from attrs import define, field
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer

from truckee.cli.broken import problem_within
from truckee.cli.problems import (
    FAILED,
    NOT_FOUND,
    REFUSED,
    Problem,
    Unreachable,
    printable,
    reason_within,
)
from truckee.node.layout import DEFAULT_NODEDIR

_CONNECT = 15.0  # seconds
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
        return _checked_url(url.strip(), "-u, --node-url (or TRUCKEE_NODE_URL)")
    if nodedir is not None:
        return _url_of_node(Path(nodedir), required=True)
    # Without a home directory expanduser leaves the ~, and nothing is found there.
    usual = (Path(DEFAULT_NODEDIR), Path(os.path.expanduser("~")) / ".tahoe")
    for place in usual:
        found = _url_of_node(place, required=False)
        if found:
            return found
    named = " or ".join(str(place) for place in usual)
    raise Problem(
        f"no gateway: there is no node in {named}; make one and start it with truckee run, "
        "or name one with -u URL (--node-url) or -d NODEDIR (--node-directory)"
    )


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
    return _checked_url(url, str(file))


def _checked_url(url: str, where: str) -> str:
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


@define(eq=False)
class Gateway:
    """One gateway's web API."""

    url: str
    reactor: Any
    _agent: Any = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        pool = HTTPConnectionPool(self.reactor, persistent=False)
        self._agent = Agent(self.reactor, pool=pool, connectTimeout=_CONNECT)

    async def ask(
        self,
        method: str,
        path: str,
        body: IBodyProducer | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Return the response.  :raises Unreachable: if there is none."""
        # Twisted's own agent: hyperlink, and so treq, takes [::1] for a name.
        sent = Headers({name: [value] for name, value in (headers or {}).items()})
        url = (self.url + path).encode("ascii")
        try:
            return await self._agent.request(method.encode("ascii"), url, sent, body)
        except Exception as error:
            raise problem_within(error, self.url) from None

    async def text(
        self, method: str, path: str, data: IBodyProducer | None = None, most: int = 1 << 20
    ) -> str:
        """Return the body of a good answer.  :raises Problem: of any other."""
        response = await self.ask(method, path, data)
        body = await read(response, most)
        if response.code != 200:
            raise problem_of(response.code, body)
        return body.decode("utf-8", "replace")

    async def is_truckee(self) -> bool:
        """Tell whether it takes uploads in pieces."""
        try:
            told = json.loads(await self.text("GET", "?t=json"))
        except (ValueError, RecursionError, Problem) as error:
            if isinstance(error, Unreachable):
                raise
            return False
        return isinstance(told, dict) and "truckee" in told

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await deferLater(self.reactor, seconds)


async def read(response: Any, most: int = _MOST_TEXT) -> bytes:
    """Return the start of a body.  :raises Unreachable: if it breaks off."""
    pieces: list[bytes] = []

    def collect(piece: bytes) -> None:
        if sum(map(len, pieces)) < most:
            pieces.append(piece)

    try:
        await treq.collect(response, collect)
    except Exception as error:
        raise problem_within(error) from None
    return b"".join(pieces)[:most]


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
