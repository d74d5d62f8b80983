"""What a check of a mutable file found, in the words of stock, and for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import frozen

from truckee.codec import base32
from truckee.codec.mutable_prefix import Prefix
from truckee.mutable.check import MutableReport
from truckee.mutable.repair import MutableRepairReport
from truckee.mutable.versions import Place
from truckee.storage.interfaces import IStorageServer


@frozen
class MutableHealth:
    """Describes reports, in which servers are called what *server_id* calls them."""

    server_id: Callable[[IStorageServer], str]

    def document(self, report: MutableReport | MutableRepairReport) -> dict[str, object]:
        """Return what ``output=json`` says."""
        if isinstance(report, MutableReport):
            return self._checked(report)
        return {
            "storage-index": _index(report.before),
            "repair-attempted": report.attempted,
            "repair-successful": report.successful,
            "pre-repair-results": self._checked(report.before),
            "post-repair-results": self._checked(report.after),
        }

    def _checked(self, report: MutableReport) -> dict[str, object]:
        versions, good = report.versions, report.good
        index = _index(report)
        corrupt = [
            [self.server_id(place.server), index, place.number] for place in report.corrupt
        ]
        # Its shares are there, and too few of them are good.
        lost = int(report.best is not None and not report.recoverable)
        sharemap: dict[str, list[str]] = {}
        for place, share in versions.shares.items():
            name = f"{version_name(share.header.prefix)}-sh{place.number}"
            sharemap.setdefault(name, []).append(self.server_id(place.server))
        return {
            "storage-index": index,
            "summary": summary(report),
            "results": {
                "count-happiness": report.happiness,
                "count-shares-good": len({place.number for place in good}),
                "count-shares-needed": report.needed,
                "count-shares-expected": report.total,
                "count-good-share-hosts": len({place.server for place in good}),
                "count-corrupt-shares": len(corrupt),
                "list-corrupt-shares": corrupt,
                "servers-responding": sorted(map(self.server_id, report.servers)),
                **not_responding(map(self.server_id, versions.failed)),
                "sharemap": {name: sorted(found) for name, found in sharemap.items()},
                "count-wrong-shares": len(versions.shares) - len(good),
                "count-recoverable-versions": len(versions.recoverable) - lost,
                "count-unrecoverable-versions": len(versions.unrecoverable) + lost,
                "healthy": report.healthy,
                "recoverable": report.recoverable,
            },
        }

    def text(self, report: MutableReport | MutableRepairReport) -> str:
        """Return the same for people, in lines, of which programs look for some."""
        if isinstance(report, MutableReport):
            return self._lines(report)
        if not report.attempted:
            why = "" if report.before.healthy else ": the cap cannot change the file"
            return f"{self._lines(report.before)}\nNo repair necessary{why}"
        done = "successful" if report.successful else "unsuccessful"
        before, after = self._lines(report.before), self._lines(report.after)
        return f"Before:\n{before}\nRepair {done}\nAfter:\n{after}"

    def _lines(self, report: MutableReport) -> str:
        good, versions = len({each.number for each in report.good}), report.versions
        lines = [_health(report, good)]
        for name, found in (
            ("Recoverable", versions.recoverable),
            ("Unrecoverable", versions.unrecoverable),
        ):
            told = [f"{len(versions.of(each))}*{version_name(each)}" for each in found]
            lines += [f"{name} Versions: {', '.join(told)}"] if told else []
        servers = {place.server for place in report.good}
        lines.append(
            f"{good} of {report.total} shares are good ({report.needed} are needed), "
            f"on {len(servers)} servers"
        )
        if versions.failed:
            names = ", ".join(server.name for server in versions.failed)
            lines.append(f"No answer from: {names}")
        for title, kind, bad in (
            ("Corrupt Shares:", "corrupt", report.corrupt),
            ("Shares that were not read:", "unread", report.unread),
        ):
            lines += [title] if bad else []
            lines += [self._line(kind, place, reason) for place, reason in bad.items()]
        if not report.verified:
            lines.append("Servers were asked what they hold; verify=true reads it.")
        return "\n".join(lines)

    def _line(self, kind: str, place: Place, reason: str) -> str:
        return f"{kind}: share {place.number} on {place.server.name}: {reason}"


def _health(report: MutableReport, good: int) -> str:
    """Return the first line, of a report with *good* shares."""
    if report.healthy:
        return "Healthy : Healthy"
    if report.best is None or good == report.total:
        return f"Not Healthy! : {summary(report)}"
    shape = f"encoding is {report.needed}-of-{report.total}"
    return f"Not Healthy! : Unhealthy: best version has only {good} shares ({shape})"


def not_responding(servers: Iterable[str]) -> dict[str, list[str]]:
    """Return what a document says of servers without an answer, if there are any."""
    silent = sorted(servers)
    return {"servers-not-responding": silent} if silent else {}


def version_name(prefix: Prefix) -> str:
    """Return how stock names a version: its number and the start of its root hash."""
    return f"seq{prefix.sequence}-{base32.encode(prefix.root)[:4]}"


def summary(report: MutableReport) -> str:
    """Return the line that stock gateways give, and programs look for."""
    if report.healthy:
        return "Healthy"
    versions, faults = report.versions, []
    good = len({place.number for place in report.good})
    if len(versions.recoverable) > 1:
        faults.append("multiple versions are recoverable")
    if versions.unrecoverable:
        faults.append("some versions are unrecoverable")
    if not versions.recoverable:
        faults.append("no versions are recoverable")
    elif good < report.total:
        faults.append(f"{good} shares (enc {report.needed}-of-{report.total})")
    return f"Unhealthy: {' '.join(faults or ['shares are corrupt'])}"


def _index(report: MutableReport) -> str:
    return base32.encode(report.cap.storage_index)
