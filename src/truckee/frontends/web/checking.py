"""Whether one file is all there, and what it takes: t=check, in the words of stock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from attrs import field, frozen
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from truckee.codec import base32
from truckee.codec.caps import ChkVerifyCap, MutableVerifyCap
from truckee.frontends.http.task_ids import show_id, wanted_id
from truckee.frontends.web.afterwards import check_when_done, return_to, when_done
from truckee.frontends.web.arguments import (
    BadArgument,
    arguments,
    boolean,
    no_children,
)
from truckee.frontends.web.frame import Frames
from truckee.frontends.web.mutable_health import MutableHealth, not_responding
from truckee.frontends.web.result_page import show_checked
from truckee.immutable.check import CheckReport
from truckee.immutable.repair import RepairReport
from truckee.mutable.check import MutableReport
from truckee.mutable.repair import MutableRepairReport
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import TEXT, Answer, Responder, WrongMethod
from truckee.status.progress import Progress
from truckee.status.run import run_task
from truckee.status.task import Task
from truckee.status.tasks import Tasks
from truckee.storage.interfaces import IStorageServer
from truckee.tree.object_check import Checkable, ObjectChecker, Report, Wish

_HEADERS = {"content-type": TEXT, "cache-control": "no-store"}


def wish_of(args: Mapping[str, str]) -> Wish:
    """Return what the *args* of a POST ask for.  :raises BadArgument:"""
    names = ("verify", "repair", "add-lease")
    return Wish(*(boolean(args, name) for name in names))


@frozen(eq=False)
class Checks:
    """What checking files takes."""

    checker: ObjectChecker
    server_id: Callable[[IStorageServer], str]
    tasks: Tasks
    frames: Frames = field(factory=Frames)

    async def answer(
        self, request: Request, cap: Checkable, args: Mapping[str, str]
    ) -> Answer:
        """Return what a POST with *args* finds of the file of *cap*."""
        check_when_done(args)
        repairs = boolean(args, "repair")
        progress = Progress(phase="repairing" if repairs else "checking")

        async def look(task: Task) -> Answer:
            show_id(request, task)
            return await self._answer(cap, args)

        kind = "repair" if repairs else "check"
        wanted = wanted_id(request, args)
        answer = await run_task(self.tasks, kind, wanted, progress, look)
        if args.get("output", "").lower() != "json":
            answer = show_checked(request, answer, self.frames, return_to(args))
        return when_done(args, answer)

    async def _answer(self, cap: Checkable, args: Mapping[str, str]) -> Answer:
        if args.get("t", "") != "check":
            raise BadArgument("t", "a file that exists takes a POST with t=check only")
        output = args.get("output", "").lower()
        if output not in ("", "html", "json"):
            raise BadArgument("output", "it can be json; leave it out to get a text")
        report = await self.checker.check(cap, wish_of(args))
        if output == "json":
            text = json.dumps(self._document_of(report), indent=1)
        elif isinstance(report, MutableReport | MutableRepairReport):
            text = MutableHealth(self.server_id).text(report)
        else:
            text = self._tell(report)
        return Answer(f"{text}\n".encode(), 200, _HEADERS)

    async def document(self, cap: Checkable, wish: Wish) -> dict[str, object]:
        """Return what ``output=json`` says of the file of *cap*."""
        return self._document_of(await self.checker.check(cap, wish))

    def _document_of(self, report: Report) -> dict[str, object]:
        if isinstance(report, MutableReport | MutableRepairReport):
            return MutableHealth(self.server_id).document(report)
        return self._describe(report)

    def _describe(self, report: RepairReport | CheckReport | None) -> dict[str, object]:
        if report is None:
            # The file is in its cap.
            return {"storage-index": "", "results": {"healthy": True}}
        if isinstance(report, CheckReport):
            return self._document(report)
        return {
            "storage-index": _index(report.before),
            "repair-attempted": report.attempted,
            "repair-successful": report.successful,
            "pre-repair-results": self._document(report.before),
            "post-repair-results": self._after(report),
        }

    def _after(self, report: RepairReport) -> dict[str, object]:
        found = self._document(report.after)
        if report.attempted and report.after.healthy:
            found["summary"] = "healthy"  # stock's repairer has words of its own
        return found

    def _document(self, report: CheckReport) -> dict[str, object]:
        cap = report.cap
        corrupt = [
            [self.server_id(bad.server), _index(report), bad.number]
            for bad in report.corrupt
        ]
        return {
            "storage-index": _index(report),
            "summary": summary(report),
            "results": {
                "count-happiness": report.happiness,
                "count-shares-good": len(report.good),
                "count-shares-needed": cap.needed,
                "count-shares-expected": cap.total,
                "count-good-share-hosts": report.good_hosts,
                "count-corrupt-shares": len(corrupt),
                "list-corrupt-shares": corrupt,
                "servers-responding": sorted(map(self.server_id, report.servers)),
                **not_responding(map(self.server_id, report.silent)),
                "sharemap": {
                    str(number): sorted(map(self.server_id, found))
                    for number, found in report.good.items()
                },
                "count-wrong-shares": 0,
                "count-recoverable-versions": int(report.recoverable),
                "count-unrecoverable-versions": int(not report.recoverable),
                "healthy": report.healthy,
                "recoverable": report.recoverable,
            },
        }

    def _tell(self, report: RepairReport | CheckReport | None) -> str:
        """Return the same for people."""
        if report is None:
            return "Healthy: the file is in its cap."
        if isinstance(report, CheckReport):
            return self._lines(report)
        if not report.attempted:
            return f"{self._lines(report.before)}\nThere was nothing to repair."
        done = "Repaired." if report.successful else "The repair did not succeed."
        return (
            f"Before:\n{self._lines(report.before)}\n{done}\n"
            f"After:\n{self._lines(report.after)}"
        )

    def _lines(self, report: CheckReport) -> str:
        lines = [
            summary(report),
            f"{len(report.good)} good shares on {report.good_hosts} servers, "
            f"happiness {report.happiness}",
        ]
        if report.silent:
            names = ", ".join(server.name for server in report.silent)
            lines.append(f"no answer from: {names}")
        if report.missing:
            lines.append(f"missing: {', '.join(map(str, report.missing))}")
        for kind, found in (("corrupt", report.corrupt), ("unread", report.unreadable)):
            lines += [
                f"{kind}: share {bad.number} on {bad.server.name}: {bad.reason}"
                for bad in found
            ]
        if not report.verified:
            lines.append("Servers were asked what they hold; verify=true reads it.")
        return "\n".join(lines)


def summary(report: CheckReport) -> str:
    """Return the line that stock gateways give."""
    if report.healthy:
        return "Healthy"
    cap = report.cap
    return f"Not Healthy: {len(report.good)} shares (enc {cap.needed}-of-{cap.total})"


def check(
    request: Request, cap: Checkable, checks: Checks | None, responder: Responder
) -> int:
    """Answer a POST to the file of *cap*."""
    if checks is None:
        raise WrongMethod("POST", "GET, HEAD")
    responder.run(request, checks.answer(request, cap, arguments(request)))
    return NOT_DONE_YET


class CheckResource(Resource):
    """The file of a verify cap, which cannot be read but checked."""

    def __init__(
        self,
        cap: ChkVerifyCap | MutableVerifyCap,
        checks: Checks | None,
        responder: Responder,
    ) -> None:
        super().__init__()
        self._cap = cap
        self._checks = checks
        self._responder = responder

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        raise no_children(path)

    def render_POST(self, request: Request) -> int:
        return check(request, self._cap, self._checks, self._responder)


def _index(report: CheckReport) -> str:
    return base32.encode(report.cap.storage_index)
