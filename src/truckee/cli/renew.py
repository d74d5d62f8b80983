"""``truckee renew``: the renewal of leases by a node, and what it found."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from truckee.cli.finding import find_gateway, node_directory, problem_of, usual_nodes
from truckee.cli.gateway import Gateway, read
from truckee.cli.problems import Problem, reason_within
from truckee.cli.reacting import run

_MOST = 64 << 20  # bytes of an answer


@click.command("renew", short_help="Show the renewal of leases, or begin one.")
@click.argument("alias", required=False)
@node_directory
@click.option("--now", is_flag=True, help="Begin a renewal, or continue one.")
@click.option("--cancel", is_flag=True, help="End the renewal that is under way.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def renew_command(
    alias: str | None, node_directory: str | None, now: bool, cancel: bool, as_json: bool
) -> None:
    """
    Show when a node renews the leases of its trees, and what was unhealthy.

    \b
    truckee renew                what is renewed, when, and what was unhealthy
    truckee renew --now          renew all of it now
    truckee renew photos --now   and one tree alone

    Which trees these are says renew in tahoe.cfg of the node, section [client]. The token
    in private/ of the node directory is needed for it.
    """
    url = find_gateway(None, node_directory)
    if now and cancel:
        raise click.UsageError("--now and --cancel are opposites")
    token = _token(node_directory)
    name = None if alias is None else alias.removesuffix(":")

    async def work(reactor: Any) -> None:
        gateway = Gateway(url, reactor)
        if now or cancel:
            query = "" if name is None else f"?alias={quote(name, safe='')}"
            path = f"private/renewal/{'now' if now else 'cancel'}{query}"
            trees = await _ask(gateway, token, "POST", path)
        else:
            trees = await _ask(gateway, token, "GET", "private/renewal")
        chosen = [each for each in trees if name in (None, each["alias"])]
        if name is not None and not chosen:
            raise Problem(f"the leases of {name} are not renewed by this node")
        if as_json:
            click.echo(json.dumps({"renewals": chosen}, indent=1))
            return
        for line in _lines(chosen, now):
            # What others wrote must not move the cursor.
            click.echo("".join(c if c.isprintable() else "?" for c in line))

    run(work)


def _token(nodedir: str | None) -> str:
    """Return what lets us in.  :raises Problem:"""
    places = [Path(nodedir)] if nodedir is not None else usual_nodes()
    there = [place for place in places if (place / "node.url").exists()]
    file = (there or [*places])[0] / "private" / "api_auth_token"
    try:
        return file.read_bytes().decode("ascii", "replace").strip()
    except OSError as error:
        raise Problem(f"cannot read {file}: {reason_within(error)}") from None


async def _ask(gateway: Gateway, token: str, method: str, path: str) -> list[Any]:
    """Return the trees in the answer of the node.  :raises Problem:"""
    headers = {"authorization": f"tahoe-lafs {token}"}
    response = await gateway.ask(method, path, headers=headers)
    body = await read(response, _MOST)
    if response.code not in (200, 202):
        raise problem_of(response.code, body)
    try:
        return list(json.loads(body)["renewals"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Problem("what answers is no node of truckee: name one with -d") from None


def _lines(trees: list[Any], now: bool) -> Iterator[str]:
    """Give the lines that people read."""
    if not trees:
        yield (
            "No leases are renewed by this node. Name a tree in its tahoe.cfg, section "
            "[client]: renew = ALIAS, every 7 days"
        )
    for tree in trees:
        yield from _tree(tree)
    if now and trees:
        yield "Begun; truckee status --watch shows how far it is."


def _tree(tree: Mapping[str, Any]) -> Iterator[str]:
    name, last = tree["alias"], tree["last"]
    yield f"{name}: every {_span(tree['every'])}, {_state(tree)}"
    if last is not None:
        counts = (
            ("unhealthy", "unhealthy"),
            ("lost", "of these cannot be read"),
            ("repaired", "repaired"),
            ("unrenewed", "not confirmed by all servers"),
        )
        more = [f"{last[key]} {what}" for key, what in counts if last[key]]
        counted = ", ".join([f"{last['objects']} objects", *more])
        yield f"  last renewed {_moment(last['ended'])}: {counted}"
    for each in tree["unhealthy"]:
        yield f"  {name}:{'/'.join(each['path'])}  {each['reason']}"
    listed = len(tree["unhealthy"])
    if last is not None and last["unhealthy"] > listed:
        yield f"  ... and {last['unhealthy'] - listed} more that are not listed"


def _state(tree: Mapping[str, Any]) -> str:
    under_way = tree["now"]
    if tree["running"]:
        return f"running now, {under_way['objects'] if under_way else 0} objects so far"
    state = f"next {_moment(tree['next'])}"
    if tree["error"]:
        return f"{state}; the last attempt failed: {tree['error']}"
    return f"{state}, where it was interrupted" if under_way else state


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _span(seconds: float) -> str:
    days = seconds >= 86400
    return f"{seconds / 86400:g} days" if days else f"{seconds / 3600:g} hours"
