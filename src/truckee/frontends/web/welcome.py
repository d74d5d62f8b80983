"""The first page, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from attrs import asdict, frozen
from twisted.web.template import Flattenable, Tag, tags

from truckee.frontends.web.frame import ALONE, Frame, Health
from truckee.frontends.web.page import empty, render_page, section
from truckee.frontends.web.problems import MOST_TEXT, problems_json, problems_section
from truckee.frontends.web.tables import table
from truckee.frontends.web.upload_routes import (
    HelperSeen,
    helper_json,
    routes_json,
    tell_routes,
)
from truckee.frontends.web.uploader import uploader, uploader_scripts
from truckee.frontends.web.words import counted, exact, foreign, moment
from truckee.grid.pool import ServerStatus
from truckee.immutable.download.cache import CacheStatus
from truckee.status.problems import Problem
from truckee.storage.directory_status import DirectoryStatus


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
    directories: Sequence[DirectoryStatus] = ()  # of a grid of its own


def health_of(status: GridStatus, stores: bool) -> Health:
    """Return the same in short; *stores*: the node is a storage server for others."""
    return Health(
        sum(map(_is_fine, status.servers)),
        len(status.servers),
        len(status.problems),
        stores,
        status.helping is not None,
        _is_own(status.servers),
    )


def _is_own(servers: Sequence[ServerStatus]) -> bool:
    """Tell whether the grid is the node's own: nothing but its directories."""
    return bool(servers) and all(server.local for server in servers)


def _is_fine(server: ServerStatus) -> bool:
    """Tell whether a server can be reached, or a directory of our own takes shares."""
    return server.connected and not (server.local and server.refusal)


def welcome_page(status: GridStatus, address: str, frame: Frame = ALONE) -> bytes:
    """Return the page; *address* is where clients find us, with a slash at its end."""
    return render_page(
        "truckee",
        tags.h1("Files"),
        tags.p(
            "What you upload is encrypted here before it leaves, and spread over the grid. "
            "It is answered with a ",
            tags.em("cap"),
            ": the one text that finds and decrypts the file. Keep it safe; whoever has it "
            "can read the file.",
            class_="lead",
        ),
        problems_section(status.problems),
        section("Upload", uploader(frame.root)),
        section("Open a file or a directory", _reader(frame.root)),
        section("New directory", _maker(frame.root)),
        section("Grid", _grid(status), name="grid"),
        _helper(status, frame.root),
        section("From a shell", _commands(foreign(address))),
        frame=frame,
        here="",
        head=uploader_scripts(frame.root),
    )


def _reader(root: str) -> Flattenable:
    return tags.form(
        tags.label("Its cap", for_="cap"),
        tags.div(
            tags.input(
                name="uri",
                id="cap",
                required="",
                autocomplete="off",
                autocapitalize="off",
                spellcheck="false",
                placeholder="URI:CHK:...",
            ),
            tags.button("Open"),
            class_="row",
        ),
        action=f"{root}uri",
        method="get",
    )


def _maker(root: str) -> Flattenable:
    return tags.form(
        tags.p(
            "A directory gives names to files and to other directories. Its page opens at "
            "an address with its cap: keep that address."
        ),
        tags.button("Make a directory"),
        action=f"{root}uri?t=mkdir&redirect_to_result=true",
        method="post",
    )


def _grid(status: GridStatus) -> Flattenable:
    servers = status.servers
    lines: list[Flattenable] = [
        tags.p("Introducer ", foreign(line, 300)) for line in status.introducers
    ]
    if not servers:
        what = (
            "Servers come by themselves once the introducer answers."
            if status.introducers
            else "Name an introducer in private/introducers.yaml, or servers in "
            "private/servers.yaml, and start this gateway again."
        )
        none = "No storage server is known yet, so nothing can be stored. "
        return [*lines, empty(none, what)]
    reached = sum(server.connected for server in servers)
    own = _is_own(servers)
    what = "storage directory" if own else "storage server"
    count = counted(len(servers), what)
    are = ("is" if len(servers) == 1 else "are") + " there" if own else "can be reached"
    lines.append(tags.p(f"{reached} of {count} {are}.{_less(servers) if own else ''}"))
    return [*lines, _servers(servers, what)]


def _less(servers: Sequence[ServerStatus]) -> str:
    """Return a sentence on the directories that are there and take no shares."""
    count = sum(server.connected and bool(server.refusal) for server in servers)
    if not count:
        return ""
    return f" {count} of them {'takes' if count == 1 else 'take'} no more shares."


def _commands(address: str) -> Tag:
    return tags.pre(
        tags.code(f"curl -T FILE {address}uri"),
        tags.code(f"curl -o FILE {address}uri/CAP"),
    )


def _helper(status: GridStatus, root: str) -> Flattenable:
    """Tell of the helper that we use, of the one that we are, and of what they change."""
    routes = tell_routes(status.helper, status.sized)
    lines: list[Flattenable] = []
    if status.helper is not None:
        lines.append(tags.p(_tell_helper(status.helper)))
    if routes:
        lines.append(tags.p(routes))
    if status.helping is not None:
        count = f"{counted(status.helping, 'upload')} under way"
        lines.append(
            tags.p(
                "This node is a helper for others: ",
                tags.a(count, href=f"{root}helper_status"),
                ".",
            )
        )
    if not lines:
        return ""
    none = status.helper is None and status.helping is None
    return section("Way of uploads" if none else "Helper", *lines)


def _tell_helper(helper: HelperSeen) -> Flattenable:
    since = None if helper.last_received is None else moment(helper.last_received)
    if not helper.connected:
        last = [" The last connection began ", since, "."] if since else ""
        return [tags.strong("Not connected"), " to the helper.", last]
    how = (
        "Ciphertext is pushed to it."
        if helper.pushes
        else "It pulls ciphertext, as helpers of Tahoe-LAFS do."
    )
    version = f", which runs {foreign(helper.version)}" if helper.version else ""
    begin = [", since ", since, ","] if since else ""
    return [tags.strong("Connected"), begin, f" to the helper{version}. {how}"]


def _servers(servers: Sequence[ServerStatus], what: str) -> Tag:
    rows = [
        (
            foreign(server.nickname or server.server_id),
            _state(server),
            "" if server.available_space is None else exact(server.available_space),
            foreign(server.version or ""),
        )
        for server in servers
    ]
    heads = (what.capitalize(), "State", "Free space", "Version")
    return table(heads, rows, "The grid")


def _state(server: ServerStatus) -> Flattenable:
    """How people see a connection, and what is not done over it."""
    if server.local:
        return _directory_state(server)
    if not server.connected:
        state = tags.span("not connected", class_="bad")
    else:
        text = "connected over HTTPS" if server.over_https else "connected"
        state = tags.span(text, class_="good")
    refusal = foreign(server.refusal, MOST_TEXT)
    return [state, f"; nothing is uploaded to it: {refusal}"] if refusal else state


def _directory_state(server: ServerStatus) -> Tag:
    """How people see a storage directory of our own."""
    if not server.connected:
        return tags.span(server.refusal or "missing", class_="bad")
    if server.refusal or server.available_space == 0:
        return tags.span(server.refusal or "takes nothing more", class_="fair")
    return tags.span("ready", class_="good")


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
            "storage_directories": [
                {
                    "name": each.name,
                    "id": each.identity,
                    "state": each.state,
                    "size": each.size,
                    "free": each.free,
                }
                for each in status.directories
            ],
        },
    }
    return (json.dumps(document, indent=1) + "\n").encode("ascii")
