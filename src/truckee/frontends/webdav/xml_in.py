"""
XML of requests: parsed in bounds, without DTDs.  Pure.

Names of elements are written as ``xml.etree`` writes them: {namespace}name, or name alone
where there is no namespace.

Source: RFC 4918, sections 14 and 17.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, TreeBuilder, tostring

from attrs import define, field, frozen
from defusedxml.ElementTree import DefusedXMLParser

from truckee.errors import Misuse

# A client that asks for twenty properties sends one or two kilobytes.
MAX_BODY = 128 << 10  # bytes
MAX_DEPTH = 64  # elements inside each other
MAX_ELEMENTS = 4096

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


@define
class BadXml(Misuse):
    """The body is not XML that is understood here: {reason}."""

    reason: str


def dav(name: str) -> str:
    """Return a name in the namespace of WebDAV."""
    return f"{{DAV:}}{name}"


class _Bounded(TreeBuilder):
    """Builds the tree, and counts what is built."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._elements = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH:
            raise BadXml(f"more than {MAX_DEPTH} elements are inside each other")
        if self._elements > MAX_ELEMENTS:
            raise BadXml(f"it has more than {MAX_ELEMENTS} elements")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)


def parse_xml(body: bytes) -> Element:
    """Return the root of a document.  :raises BadXml:"""
    if len(body) > MAX_BODY:
        raise BadXml(f"it has more than {MAX_BODY} bytes")
    parser = DefusedXMLParser(target=_Bounded(), forbid_dtd=True)
    try:
        parser.feed(body)
        root = parser.close()
    except BadXml:
        raise
    except (SyntaxError, ValueError, LookupError):
        # Its own words may repeat what was sent.
        raise BadXml(
            "it is not well-formed, or has a DTD, which nothing here needs"
        ) from None
    if not isinstance(root, Element):
        raise BadXml("it has no element")
    return root


@frozen
class PropFind:
    """What a PROPFIND asks for."""

    names: tuple[str, ...] = ()  # of properties, beside those of ``all``
    all: bool = False  # what is there, but for what is dear
    names_only: bool = False  # and not what it is


def parse_propfind(body: bytes) -> PropFind:
    """Return what a PROPFIND asks for; without a body, all.  :raises BadXml:"""
    if not body:
        return PropFind(all=True)
    root = _root(body, "propfind")
    kinds = [each for each in root if each.tag in map(dav, ("allprop", "propname", "prop"))]
    if len(kinds) != 1:
        raise BadXml("propfind has one of allprop, propname and prop")
    [kind] = kinds
    if kind.tag == dav("prop"):
        return PropFind(_names(kind))
    more = root.find(dav("include"))
    names = () if more is None else _names(more)
    return PropFind(names, all=True, names_only=kind.tag == dav("propname"))


def _names(parent: Element) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.tag for each in parent))


@frozen
class PropertyChange:
    """One property that is set or, without an *element*, removed."""

    name: str
    element: str | None = None  # as XML

    @property
    def text(self) -> str:
        """What stands in the element, if that is text alone."""
        return "" if self.element is None else (parse_xml(self.element.encode()).text or "")


def parse_proppatch(body: bytes) -> list[PropertyChange]:
    """Return what a PROPPATCH changes, in its order.  :raises BadXml:"""
    root = _root(body, "propertyupdate")
    found = list(_changes(root))
    if not found:
        raise BadXml("propertyupdate sets nothing and removes nothing")
    return found


def _changes(root: Element) -> Iterator[PropertyChange]:
    for action in root:
        if action.tag not in (dav("set"), dav("remove")):
            continue
        for prop in action.iterfind(dav("prop")):
            language = next(
                (
                    each.attrib[_LANGUAGE]
                    for each in (prop, action, root)
                    if _LANGUAGE in each.attrib
                ),
                None,
            )
            for element in prop:
                if action.tag == dav("remove"):
                    yield PropertyChange(element.tag)
                    continue
                if language is not None:
                    element.attrib.setdefault(_LANGUAGE, language)
                yield PropertyChange(element.tag, printed(element))


@frozen
class LockInfo:
    """What a LOCK asks for."""

    exclusive: bool
    owner: str = field(default="", repr=False)  # what the client says of itself, as XML


def parse_lockinfo(body: bytes) -> LockInfo:
    """Return what a LOCK asks for.  :raises BadXml:"""
    root = _root(body, "lockinfo")
    scope, kind = root.find(dav("lockscope")), root.find(dav("locktype"))
    if scope is None or kind is None or kind.find(dav("write")) is None:
        raise BadXml("lockinfo needs lockscope, and locktype with write")
    exclusive = scope.find(dav("exclusive")) is not None
    if not exclusive and scope.find(dav("shared")) is None:
        raise BadXml("lockscope is exclusive or shared")
    owner = root.find(dav("owner"))
    return LockInfo(exclusive, "" if owner is None else printed(owner))


def printed(element: Element) -> str:
    """Return an element as XML, without what stands behind it."""
    element.tail = None
    return tostring(element, encoding="unicode")


def _root(body: bytes, name: str) -> Element:
    root = parse_xml(body)
    if root.tag != dav(name):
        raise BadXml(f"its root is not {name} of the namespace DAV:")
    return root
