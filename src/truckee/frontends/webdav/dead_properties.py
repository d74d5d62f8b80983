"""
What a link's metadata has for WebDAV: properties that clients set.  Pure.

Source: ``docs/reference/webdav.md``, "Properties".
"""

from __future__ import annotations

from collections.abc import Mapping

from truckee.codec.link_metadata import Metadata
from truckee.frontends.webdav.xml_in import BadXml, parse_xml, printed
from truckee.tree.link_times import MAX_SIZE, ours_of, with_ours


def dead_properties(metadata: Metadata) -> dict[str, str]:
    """
    Return the properties that clients have set, as XML by name.

    Others may write metadata too: what is no element, or too much, is left out.
    """
    stored = ours_of(metadata).get("properties")
    found: dict[str, str] = {}
    size = 0
    for text in stored if isinstance(stored, list) else ():
        if not isinstance(text, str):
            continue
        size += len(text)
        if size > MAX_SIZE:
            break
        try:
            root = parse_xml(text.encode("utf-8"))
        except (BadXml, UnicodeEncodeError):
            continue
        found[root.tag] = printed(root)
    return found


def with_properties(metadata: Metadata, properties: Mapping[str, str]) -> Metadata:
    """Return *metadata* with other properties.  :raises TooManyProperties:"""
    return with_ours(metadata, properties=list(properties.values()) or None)
