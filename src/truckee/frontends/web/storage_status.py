"""/storage: what the storage server of this node keeps, for people and for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from attrs import asdict
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.template import Flattenable, tags

from truckee.codec.container import LEASE_DURATION
from truckee.codec.lease_expiry import ExpiryPolicy
from truckee.frontends.web.arguments import BadArgument, arguments
from truckee.frontends.web.frame import ALONE, Frame, Frames
from truckee.frontends.web.live import render_live
from truckee.frontends.web.page import PAGE_HEADERS, empty, render_page, section
from truckee.frontends.web.storage_report import StorageReport, StorageReporter
from truckee.frontends.web.tables import bar, pairs
from truckee.frontends.web.words import amount, exact, moment
from truckee.net.http.respond import TEXT, Answer, Responder
from truckee.storage.crawl_state import CrawlCounts, CrawlState

# What is under way is looked at again after so many seconds.
_REFRESH = 10

# It is of the moment.
_HEADERS = {"cache-control": "no-store"}
_DAY = 86400


class StorageStatusResource(Resource):
    """The storage server of this node, if it is one."""

    def __init__(
        self,
        reporter: Callable[[], StorageReporter | None],
        responder: Responder,
        frames: Frames,
    ) -> None:
        super().__init__()
        self._frames = frames
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
        return Answer(report_page(report, self._frames.of(request)), 200, PAGE_HEADERS)


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
        ours = {"leases": _leases_json(report), "incomplete": _incomplete_json(report)}
        document = {"stats": stats, "truckee": ours}
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


def _incomplete_json(report: StorageReport) -> dict[str, object]:
    kept = report.kept
    return {
        "keep": report.keep,
        "shares": kept.shares,
        "bytes": kept.size,
        "removed_shares": kept.removed,
    }


def report_page(report: StorageReport | None, frame: Frame = ALONE) -> bytes:
    """Return a report for people."""
    if report is None:
        return render_page(
            "No storage server",
            tags.h1("No storage server"),
            empty(
                "This node keeps no shares for other nodes. To make it a storage server, "
                "write enabled = true under [storage] in its tahoe.cfg, and start it again."
            ),
            frame=frame,
            here="storage",
        )
    parts = (
        tags.h1("Storage server"),
        tags.p(
            "This node keeps shares of other nodes' files. It can read none of them.",
            class_="lead",
        ),
        section("Disk", _disk(report)),
        section("Incomplete shares", *_incomplete(report)),
        section("Leases", tags.p(_rule(report.policy)), _crawler(report)),
        section("Last full look", _last(report.state)),
    )
    if report.state.started is None:
        return render_page("Storage server", *parts, frame=frame, here="storage")
    return render_live(
        "Storage server", *parts, frame=frame, here="storage", every=_REFRESH, told=False
    )


def _disk(report: StorageReport) -> Flattenable:
    rows: list[tuple[str, Flattenable]] = []
    if report.disk is not None:
        rows += [
            ("Size", exact(report.disk.total)),
            ("Free", exact(report.disk.available)),
        ]
    takes = "nothing: it is read-only" if report.readonly else exact(report.room)
    return pairs(
        [*rows, ("Reserved, not for shares", exact(report.reserved)), ("Takes now", takes)]
    )


def _incomplete(report: StorageReport) -> Sequence[Flattenable]:
    rule = "A share whose writer goes before it is complete is removed at once."
    if report.keep:
        rule = (
            "A share whose writer goes before it is complete can be continued for "
            f"{_days(report.keep)}; then it is removed."
        )
    rows: list[tuple[str, Flattenable]] = [
        ("Shares", f"{report.kept.shares:,} ({amount(report.kept.size)})"),
        ("… removed at the last look", f"{report.kept.removed:,}"),
    ]
    return tags.p(rule), pairs(rows)


def _days(seconds: float) -> str:
    days = f"{seconds / _DAY:g}"
    return "1 day" if days == "1" else f"{days} days"


def _last(state: CrawlState) -> Flattenable:
    if not state.cycles:
        return empty("There was none yet. It begins by itself.")
    return _counts(state.last)


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
        lines.append(tags.p(f"It does not continue: {report.error}.", class_="error"))
    if report.policy is not None and not state.removes:
        why = "this is its first look."
        if state.cycles:
            days = f"{state.grace / _DAY:.1f}"
            why = f"this node was off, or its clock wrong. Leases have {days} days more."
        lines.append(tags.p(f"Nothing is removed yet: {why}"))
    if state.started is None:
        when = moment(report.next_cycle or 0)
        return [*lines, tags.p("All shares are looked at again from ", when, " on.")]
    text = f"{100 * report.progress:.0f} % of all shares"
    looked = bar(report.progress, 1, text, "Shares looked at")
    return [*lines, tags.p("They are being looked at."), looked, _counts(state.now)]


def _counts(counts: CrawlCounts) -> Flattenable:
    expired = f"{counts.expired_shares:,} ({amount(counts.expired_bytes)})"
    removed = f"{counts.removed_shares:,} ({amount(counts.removed_bytes)})"
    return pairs(
        [
            ("Files", f"{counts.files:,}"),
            ("Shares", f"{counts.shares:,} ({amount(counts.bytes)})"),
            ("Leases", f"{counts.leases:,}, {counts.expired_leases:,} of them expired"),
            ("Shares all of whose leases have expired", expired),
            ("… removed", removed),
            ("Shares without any lease, kept", f"{counts.without_lease:,}"),
            ("Damaged files, kept", f"{counts.unreadable:,}"),
        ]
    )
