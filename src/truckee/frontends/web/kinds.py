"""What people are shown of a child before it is opened: word, icon, preview.  Pure."""

from __future__ import annotations

from attrs import frozen

from truckee.codec.caps import DirectoryCap
from truckee.codec.children import Child
from truckee.frontends.http.content_types import KINDS, PDF, known_type


@frozen
class Kind:
    """How a child looks in a list."""

    icon: str  # a class of style.css
    words: str
    previewed: bool = False  # inside the page of its directory, as browsers can


_DIRECTORY = Kind("folder", "directory")
_UNKNOWN = Kind("unknown", "unknown")
_FILE = Kind("file", "file")
_ARCHIVE = Kind("archive", "archive")
_DOCUMENT = Kind("document", "document")
_PAGE = Kind("page", "web page")

_BY_TYPE = {
    PDF: Kind("pdf", "PDF", True),
    "text/html": _PAGE,
    "application/xhtml+xml": _PAGE,
    "message/rfc822": _DOCUMENT,
    "application/json": Kind("text", "text", True),
    "application/epub+zip": _DOCUMENT,
    "application/msword": _DOCUMENT,
    "application/rtf": _DOCUMENT,
    **dict.fromkeys(
        (
            "application/gzip",
            "application/java-archive",
            "application/x-7z-compressed",
            "application/x-bzip2",
            "application/x-compress",
            "application/x-rar",
            "application/x-tar",
            "application/x-xz",
            "application/zip",
            "application/zstd",
        ),
        _ARCHIVE,
    ),
    # Pictures that browsers do not show.
    **dict.fromkeys(
        (
            "image/heic",
            "image/heif",
            "image/jxl",
            "image/tiff",
            "image/vnd.adobe.photoshop",
        ),
        Kind("image", "picture"),
    ),
}
_BY_FAMILY = {
    "application/vnd.ms-": _DOCUMENT,
    "application/vnd.oasis": _DOCUMENT,
    "application/vnd.openxml": _DOCUMENT,
    "audio/": Kind("audio", "sound", True),
    "image/": Kind("image", "picture", True),
    "text/": Kind("text", "text", True),
    "video/": Kind("video", "video", True),
}


def kind_of(name: str, child: Child) -> Kind:
    """Return the kind of what *name* leads to."""
    if child.cap is None:
        return _UNKNOWN
    if isinstance(child.cap, DirectoryCap):
        return _DIRECTORY
    found = known_type(name)
    if found is None:
        return _FILE
    return _KINDS[found]


def _kind(content_type: str) -> Kind:
    if content_type in _BY_TYPE:
        return _BY_TYPE[content_type]
    for family, kind in _BY_FAMILY.items():
        if content_type.startswith(family):
            return kind
    return _FILE


_KINDS = {each: _kind(each) for each in KINDS}
