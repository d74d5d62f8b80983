"""The first page, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from attrs import asdict, frozen
from twisted.web.template import Flattenable, Tag, tags

from truckee.frontends.web.page import amount, foreign, moment, render_page, table
from truckee.frontends.web.problems import problems_json, problems_section
from truckee.frontends.web.upload_routes import (
    HelperSeen,
    helper_json,
    routes_json,
    tell_routes,
)
from truckee.grid.pool import ServerStatus
from truckee.immutable.cache import CacheStatus
from truckee.status.problems import Problem


@frozen
class GridStatus:
    """What is known of the grid now."""

    servers: Sequence[ServerStatus]
    introducers: Sequence[str] = ()  # a line for each
    helper: HelperSeen | None = None  # that we use
    sized: bool = False  # too few servers take files whose size is not known
    helping: int | None = None  # uploads under way in the helper that we are
    cache: CacheStatus | None = None
    problems: Sequence[Problem] = ()


def welcome_page(status: GridStatus, host: str) -> bytes:
    """Return the page; *host* is what the browser calls us."""
    return render_page(
        "truckee",
        tags.h1("truckee"),
        tags.p(
            "This gateway encrypts what you upload, spreads it over its grid, and answers "
            "with a ",
            tags.em("cap"),
            ": the one text that finds and decrypts the file. Keep it safe; whoever has it "
            "can read the file.",
        ),
        problems_section(status.problems),
        _forms(),
        _commands(foreign(host)),
        tags.p("What it is doing now: ", tags.a("status", href="status"), "."),
        _helper(status),
        tags.h2("Grid"),
        [tags.p("Introducer ", foreign(line)) for line in status.introducers],
        tags.p(
            f"{sum(server.connected for server in status.servers)} of "
            f"{len(status.servers)} storage servers can be reached."
        ),
        _servers(status.servers) if status.servers else "",
    )


def _forms() -> Flattenable:
    return [
        tags.form(
            tags.p(
                tags.label(
                    "Upload a file: ", tags.input(type="file", name="file", required="")
                ),
                " ",
                tags.button("Upload"),
            ),
            action="uri?t=upload",
            method="post",
            enctype="multipart/form-data",
        ),
        tags.p(
            "Large files or a bad line: ",
            tags.a("upload files", href="upload"),
            " and go on after a break.",
        ),
        tags.form(
            tags.p(
                tags.label("Read a file: ", tags.input(name="uri", size="40", required="")),
                " ",
                tags.button("Open"),
            ),
            action="uri",
            method="get",
        ),
    ]


def _commands(host: str) -> Tag:
    return tags.p(
        "From a shell: ",
        tags.code(f"curl -T FILE http://{host}/uri"),
        tags.br,
        "and ",
        tags.code(f"curl http://{host}/uri/CAP"),
        ".",
    )


def _helper(status: GridStatus) -> Flattenable:
    """Tell of the helper that we use, of the one that we are, and of what they change."""
    routes = tell_routes(status.helper, status.sized)
    lines: list[Flattenable] = []
    if status.helper is not None:
        lines.append(tags.p(_tell_helper(status.helper)))
    if routes:
        lines.append(tags.p(routes))
    if status.helping is not None:
        one = status.helping == 1
        lines.append(
            tags.p(
                "This node is a helper for others: ",
                tags.a(
                    f"{status.helping} upload{'' if one else 's'} under way",
                    href="helper_status",
                ),
                ".",
            )
        )
    if not lines:
        return ""
    title = "Uploads" if status.helper is None and status.helping is None else "Helper"
    return [tags.h2(title), *lines]


def _tell_helper(helper: HelperSeen) -> Flattenable:
    since = "" if helper.last_received is None else moment(helper.last_received)
    if not helper.connected:
        last = f" The last connection began {since}." if since else ""
        return [tags.strong("Not connected"), " to the helper.", last]
    how = (
        "Ciphertext is pushed to it."
        if helper.pushes
        else "It pulls ciphertext, as helpers of Tahoe-LAFS do."
    )
    version = f", which runs {foreign(helper.version)}" if helper.version else ""
    begin = f", since {since}," if since else ""
    return [tags.strong("Connected"), f"{begin} to the helper{version}. {how}"]


def _servers(servers: Sequence[ServerStatus]) -> Tag:
    rows = [
        (
            foreign(server.nickname or server.server_id),
            _state(server),
            "" if server.available_space is None else amount(server.available_space),
            foreign(server.version or ""),
        )
        for server in servers
    ]
    return table(("Server", "State", "Free space", "Version"), rows)


def _state(server: ServerStatus) -> str:
    """How people are told of a connection, and of what is not done over it."""
    if not server.connected:
        state = "not connected"
    else:
        state = "connected over HTTPS" if server.over_https else "connected"
    refusal = foreign(server.refusal)
    return f"{state}; nothing is uploaded to it: {refusal}" if refusal else state


def _connection_status(server: ServerStatus) -> str:
    """How programs are told of it, in the words of stock gateways."""
    if not server.connected:
        return "Not connected"
    return "connected" if server.over_https else "Connected"


def status_json(status: GridStatus) -> bytes:
    """Return the same as a document, in the form that Tahoe-LAFS clients know."""
    document = {
        "introducers": {"statuses": list(status.introducers)},
        "servers": [
            {
                "nodeid": server.server_id,
                "connection_status": _connection_status(server),
                "available_space": server.available_space,
                "nickname": server.nickname,
                "version": server.version,
                "last_received_data": server.last_received,
                "no_uploads": server.refusal or None,
            }
            for server in status.servers
        ],
        "truckee": {
            "helper": helper_json(status.helper),
            "next_upload": routes_json(status.helper, status.sized),
            "cache": None if status.cache is None else asdict(status.cache),
            "problems": problems_json(status.problems),
        },
    }
    return (json.dumps(document, indent=1) + "\n").encode("ascii")
