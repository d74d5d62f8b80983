"""
The renewal of leases, for people and for programs.

What everybody may know has no path in it; what was unhealthy is for whoever has the token
of the node.

Source: ``docs/reference/web-api.md``, "Lease renewal".
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import asdict
from twisted.web.template import Flattenable, tags

from truckee.frontends.web.page import section
from truckee.frontends.web.problems import MOST_TEXT
from truckee.frontends.web.tables import table
from truckee.frontends.web.words import counted, foreign, moment
from truckee.renewal.state import Pass
from truckee.renewal.tree_renewal import RenewalStatus

_HEADS = ("Alias", "Last renewed", "Found", "Next", "State")


def renewals_json(renewals: Sequence[RenewalStatus]) -> list[dict[str, object]]:
    """Return what everybody may know."""
    return [
        {
            "alias": each.alias,
            "every": each.every,
            "running": each.running,
            "next": None if each.next_at is None else round(each.next_at, 3),
            "failures": each.failures,
            "error": each.error or None,
            "now": _pass_json(each.now),
            "last": _pass_json(each.last),
        }
        for each in renewals
    ]


def unhealthy_json(renewals: Sequence[RenewalStatus]) -> list[dict[str, object]]:
    """Return the same with what was unhealthy, by its path."""
    return [
        {**public, "unhealthy_now": _listed(each.now), "unhealthy": _listed(each.last)}
        for public, each in zip(renewals_json(renewals), renewals, strict=True)
    ]


def _pass_json(one: Pass | None) -> dict[str, object] | None:
    if one is None:
        return None
    ended = None if one.ended is None else round(one.ended, 3)
    return {"started": round(one.started, 3), "ended": ended, **asdict(one.counts)}


def _listed(one: Pass | None) -> list[dict[str, object]]:
    found = () if one is None else one.unhealthy
    return [{"path": each.path, "reason": each.reason} for each in found]


def renewals_section(renewals: Sequence[RenewalStatus]) -> Flattenable:
    """Return a list for people; nothing when no tree is renewed."""
    if not renewals:
        return ""
    rows = [_row(each) for each in renewals]
    listed = table(_HEADS, rows, "Trees whose leases are renewed")
    return section("Lease renewal", listed, name="renewal")


def _row(renewal: RenewalStatus) -> tuple[Flattenable, ...]:
    last = renewal.last
    ended = None if last is None else last.ended
    name = [foreign(renewal.alias), tags.small(f"every {_span(renewal.every)}")]
    return (
        name,
        "not yet" if ended is None else moment(ended),
        "" if last is None else _found(last),
        "" if renewal.next_at is None else moment(renewal.next_at),
        _state(renewal),
    )


def _found(last: Pass) -> Flattenable:
    counts = last.counts
    parts = [counted(counts.objects, "object")]
    more = (
        (counts.repaired, "repaired"),
        (counts.unrenewed, "not confirmed by all servers"),
    )
    parts += [f"{count:,} {what}" for count, what in more if count]
    line = ", ".join(parts)
    if not counts.unhealthy:
        return line
    bad = f"{counts.unhealthy:,} unhealthy"
    return [
        line,
        ", ",
        tags.span(bad, class_="bad"),
        tags.small("truckee renew lists them"),
    ]


def _state(renewal: RenewalStatus) -> Flattenable:
    if renewal.running:
        met = 0 if renewal.now is None else renewal.now.counts.objects
        return f"running, {counted(met, 'object')} so far"
    if renewal.error:
        return tags.span(foreign(renewal.error, MOST_TEXT), class_="bad")
    return "" if renewal.now is None else "interrupted; it is continued"


def _span(seconds: float) -> str:
    days = seconds >= 86400
    return f"{seconds / 86400:g} days" if days else f"{seconds / 3600:g} hours"
