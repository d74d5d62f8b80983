"""
The properties of one file or directory.  Pure.

Source: RFC 4918, section 15; RFC 4331 for quotas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import field, frozen

from truckee.frontends.webdav.dates import http_date, iso_date
from truckee.frontends.webdav.xml_in import PropFind, dav
from truckee.frontends.webdav.xml_out import element, escaped, propstat, response

WIN32_MODIFIED = "{urn:schemas-microsoft-com:}Win32LastModifiedTime"


@frozen
class ShownLock:
    """A lock that somebody has, as clients are told of it."""

    token: str
    exclusive: bool
    deep: bool
    owner: str = field(repr=False)  # XML, or nothing
    timeout: int  # seconds that are left
    root: str  # the address of what is locked


@frozen
class Facts:
    """What is known of a file or a directory."""

    href: str  # percent-encoded; that of a directory ends with a slash
    name: str
    is_directory: bool = False
    size: int | None = None  # bytes
    tag: str | None = None
    modified: float | None = None  # Unix seconds
    created: float | None = None
    content_type: str | None = None
    dead: Mapping[str, str] = field(factory=dict, repr=False)  # XML by name
    locks: Sequence[ShownLock] = ()
    lockable: bool = False
    quota: tuple[int, int] | None = None  # bytes available and used


def _of(text: object) -> str | None:
    return None if text is None else escaped(str(text))


def _resource_type(facts: Facts) -> str:
    return element(dav("collection")) if facts.is_directory else ""


def _supported(facts: Facts) -> str:
    if not facts.lockable:
        return ""
    return "".join(
        element(
            dav("lockentry"),
            element(dav("lockscope"), element(dav(scope)))
            + element(dav("locktype"), element(dav("write"))),
        )
        for scope in ("exclusive", "shared")
    )


def active_lock(lock: ShownLock) -> str:
    """Return the element of a lock."""
    scope = "exclusive" if lock.exclusive else "shared"
    parts = (
        element(dav("locktype"), element(dav("write"))),
        element(dav("lockscope"), element(dav(scope))),
        element(dav("depth"), "infinity" if lock.deep else "0"),
        lock.owner,
        element(dav("timeout"), f"Second-{lock.timeout}"),
        element(dav("locktoken"), element(dav("href"), escaped(lock.token))),
        element(dav("lockroot"), element(dav("href"), lock.root)),
    )
    return element(dav("activelock"), "".join(parts))


def lock_discovery(locks: Sequence[ShownLock]) -> str:
    """Return the property with the locks that something has."""
    return element(dav("lockdiscovery"), "".join(map(active_lock, locks)))


# What each live property has in its element; None: this one has no such property.
_LIVE: dict[str, Callable[[Facts], str | None]] = {
    dav("resourcetype"): _resource_type,
    dav("displayname"): lambda facts: escaped(facts.name),
    dav("getcontentlength"): lambda facts: _of(facts.size),
    dav("getcontenttype"): lambda facts: _of(facts.content_type),
    dav("getetag"): lambda facts: None if facts.tag is None else escaped(f'"{facts.tag}"'),
    dav("getlastmodified"): lambda facts: (
        None if facts.modified is None else http_date(facts.modified)
    ),
    dav("creationdate"): lambda facts: (
        None if facts.created is None else iso_date(facts.created)
    ),
    dav("supportedlock"): _supported,
    dav("lockdiscovery"): lambda facts: "".join(map(active_lock, facts.locks)),
}
# Those that are told only to who asks for them by name.
_DEAR: dict[str, Callable[[Facts], str | None]] = {
    dav("quota-available-bytes"): lambda facts: facts.quota and str(facts.quota[0]),
    dav("quota-used-bytes"): lambda facts: facts.quota and str(facts.quota[1]),
    WIN32_MODIFIED: lambda facts: (
        None if facts.modified is None else http_date(facts.modified)
    ),
}
# A client sets the time of a file by these.
TIMES = (dav("getlastmodified"), dav("lastmodified"), WIN32_MODIFIED)
PROTECTED = frozenset((*_LIVE, *_DEAR)) - frozenset(TIMES)
COSTLY = frozenset(map(dav, ("getcontentlength", "getetag")))  # of a mutable file


def needs_size(asked: PropFind) -> bool:
    """Tell whether the answer has what servers are asked for about a mutable file."""
    return (asked.all and not asked.names_only) or not COSTLY.isdisjoint(asked.names)


def describe(facts: Facts, asked: PropFind) -> str:
    """Return the response about one file or directory."""
    found: list[str] = []
    missing: list[str] = []
    seen = set()
    if asked.all:
        for name, content in _LIVE.items():
            inner = content(facts)
            seen.add(name)
            if inner is not None:
                found.append(element(name, "" if asked.names_only else inner))
        for name, xml in facts.dead.items():
            seen.add(name)
            found.append(element(name) if asked.names_only else xml)
    for name in asked.names:
        if name not in seen:
            xml_found = _named(facts, name)
            (missing if xml_found is None else found).append(xml_found or element(name))
    parts = []
    if found or not missing:
        parts.append(propstat(200, found))
    if missing:
        parts.append(propstat(404, missing))
    return response(facts.href, *parts)


def _named(facts: Facts, name: str) -> str | None:
    content = _LIVE.get(name) or _DEAR.get(name)
    if content is None:
        return facts.dead.get(name)
    inner = content(facts)
    return None if inner is None else element(name, inner)
