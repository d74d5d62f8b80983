"""The first page, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from attrs import frozen

from truckee.grid.pool import ServerStatus


@frozen
class GridStatus:
    """What is known of the grid now."""

    servers: Sequence[ServerStatus]
    introducers: Sequence[str] = ()  # a line for each


_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>truckee</title>
<style>
body {{ font: 1em/1.5 sans-serif; max-width: 44em; margin: 3em auto; padding: 0 1em }}
code {{ background: #eee; padding: .1em .3em }}
table {{ border-collapse: collapse }}
td, th {{ text-align: left; padding: .1em 1em .1em 0 }}
</style>
<h1>truckee</h1>
<p>This gateway encrypts what you upload, spreads it over its grid, and answers with a
<em>cap</em>: the one text that finds and decrypts the file. Keep it safe; whoever has it
can read the file.</p>
<form action="uri?t=upload" method="post" enctype="multipart/form-data">
<p><label>Upload a file: <input type="file" name="file" required></label>
<button>Upload</button></p>
</form>
<form action="uri" method="get">
<p><label>Read a file: <input name="uri" size="40" required></label>
<button>Open</button></p>
</form>
<p>From a shell: <code>curl -T FILE http://{host}/uri</code><br>
and <code>curl http://{host}/uri/CAP</code>.</p>
<h2>Grid</h2>
{introducers}<p>{connected} of {known} storage servers can be reached.</p>
<table>
<tr><th>Server<th>State<th>Free space<th>Version</tr>
{rows}</table>
</html>
"""


def welcome_page(status: GridStatus, host: str) -> bytes:
    """Return the page; *host* is what the browser calls us."""
    return _PAGE.format(
        host=escape(host[:200]),
        introducers="".join(
            f"<p>Introducer {escape(line)}</p>\n" for line in status.introducers
        ),
        connected=sum(server.connected for server in status.servers),
        known=len(status.servers),
        rows="".join(map(_row, status.servers)),
    ).encode("utf-8")


def _row(server: ServerStatus) -> str:
    cells = (
        server.nickname or server.server_id,
        _state(server),
        "" if server.available_space is None else f"{server.available_space / 1e9:.1f} GB",
        server.version or "",
    )
    return "<tr>" + "".join(f"<td>{escape(cell[:100])}" for cell in cells) + "</tr>\n"


def _state(server: ServerStatus) -> str:
    """How people are told of a connection."""
    if not server.connected:
        return "not connected"
    return "connected over HTTPS" if server.over_https else "connected"


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
            }
            for server in status.servers
        ],
    }
    return (json.dumps(document, indent=1) + "\n").encode("ascii")
