"""What of a node is read for its metrics, beside its tasks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from truckee.flow.limits import Budget
from truckee.frontends.web.events import Events
from truckee.frontends.web.metrics import Reading
from truckee.frontends.web.welcome import GridStatus
from truckee.helper.server.registry import Uploads
from truckee.status.problems import Problems
from truckee.storage.directory_status import count_states
from truckee.storage.kept_shares import KeptTotals
from truckee.storage.lease_crawler import LeaseCrawler
from truckee.uploads.registry import OpenUploads


def problem_count(problems: Problems) -> Reading:
    """Return how many problems there are now."""
    text = "What is wrong with the node, as its pages tell: 0 when nothing is"
    return Reading("problems", text, lambda: len(problems))


def kept_readings(find: Callable[[], KeptTotals | None]) -> list[Reading]:
    """Return what metrics say of shares in progress; *find* may return None."""

    def read(name: str) -> int | None:
        totals = find()
        return None if totals is None else int(getattr(totals, name))

    text = "Shares in progress that are kept when their writers go, at the last look"
    return [
        Reading("storage_incomplete_shares", text, partial(read, "shares")),
        Reading("storage_incomplete_bytes", "Their bytes", partial(read, "size")),
    ]


def readings(
    status: Callable[[], GridStatus],
    budget: Budget,
    open_uploads: OpenUploads,
    events: Events,
    helping: Uploads | None,
    crawler: Callable[[], LeaseCrawler | None] | None = None,
) -> list[Reading]:
    """
    Return all of them.

    *helping* is the helper that the node is, if it is one; *crawler* returns what looks
    at the leases of the storage that it offers, once that is there; None: it offers none.
    """

    def helper_connected() -> int | None:
        helper = status().helper
        return None if helper is None else int(helper.connected)

    def directories() -> dict[str, int] | None:
        found = status().directories
        return count_states(found) if found else None

    found = [
        Reading(
            "storage_directories",
            "Storage directories of the node's own grid",
            directories,
            label="state",
        ),
        Reading(
            "open_uploads",
            "Upload handles whose uploads are not over",
            lambda: sum(not each.ended for each in open_uploads),
        ),
        Reading(
            "memory_budget_used_bytes",
            "File data in memory",
            lambda: budget.used,
        ),
        Reading(
            "memory_budget_limit_bytes",
            "File data that may be in memory",
            lambda: budget.limit,
        ),
        Reading(
            "servers_known",
            "Storage servers that were announced",
            lambda: len(status().servers),
        ),
        Reading(
            "servers_connected",
            "Storage servers that can be reached",
            lambda: sum(server.connected for server in status().servers),
        ),
        Reading(
            "helper_connected",
            "Whether the helper that is used can be reached",
            helper_connected,
        ),
        Reading(
            "event_listeners",
            "Clients that listen to /status/events",
            lambda: len(events),
        ),
    ]
    if helping is not None:
        found += [
            Reading(
                "helper_spool_used_bytes",
                "Ciphertext that this helper keeps",
                lambda: helping.used,
            ),
            Reading(
                "helper_spool_limit_bytes",
                "Ciphertext that this helper may keep",
                lambda: helping.limits.spool,
            ),
        ]
    if crawler is not None:
        found += [
            Reading(
                f"storage_{name}",
                f"{text}, in the last full look at all leases",
                partial(_counted, crawler, name),
            )
            for name, text in _LEASES.items()
        ]
    return found


_LEASES = {
    "shares": "Shares",
    "leases": "Leases",
    "expired_leases": "Leases that have expired",
    "expired_shares": "Shares all of whose leases have expired",
    "removed_shares": "Shares that were removed",
    "unreadable": "Damaged shares",
}


def _counted(find: Callable[[], LeaseCrawler | None], name: str) -> int | None:
    crawler = find()
    if crawler is None:
        return None
    state = crawler.state
    return int(getattr(state.last, name)) if state.cycles else None
