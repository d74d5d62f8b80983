"""/storage: what the storage server of this node keeps, for people and for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from attrs import asdict
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.template import Flattenable, tags

from truckee.codec.container import LEASE_DURATION
from truckee.codec.lease_expiry import ExpiryPolicy
from truckee.frontends.http.respond import TEXT, Answer, Responder
from truckee.frontends.web.arguments import BadArgument, arguments
from truckee.frontends.web.page import PAGE_HEADERS, amount, moment, pairs, render_page
from truckee.frontends.web.storage_report import StorageReport, StorageReporter
from truckee.storage.crawl_state import CrawlCounts

# What is under way is looked at again after so many seconds.
_REFRESH = 10

# It is of the moment.
_HEADERS = {"cache-control": "no-store"}
_DAY = 86400


class StorageStatusResource(Resource):
    """The storage server of this node, if it is one."""

    def __init__(
        self, reporter: Callable[[], StorageReporter | None], responder: Responder
    ) -> None:
        super().__init__()
        self._reporter = reporter
        self._responder = responder

    def render_GET(self, request: Request) -> int:
        self._responder.run(request, self._answer(request))
        return NOT_DONE_YET

    async def _answer(self, request: Request) -> Answer:
        args = arguments(request)
        if args.get("t", "json") != "json":
            raise BadArgument("t", "this page has json")
        # There is one from when the storage directory is there.
        reporter = self._reporter()
        report = None if reporter is None else await reporter.report()
        if "t" in args:
            return Answer(report_json(report), 200, {"content-type": TEXT, **_HEADERS})
        return Answer(report_page(report), 200, PAGE_HEADERS)


def report_json(report: StorageReport | None) -> bytes:
    """Return a report: statistics with the keys of stock servers, and ours."""
    document: dict[str, object] = {}
    if report is not None:
        stats = {
            "storage_server.reserved_space": report.reserved,
            "storage_server.disk_avail": report.room,
            "storage_server.accepting_immutable_shares": int(report.room > 0),
        }
        if report.disk is not None:
            stats |= {
                "storage_server.disk_total": report.disk.total,
                "storage_server.disk_used": report.disk.total - report.disk.free,
                "storage_server.disk_free_for_root": report.disk.free,
                "storage_server.disk_free_for_nonroot": report.disk.available,
            }
        document = {"stats": stats, "truckee": {"leases": _leases_json(report)}}
    return (json.dumps(document, indent=1) + "\n").encode("ascii")


def _leases_json(report: StorageReport) -> dict[str, object]:
    state, policy = report.state, report.policy
    expiry = None
    if policy is not None:
        expiry = {
            "mode": "age" if policy.cutoff is None else "cutoff-date",
            "duration": policy.duration or LEASE_DURATION,
            "cutoff": policy.cutoff,
            "kinds": sorted(kind.value for kind in policy.kinds),
            "removes": state.removes,
            "grace": state.grace,
        }
    return {
        "expiry": expiry,
        "cycles": state.cycles,
        "started": state.started,
        "progress": report.progress,
        "finished": state.finished,
        "next_cycle": report.next_cycle,
        "error": report.error,
        "this_cycle": None if state.started is None else asdict(state.now),
        "last_cycle": asdict(state.last) if state.cycles else None,
    }


def report_page(report: StorageReport | None) -> bytes:
    """Return a report for people."""
    back = tags.p(tags.a("The gateway's page", href="."))
    if report is None:
        return render_page(
            "No storage server",
            tags.h1("No storage server"),
            tags.p("This node keeps no shares for other nodes."),
            back,
        )
    return render_page(
        "Storage server",
        tags.h1("Storage server"),
        tags.p("This node keeps shares of other nodes' files. It can read none of them."),
        tags.h2("Disk"),
        _disk(report),
        tags.h2("Leases"),
        tags.p(_rule(report.policy)),
        _crawler(report),
        tags.h2("Last full look"),
        _counts(report.state.last, "There was none yet." * (not report.state.cycles)),
        back,
        refresh=None if report.state.started is None else _REFRESH,
    )


def _disk(report: StorageReport) -> Flattenable:
    rows = [("Reserved, not for shares", amount(report.reserved))]
    if report.disk is not None:
        rows += [
            ("Size", amount(report.disk.total)),
            ("Free", amount(report.disk.available)),
        ]
    takes = "nothing: it is read-only" if report.readonly else amount(report.room)
    return pairs([*rows, ("Takes now", takes)])


def _rule(policy: ExpiryPolicy | None) -> str:
    if policy is None:
        return "Shares are kept whether their leases have expired or not."
    kinds = " and ".join(sorted(kind.value for kind in policy.kinds)) or "no"
    if policy.cutoff is not None:
        day = time.strftime("%Y-%m-%d", time.gmtime(policy.cutoff))
        return f"Shares of {kinds} files go that nobody renewed a lease of since {day}."
    days = (policy.duration or LEASE_DURATION) / _DAY
    return f"Shares of {kinds} files go that nobody renewed a lease of for {days:g} days."


def _crawler(report: StorageReport) -> Flattenable:
    state = report.state
    lines: list[Flattenable] = []
    if report.error is not None:
        lines.append(tags.p(f"It does not go on: {report.error}."))
    if report.policy is not None and not state.removes:
        why = "this is its first look."
        if state.cycles:
            days = f"{state.grace / _DAY:.1f}"
            why = f"this node was off, or its clock wrong. Leases have {days} days more."
        lines.append(tags.p(f"Nothing is removed yet: {why}"))
    if state.started is None:
        when = moment(report.next_cycle or 0)
        return [*lines, tags.p(f"All shares are looked at again from {when} on.")]
    text = f"{100 * report.progress:.0f} % of all shares"
    bar = tags.progress(text, max="1", value=f"{report.progress:.3f}")
    return [*lines, tags.p("They are being looked at.", bar, text), _counts(state.now)]


def _counts(counts: CrawlCounts, instead: str = "") -> Flattenable:
    if instead:
        return tags.p(instead)
    expired = f"{counts.expired_shares} ({amount(counts.expired_bytes)})"
    removed = f"{counts.removed_shares} ({amount(counts.removed_bytes)})"
    return pairs(
        [
            ("Files", str(counts.files)),
            ("Shares", f"{counts.shares} ({amount(counts.bytes)})"),
            ("Leases", f"{counts.leases}, {counts.expired_leases} of them expired"),
            ("Shares all of whose leases have expired", expired),
            ("… removed", removed),
            ("Shares without any lease, kept", str(counts.without_lease)),
            ("Damaged files, kept", str(counts.unreadable)),
        ]
    )
