"""/helper_status: what the helper of this node does, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable

from attrs import asdict
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.template import Flattenable, tags

from truckee.flow.shared import Shared
from truckee.frontends.web.arguments import BadArgument, arguments
from truckee.frontends.web.frame import ALONE, Frame, Frames
from truckee.frontends.web.helper_report import (
    HelperReport,
    HelperReporter,
    KeptReport,
    UploadReport,
)
from truckee.frontends.web.live import render_live
from truckee.frontends.web.page import PAGE_HEADERS, empty, render_page, section
from truckee.frontends.web.problems import problems_json, problems_section
from truckee.frontends.web.remade import Remade
from truckee.frontends.web.tables import bar, pairs, table
from truckee.frontends.web.words import amount, exact, moment, part
from truckee.net.http.respond import TEXT, Answer, Responder

# What is under way is looked at again after so many seconds.
_REFRESH = 5

# It is of the moment.
_HEADERS = {"cache-control": "no-store"}

_PHASES = {
    "receiving": "is being received",
    "storing": "is here, is being stored",
    "closing": "its shares are being finished",
    "over": "is over",
}


class HelperStatusResource(Resource):
    """The helper of this node, if it has one."""

    def __init__(
        self,
        reporter: HelperReporter | None,
        responder: Responder,
        now: Callable[[], float],
        frames: Frames,
    ) -> None:
        super().__init__()
        self._frames = frames
        self._now = now
        self._reports: Remade[HelperReport] = Remade(now)
        self._making: Shared[str, HelperReport] = Shared()
        self._reporter = reporter
        self._responder = responder

    def render_GET(self, request: Request) -> int:
        self._responder.run(request, self._answer(request))
        return NOT_DONE_YET

    def render_POST(self, request: Request) -> int:
        # Programs for stock gateways ask so; it changes nothing.
        return self.render_GET(request)

    async def _answer(self, request: Request) -> Answer:
        args = arguments(request)
        if args.get("t", "json") != "json":
            raise BadArgument("t", "this page has json")
        report = None if self._reporter is None else await self._report(self._reporter)
        if "t" in args:
            return Answer(report_json(report), 200, {"content-type": TEXT, **_HEADERS})
        return Answer(report_page(report, self._frames.of(request)), 200, PAGE_HEADERS)

    async def _report(self, reporter: HelperReporter) -> HelperReport:
        """Return a report, which looks at each file on the helper's disk."""
        known = self._reports.known("")
        if known is not None:
            return known
        began = self._now()
        made = await self._making.run("", reporter.report)
        return self._reports.keep("", made, began)


def report_json(report: HelperReport | None) -> bytes:
    """Return a report with the keys of stock helpers, and ours under one of our own."""
    document: dict[str, object] = {}
    if report is not None:
        document = {f"chk_upload_helper.{name}": n for name, n in report.counters.items()}
        document["truckee"] = {
            "spool_limit": report.limits.spool,
            "spool_used": report.used,
            "disk_free": report.free,
            "max_size": report.limits.size,
            "max_uploads": report.limits.uploads,
            "expire_after": report.limits.expire_after,
            "uploads": [_renamed(asdict(upload)) for upload in report.uploads],
            "kept": [_renamed(asdict(kept)) for kept in report.kept],
            "kept_count": report.kept_count,
            "problems": problems_json(report.problems),
        }
    return (json.dumps(document, indent=1) + "\n").encode("ascii")


def _renamed(told: dict[str, object]) -> dict[str, object]:
    return {"storage_index": told.pop("name"), **told}


def report_page(report: HelperReport | None, frame: Frame = ALONE) -> bytes:
    """Return a report for people."""
    if report is None:
        return render_page(
            "No helper",
            tags.h1("No helper"),
            empty(
                "This node is no helper: nobody sends ciphertext to it. To make it one, "
                "write enabled = true under [helper] in its tahoe.cfg, and start it again."
            ),
            frame=frame,
            here="helper_status",
        )
    parts = (
        tags.h1("Helper"),
        tags.p(
            "Gateways send ciphertext here, and this node makes the shares. It can read "
            "none of it.",
            class_="lead",
        ),
        problems_section(report.problems),
        section("Uploads under way", _uploads(report)),
        section("Disk", _disk(report)),
        section("Kept for later", _kept(report)),
        section("Since the start", _counters(report)),
    )
    if not report.uploads:
        return render_page("Helper", *parts, frame=frame, here="helper_status")
    return render_live(
        "Helper", *parts, frame=frame, here="helper_status", every=_REFRESH, told=False
    )


def _uploads(report: HelperReport) -> Flattenable:
    count = f"{len(report.uploads)} of at most {report.limits.uploads}."
    if not report.uploads:
        return empty(f"{count} Those of gateways that use this helper are shown here.")
    heads = ("File", "Received", "Stored", "State", "Clients")
    rows = [_upload(upload) for upload in report.uploads]
    return [tags.p(count), table(heads, rows, "Uploads under way")]


def _upload(upload: UploadReport) -> tuple[Flattenable, ...]:
    size, name = upload.size, upload.name
    received = _bar(upload.held, size, f"{name}, received")
    stored: Flattenable = "when its end has come"
    if size is not None:
        stored = _bar(upload.stored, size, f"{name}, stored")
    state = _PHASES.get(upload.phase, upload.phase)
    return tags.code(name), received, stored, state, f"{upload.clients:,}"


def _bar(done: int, size: int | None, label: str) -> Flattenable:
    if size is None:
        return f"{amount(done)} of a length not known yet"
    return bar(done, size, part(done, size), label)


def _disk(report: HelperReport) -> Flattenable:
    used = _bar(report.used, report.limits.spool, "Disk for ciphertext, used")
    rows: list[tuple[str, Flattenable]] = [
        ("Ciphertext, of what it may take", used),
        ("Largest file", exact(report.limits.size)),
    ]
    if report.free is not None:
        rows.insert(1, ("Free on the disk", exact(report.free)))
    return pairs(rows)


def _kept(report: HelperReport) -> Flattenable:
    days = f"{report.limits.expire_after / 86400:g}"
    rule = tags.p(
        "What no client is sending now is stored, so that its upload can be resumed. It "
        f"is deleted {days} day{'' if days == '1' else 's'} after its last byte."
    )
    if not report.kept:
        return [rule, empty("Nothing is kept.")]
    heads = ("File", "Held", "State", "Last byte", "Deleted")
    rows = [_kept_file(kept) for kept in report.kept]
    more = report.kept_count - len(report.kept)
    rest = tags.p(f"And {more} more, which are deleted later.") if more else ""
    return [rule, table(heads, rows, "Files kept for later"), rest]


def _kept_file(kept: KeptReport) -> tuple[Flattenable, ...]:
    state = "complete, waits for servers" if kept.complete else "waits for a client"
    held, last = exact(kept.held), moment(kept.last_byte)
    return tags.code(kept.name), held, state, last, moment(kept.expires)


def _counters(report: HelperReport) -> Flattenable:
    counters = report.counters
    return pairs(
        [
            ("Uploads asked for", f"{counters['upload_requests']:,}"),
            ("… of files that were on the grid", f"{counters['upload_already_present']:,}"),
            ("… of files to be sent", f"{counters['upload_need_upload']:,}"),
            ("… where a part had come before", f"{counters['resumes']:,}"),
            ("Ciphertext received", exact(counters["fetched_bytes"])),
            ("Ciphertext stored as shares", exact(counters["encoded_bytes"])),
        ]
    )
