"""
What a browser is told of a stranger's file: its type, and whether to save it.  Pure.

Types come from the table here and nowhere else, so that a name cannot say a type of its
own.  What a browser would run as a script, a style or a program of ours is plain text or
mere bytes; what is shown as a page is shown without scripts (``http/isolation.py``).

Source: ``docs/reference/web-api.md``, "Browsers"; RFC 6266 and 8187.
"""

from __future__ import annotations

import re
from urllib.parse import quote

DEFAULT = "text/plain"
PDF = "application/pdf"

_TABLE = """
application/epub+zip epub
application/gzip gz tgz svgz
application/java-archive jar
application/json json map
application/msword doc
application/octet-stream a bin bundle class com dat deb dll dmg dylib exe img iso msi o obj pyc rpm so swf wasm
application/pdf pdf
application/rtf rtf
application/vnd.android.package-archive apk
application/vnd.apple.mpegurl m3u8
application/vnd.ms-excel xls
application/vnd.ms-powerpoint ppt
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/x-7z-compressed 7z
application/x-bzip2 bz2 tbz tbz2
application/x-compress z
application/x-rar rar
application/x-sqlite3 db sqlite sqlite3
application/x-tar tar
application/x-xz txz xz
application/xhtml+xml xhtml xht
application/zip zip
application/zstd zst
audio/aac aac
audio/flac flac
audio/midi mid midi
audio/mp4 m4a m4b
audio/mpeg mp2 mp3
audio/ogg oga ogg opus
audio/wav wav
audio/webm weba
audio/x-aiff aif aiff
font/otf otf
font/ttf ttf
font/woff woff
font/woff2 woff2
image/apng apng
image/avif avif
image/bmp bmp
image/gif gif
image/heic heic
image/heif heif
image/jpeg jpe jpeg jpg
image/jxl jxl
image/png png
image/svg+xml svg
image/tiff tif tiff
image/vnd.adobe.photoshop psd
image/vnd.microsoft.icon ico
image/webp webp
message/rfc822 eml mht mhtml
text/calendar ics
text/csv csv
text/html htm html
text/markdown markdown md
text/plain bat c cc cfg conf cpp css diff go h hpp ini java js log mjs patch pl py rb rs rst sh text toml ts tsx txt xsl xslt yaml yml
text/tab-separated-values tsv
text/vcard vcf
text/vtt vtt
text/xml rss atom xml
video/3gpp 3gp
video/matroska mkv
video/mp2t m2ts mts
video/mp4 m4v mp4
video/mpeg mpeg mpg
video/ogg ogv
video/quicktime mov
video/webm webm
video/x-flv flv
video/x-ms-wmv wmv
video/x-msvideo avi
"""  # noqa: E501
_BY_SUFFIX = {
    suffix: kind
    for kind, *suffixes in map(str.split, _TABLE.strip().splitlines())
    for suffix in suffixes
}
KINDS = frozenset(_BY_SUFFIX.values()) | {DEFAULT}

# A browser that is not known to show a PDF inside a sandbox would show an empty page.
_SHOWS_PDF = 156  # the first Chromium where it was seen to
_CHROMIUM = re.compile(r" (?:Chrome|Chromium|HeadlessChrome)/([0-9]{1,5})\.")


def content_type(name: str) -> str:
    """Return the type that the name of a file suggests."""
    return known_type(name) or DEFAULT


def known_type(name: str) -> str | None:
    """Return the same; None where the name suggests none."""
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return _BY_SUFFIX.get(suffix.lower()) if stem and dot else None


def _is_played(kind: str) -> bool:
    """Tell whether a browser gives a file of this type to its player."""
    return kind.startswith(("audio/", "video/"))


def _shows(kind: str, agent: str) -> bool:
    """Tell whether the browser that calls itself *agent* shows a file in a sandbox."""
    if kind != PDF or "Mozilla/" not in agent:
        return True
    version = _CHROMIUM.search(agent)
    return version is not None and int(version[1]) >= _SHOWS_PDF


def attachment(name: str) -> str:
    """Return the Content-Disposition that has a browser save a file."""
    # Neither control characters nor paths, nor what turns the direction of a text.
    name = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in name)
    if not name:
        return "attachment"
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def shown_as(kind: str, name: str, agent: str, save: bool, player: bool) -> dict[str, str]:
    """Return the headers that tell a browser what to do with the file."""
    headers = {}
    if save or not _shows(kind, agent):
        headers["content-disposition"] = attachment(name)
    if kind == PDF:
        headers["vary"] = "User-Agent"
    elif _is_played(kind):
        # A page that a browser makes of a film is sandboxed too, and then its player asks
        # for a site of its own, without a name.
        headers["vary"] = "Sec-Fetch-Dest"
        if player:
            headers["access-control-allow-origin"] = "null"
            headers["cross-origin-resource-policy"] = "cross-origin"
    return headers
