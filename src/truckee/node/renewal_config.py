"""
``[client] renew``: the trees whose leases the node renews.

Source: ``docs/reference/node-directory.md``, "Lease renewal".
"""

from __future__ import annotations

from pathlib import Path

from attrs import define

from truckee.codec.caps import (
    Cap,
    ChkVerifyCap,
    DirectoryCap,
    MalformedCap,
    MutableVerifyCap,
    parse_cap,
)
from truckee.codec.container import LEASE_DURATION
from truckee.errors import Misuse
from truckee.node.aliases import read_aliases
from truckee.node.config_file import BadConfig, ConfigFile
from truckee.node.config_keys import Mistake
from truckee.renewal.plan import RenewalPlan, RenewedTree, parse_trees

_WHERE = "[client] renew"
_CANNOT_BE_READ = (ChkVerifyCap, MutableVerifyCap)


@define
class BadAlias(Misuse):
    """{reason}"""

    reason: str


def root_of(private: Path, alias: str) -> DirectoryCap:
    """Return the directory that *alias* stands for.  Blocks.  :raises BadAlias:"""
    try:
        text = read_aliases(private).get(alias)
    except OSError as error:
        why = error.strerror or str(error)
        raise BadAlias(f"private/aliases cannot be read: {why}") from None
    if text is None:
        raise BadAlias(
            f"there is no alias {alias}: in private/aliases. Make it with truckee alias "
            f"create {alias}, or truckee alias add {alias} -, or correct its name in renew"
        )
    try:
        cap: Cap | None = parse_cap(text)
    except MalformedCap:
        cap = None
    if not isinstance(cap, DirectoryCap) or isinstance(cap.inner, _CANNOT_BE_READ):
        raise BadAlias(
            f"the alias {alias}: in private/aliases is no directory that can be read. Name "
            "one that is: all below it is renewed"
        )
    return cap


def renewal_plan(private: Path, file: ConfigFile) -> RenewalPlan:
    """Return what is to be renewed.  Blocks.  :raises BadConfig: also for an alias."""
    trees: list[RenewedTree] = file.get("client", "renew", [], parse_trees)
    for tree in trees:
        try:
            root_of(private, tree.alias)
        except BadAlias as error:
            raise BadConfig(file.path, _WHERE, str(error).rstrip(".")) from None
    return RenewalPlan(trees, file.boolean("client", "renew.repair", False))


def renewal_mistakes(file: ConfigFile, plan: RenewalPlan) -> list[Mistake]:
    """Return what of it cannot be meant."""
    found = []
    if plan.repair and not plan.trees:
        text = "renew.repair has no effect: renew names no tree."
        found.append(Mistake(file.line_of("client", "renew.repair"), text))
    late = [tree.alias for tree in plan.trees if tree.every > LEASE_DURATION]
    if late:
        text = (
            f"Leases last {LEASE_DURATION // 86400} days, and those of {', '.join(late)} "
            "are renewed later than that: where servers expire shares, files are lost "
            "between. Every 7 days is usual."
        )
        found.append(Mistake(file.line_of("client", "renew"), text))
    return found
