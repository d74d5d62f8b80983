"""
XML of answers, as text.  Pure.

Source: RFC 4918, sections 14 and 16.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from urllib.parse import quote

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'
START = f'{HEAD}<D:multistatus xmlns:D="DAV:">\n'
END = "</D:multistatus>\n"
XML = 'application/xml; charset="utf-8"'

# What no XML 1.0 document can have, however it is written.
_NO_TEXT = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PLAIN = "~!$'()*,;:@=+-._"  # what stands in a path as it is, and in XML too


def escaped(text: str) -> str:
    """Return *text* as it stands in an element or an attribute."""
    text = _NO_TEXT.sub("\ufffd", text)
    for plain, entity in (("&", "amp"), ("<", "lt"), (">", "gt"), ('"', "quot")):
        text = text.replace(plain, f"&{entity};")
    return text


def path_of(names: Iterable[str]) -> str:
    """Return names as a path, which begins with no slash and ends with none."""
    return "/".join(quote(name, safe=_PLAIN) for name in names)


def element(name: str, content: str = "") -> str:
    """Return the element of a property, whose *content* is XML."""
    namespace, local = split(name)
    if namespace == "DAV:":
        start = end = f"D:{local}"
    elif namespace:
        start, end = f'x:{local} xmlns:x="{escaped(namespace)}"', f"x:{local}"
    else:
        start = end = local
    return f"<{start}>{content}</{end}>" if content else f"<{start}/>"


def split(name: str) -> tuple[str, str]:
    """Return the namespace of a name, or nothing, and what it is called there."""
    if not name.startswith("{"):
        return "", name
    namespace, _, local = name[1:].rpartition("}")
    return namespace, local


def propstat(status: int, elements: Sequence[str], more: str = "") -> str:
    """Return what became of some properties; *more* says why."""
    prop = f"<D:prop>{''.join(elements)}</D:prop>" if elements else "<D:prop/>"
    return f"<D:propstat>{prop}{status_line(status)}{more}</D:propstat>\n"


def response(href: str, *parts: str) -> str:
    """Return what is said of one address; *href* is percent-encoded."""
    return f"<D:response><D:href>{href}</D:href>{''.join(parts)}</D:response>\n"


def status_line(status: int) -> str:
    """Return the line of a status."""
    return f"<D:status>HTTP/1.1 {status} {HTTPStatus(status).phrase}</D:status>"


def error(condition: str, hrefs: Sequence[str] = ()) -> str:
    """Return the element that names the *condition* which was not met."""
    inner = "".join(f"<D:href>{href}</D:href>" for href in hrefs)
    return f"<D:error>{element('{DAV:}' + condition, inner)}</D:error>"


def error_document(condition: str, hrefs: Sequence[str] = ()) -> bytes:
    """Return the body of an error."""
    text = error(condition, hrefs).replace("<D:error>", '<D:error xmlns:D="DAV:">')
    return f"{HEAD}{text}\n".encode()
