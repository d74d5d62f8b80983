"""
PROPPATCH: properties in the metadata of links, so that they go with the directory.

Source: RFC 4918, section 9.2; ``docs/reference/webdav.md``, "Properties".
"""

from __future__ import annotations

from collections.abc import Sequence

from truckee.codec.link_metadata import Metadata
from truckee.frontends.webdav.asked import Asked
from truckee.frontends.webdav.dates import parse_time
from truckee.frontends.webdav.dead_properties import dead_properties, with_properties
from truckee.frontends.webdav.emptied import shown_link
from truckee.frontends.webdav.finding import HEADERS
from truckee.frontends.webdav.guard import Guard, Touched
from truckee.frontends.webdav.places import writable_place
from truckee.frontends.webdav.properties import PROTECTED, TIMES
from truckee.frontends.webdav.way import Way
from truckee.frontends.webdav.xml_in import PropertyChange, parse_proppatch
from truckee.frontends.webdav.xml_out import END, START, element, error, propstat, response
from truckee.net.http.respond import Answer
from truckee.tree.link_changes import metadata_change
from truckee.tree.link_times import TooManyProperties, with_modified
from truckee.tree.paths import NoSuchChild


async def proppatch(asked: Asked, body: bytes) -> Answer:
    """Change properties, all of them or none.  :raises BadXml: :raises NoSuchChild:"""
    changes = parse_proppatch(body)
    names = list(dict.fromkeys(each.name for each in changes))
    if not asked.names:
        root = await asked.way()
        await Guard(asked).check(root, Touched(root))
        # There is no link that has them.
        return _answer(asked.href((), True), dict.fromkeys(names, 403))
    way = await writable_place(asked)
    if not way.exists:
        raise NoSuchChild(way.name)
    await Guard(asked).check(way, Touched(way))
    href = asked.href(way.names, way.directory is not None)
    refused = {each.name: status for each in changes if (status := _refusal(each))}
    if not refused:
        try:
            await _change(asked, way, changes)
        except TooManyProperties:
            refused = {names[0]: 507}
    if refused:
        return _answer(href, {name: refused.get(name, 424) for name in names})
    return _answer(href, dict.fromkeys(names, 200))


def _refusal(change: PropertyChange) -> int | None:
    """Return the status of what cannot be; None: it can."""
    if change.name in PROTECTED:
        return 403
    if change.name in TIMES and change.element is not None:
        return None if parse_time(change.text) is not None else 409
    return None


async def _change(asked: Asked, way: Way, changes: Sequence[PropertyChange]) -> None:
    link = await shown_link(asked, way)
    assert link is not None
    child = link.child

    def edit(metadata: Metadata) -> Metadata:
        dead = dead_properties(metadata)
        for each in changes:
            if each.name in TIMES:
                said = None if each.element is None else parse_time(each.text)
                metadata = with_modified(metadata, child, said)
            elif each.element is None:
                dead.pop(each.name, None)
            else:
                dead[each.name] = each.element
        return with_properties(metadata, dead)

    await asked.dav.directories.change(way.parent.cap, metadata_change(way.name, edit))


def _answer(href: str, statuses: dict[str, int]) -> Answer:
    parts = []
    for status in sorted(set(statuses.values())):
        elements = [element(name) for name, each in statuses.items() if each == status]
        more = error("cannot-modify-protected-property") if status == 403 else ""
        parts.append(propstat(status, elements, more))
    text = START + response(href, *parts) + END
    return Answer(text.encode(), 207, HEADERS)
