"""
Requests for ranges, on conditions or without, and what RFC 9110 has a server answer.

They are texts in which <n> is the file's size, <n-1>, <n+1> and so on what is near it,
<half> its middle; <tag> is the file's entity tag with its quotes, <bare> without, and
<stock> the one that a stock gateway gives.  ``answer`` is how ``told`` puts a reply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from tests.processes import Reply, Wire


@frozen
class Case:
    """One request and its answer: 200, 304, 412, 416, 431, or 206 and the ranges sent."""

    headers: tuple[str, ...]
    answer: str
    method: str = "GET"
    only: str = ""  # the kind of file it is about; empty: any

    def __str__(self) -> str:
        text = " | ".join((self.method, *self.headers))
        return text if len(text) < 90 else f"{text[:70]}… ({len(text)} characters)"


@frozen(eq=False)
class File:
    """A file on one server, of more than 40 bytes."""

    kind: str  # CHK or LIT
    url: str  # of the server, with a slash at its end
    path: str  # without a slash at its start
    data: bytes
    etag: str = ""  # as the server gives it
    stock_etag: str = "none"  # as a stock gateway gives it

    def fill(self, text: str) -> str:
        """Return *text* for this file."""
        size = len(self.data)
        bare = self.etag.strip('"') or "none"
        for name, value in (
            ("<tag>", f'"{bare}"'),
            ("<bare>", bare),
            ("<stock>", self.stock_etag),
            ("<half>", str(size // 2)),
        ):
            text = text.replace(name, value)
        return re.sub(r"<n([+-]\d+)?>", lambda m: str(size + int(m[1] or 0)), text)

    def ask(self, case: Case) -> Reply:
        """Return the answer to *case*, on a connection of its own, read to its end."""
        lines = [f"{case.method} /{self.path} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [self.fill(header) for header in case.headers]
        lines += ["Connection: close", "", ""]
        with Wire(self.url) as wire:
            wire.send("\r\n".join(lines).encode("latin-1"))
            status, headers = wire.head()
            return Reply(status, headers, wire.read(1 << 30))


def told(reply: Reply, file: File, method: str = "GET") -> str:
    """Return *reply* in short: its status, which ranges it has, and what is wrong in it."""
    if method == "HEAD":
        return str(reply.status)
    if reply.status != 206:
        wrong = reply.status == 200 and reply.body not in (b"", file.data)
        return f"{reply.status} with other bytes" if wrong else str(reply.status)
    ranges = []
    for content_range, data in parts_of(reply):
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", content_range)
        if match is None:
            return f"206 with a range of {content_range}"
        start, end, size = int(match[1]), int(match[2]) + 1, int(match[3])
        if size != len(file.data) or data != file.data[start:end] or not data:
            return f"206 with other bytes than {content_range}"
        ranges.append(f"{match[1]}-{match[2]}")
    return " ".join(["206", *ranges])


def parts_of(reply: Reply) -> Iterator[tuple[str, bytes]]:
    """Give the Content-Range and the bytes of each part; one that is not multipart too."""
    kind = reply.headers["content-type"]
    if not kind.startswith("multipart/byteranges"):
        yield reply.headers["content-range"], reply.body
        return
    boundary = kind.partition("boundary=")[2].strip('"').encode("ascii")
    before, *parts, after = (b"\r\n" + reply.body).split(b"\r\n--" + boundary)
    if before or after.strip() != b"--":
        raise AssertionError("the body does not begin and end with its boundary")
    for part in parts:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n"))
        yield fields[b"Content-Range"].decode("ascii"), data


def asked(values: dict[str, str], *more: str) -> list[Case]:
    """Return a case for each Range header and its answer."""
    return [Case((f"Range: {value}", *more), answer) for value, answer in values.items()]


def digits(count: int) -> str:
    """Return a number of many digits."""
    return "9" * count


ONE = asked(
    {
        "bytes=0-0": "206 0-0",
        "bytes=0-9": "206 0-9",
        "bytes=7-7": "206 7-7",
        "bytes=0-": "206 0-<n-1>",
        "bytes=1-": "206 1-<n-1>",
        "bytes=<half>-": "206 <half>-<n-1>",
        "bytes=<n-1>-": "206 <n-1>-<n-1>",
        "bytes=<n-1>-<n-1>": "206 <n-1>-<n-1>",
        "bytes=<n-10>-<n-1>": "206 <n-10>-<n-1>",
        "bytes=0-<n-1>": "206 0-<n-1>",
        "bytes=0-<n>": "206 0-<n-1>",
        "bytes=5-<n+1000>": "206 5-<n-1>",
        "bytes=-1": "206 <n-1>-<n-1>",
        "bytes=-10": "206 <n-10>-<n-1>",
        "bytes=-<n-1>": "206 1-<n-1>",
        "bytes=-<n>": "206 0-<n-1>",
        "bytes=-<n+1>": "206 0-<n-1>",
        "bytes=-<n+1000>": "206 0-<n-1>",
    }
)

NONE = asked(
    {
        "bytes=<n>-": "416",
        "bytes=<n>-<n>": "416",
        "bytes=<n+1>-": "416",
        "bytes=<n+1000>-<n+2000>": "416",
        "bytes=-0": "416",
        "bytes=-000": "416",
        "bytes=<n>-,-0": "416",
        "bytes=<n>-<n+1>,<n+5>-": "416",
    }
)

SEVERAL = asked(
    {
        "bytes=0-1,5-6": "206 0-1 5-6",
        "bytes=0-0,-1": "206 0-0 <n-1>-<n-1>",
        "bytes=0-0,<half>-<half>,-1": "206 0-0 <half>-<half> <n-1>-<n-1>",
        "bytes=30-31,20-21,10-11": "206 30-31 20-21 10-11",
        "bytes=-2,0-1": "206 <n-2>-<n-1> 0-1",
        "bytes=20-,0-4": "206 20-<n-1> 0-4",
        "bytes=0-1,3-4": "206 0-1 3-4",
        # Those that overlap or touch are one.
        "bytes=0-4,5-9": "206 0-9",
        "bytes=5-9,0-4": "206 0-9",
        "bytes=0-6,4-9": "206 0-9",
        "bytes=0-9,2-3": "206 0-9",
        "bytes=2-3,0-9": "206 0-9",
        "bytes=0-9,0-9": "206 0-9",
        "bytes=0-,0-": "206 0-<n-1>",
        "bytes=-5,-3,-1": "206 <n-5>-<n-1>",
        "bytes=0-<half>,<half>-": "206 0-<n-1>",
        "bytes=0-1,20-21,2-3": "206 0-3 20-21",
        "bytes=20-21,0-1,22-23": "206 20-23 0-1",
        "bytes=30-31,0-1,10-11,1-10": "206 30-31 0-11",
        "bytes=10-12,0-2,3-9": "206 0-12",
        # Of those that are beyond the end nothing is said.
        "bytes=0-1,<n>-": "206 0-1",
        "bytes=<n>-,0-1": "206 0-1",
        "bytes=<n+5>-<n+9>,0-1,-0,5-6": "206 0-1 5-6",
        "bytes=-0,-1": "206 <n-1>-<n-1>",
    }
)

SPELLING = asked(
    {
        "BYTES=0-9": "206 0-9",
        "Bytes=0-1,5-6": "206 0-1 5-6",
        "bytes=0000-0009": "206 0-9",
        "bytes=-0001": "206 <n-1>-<n-1>",
        "   bytes=0-9": "206 0-9",
        "\tbytes=0-9\t ": "206 0-9",
        "bytes= 0-9": "206 0-9",
        "bytes=0-1, 5-6": "206 0-1 5-6",
        "bytes=0-1 ,\t5-6": "206 0-1 5-6",
        "bytes=0-1,,5-6": "206 0-1 5-6",
        "bytes=,0-1": "206 0-1",
        "bytes=0-1,": "206 0-1",
        "bytes=, ,\t, 0-1 , ,": "206 0-1",
        f"bytes={'0' * 100}-9": "206 0-9",
    }
)

IGNORED = asked(
    {
        "": "200",
        "bytes": "200",
        "bytes=": "200",
        "bytes=,": "200",
        "bytes=, ,": "200",
        "bytes=-": "200",
        "bytes=--1": "200",
        "bytes=--": "200",
        "bytes=-1-": "200",
        "bytes=-1-2": "200",
        "bytes=0": "200",
        "bytes=5-4": "200",
        "bytes=<n+5>-<n+4>": "200",
        "bytes=0-1,5-4": "200",
        "bytes=0-1,x": "200",
        "bytes=0-1;5-6": "200",
        "bytes=0-1 5-6": "200",
        "bytes=abc": "200",
        "bytes=a-b": "200",
        "bytes=0x0-0x9": "200",
        "bytes=+0-9": "200",
        "bytes=0-+9": "200",
        "bytes=1e1-": "200",
        "bytes=0.0-9": "200",
        "bytes=1_0-": "200",
        "bytes=0 - 9": "200",
        "bytes=0- 9": "200",
        "bytes=- 9": "200",
        "bytes =0-9": "200",
        "bytes:0-9": "200",
        "bytes 0-9": "200",
        "bytes 0-9/<n>": "200",
        "bytes=0-9/<n>": "200",
        "bytes==0-9": "200",
        "bytes=bytes=0-9": "200",
        "=0-9": "200",
        "0-9": "200",
        "items=0-1": "200",
        "seconds=0-1": "200",
        "byte=0-1": "200",
        "none": "200",
        "*": "200",
        "bytes=*": "200",
        'bytes="0-9"': "200",
        "bytes=\xb2-\xb3": "200",  # digits, for str.isdigit
        "b\xffytes=0-9": "200",
        "bytes=0-9\xff": "200",
        "bytes=%30-9": "200",
        "bytes=0\x00-9": "400",
    }
)

HUGE = asked(
    {
        f"bytes=0-{digits(100)}": "206 0-<n-1>",
        f"bytes=-{digits(100)}": "206 0-<n-1>",
        f"bytes={digits(100)}-": "416",
        f"bytes={digits(100)}-{digits(100)}": "416",
        f"bytes={digits(100)}-{digits(99)}": "200",
        f"bytes=0-{digits(5000)}": "206 0-<n-1>",
        f"bytes={digits(5000)}-": "416",
        f"bytes=-{digits(5000)}": "206 0-<n-1>",
        f"bytes={digits(5000)}-{digits(4999)}": "200",
        f"bytes=5-{'0' * 5000}": "200",
        f"bytes={2**63}-": "416",
        f"bytes={2**64}-": "416",
        f"bytes=0-{2**64}": "206 0-<n-1>",
        f"bytes=-{2**64 - 1}": "206 0-<n-1>",
        "bytes=" + "," * 10_000: "200",
        "bytes=" + "," * 10_000 + "0-1": "206 0-1",
        "bytes=" + "-" * 10_000: "200",
        "bytes=" + "0" * 10_000: "200",
        "bytes=" + " " * 10_000 + "x": "200",
        "bytes=" + "0-," * 3_000: "206 0-<n-1>",
        "bytes=" + "0-0,-1," * 1_000: "206 0-0 <n-1>-<n-1>",
        "bytes=" + ",".join(f"0-{i}" for i in range(40)): "206 0-39",
        "bytes=" + "x" * 65_536: "431",
        "bytes=" + ",".join(f"{i}-{i}" for i in range(0, 20_000, 2)): "431",
    }
)

# The length of a file in its cap does not suffice for these.
MANY = [
    Case((f"Range: bytes={spec}",), answer, only="CHK")
    for spec, answer in (
        (
            ",".join(f"{i}000-{i}000" for i in range(1, 33)),
            " ".join(["206", *(f"{i}000-{i}000" for i in range(1, 33))]),
        ),
        (
            ",".join(f"{i}000-{i}000" for i in range(32, 0, -1)),
            " ".join(["206", *(f"{i}000-{i}000" for i in range(32, 0, -1))]),
        ),
        (",".join(f"{i}000-{i}000" for i in range(1, 34)), "200"),
        (",".join(f"{i}000-{i}000" for i in range(1, 500)), "200"),
        # More than are sent one by one, but near each other.
        (",".join(f"{i}-{i}" for i in range(0, 66, 2)), "206 0-64"),
        (",".join(f"{i}-{i}" for i in range(0, 2000, 2)), "206 0-1998"),
        (
            ",".join(f"{i}0-{i}0" for i in reversed(range(40))) + ",-1",
            "206 0-390 <n-1>-<n-1>",
        ),
        (",".join(f"{i}-{i}" for i in range(0, 66 * 81, 81)), "206 0-5265"),
        (",".join(f"{i}-{i}" for i in range(0, 66 * 82, 82)), "200"),
    )
]

LINES = [
    Case(("Range: bytes=0-1", "Range: bytes=5-6"), "200"),
    Case(("Range: bytes=0-1", "Range: bytes=0-1"), "200"),
    Case(("Range: bytes=0-1", "Range: 5-6"), "206 0-1 5-6"),
    Case(("Range: bytes=0-1", "Range:"), "206 0-1"),
    Case(("range: bytes=0-1",), "206 0-1"),
    Case(("RANGE:bytes=0-1",), "206 0-1"),
    Case(("Range : bytes=0-1",), "400"),
]

IF_RANGE = [
    *(
        Case(("Range: bytes=0-1", f"If-Range: {value}"), answer)
        for value, answer in (
            ("<tag>", "206 0-1"),
            ("  <tag>\t", "206 0-1"),
            ("W/<tag>", "200"),
            ("<bare>", "200"),
            ("<stock>", "200"),
            ('"<stock>"', "200"),
            ('"other"', "200"),
            ('""', "200"),
            ("*", "200"),
            ("", "200"),
            ('<tag>, "other"', "200"),
            ("<tag>, <tag>", "200"),
            ("Wed, 21 Oct 2015 07:28:00 GMT", "200"),
            ("Fri, 31 Dec 9999 23:59:59 GMT", "200"),
            ("Wednesday, 21-Oct-15 07:28:00 GMT", "200"),
            ("nonsense", "200"),
            ("\xff", "200"),
        )
    ),
    Case(("If-Range: <tag>",), "200"),
    Case(('If-Range: "other"',), "200"),
    Case(("Range: bytes=0-1,5-6", "If-Range: <tag>"), "206 0-1 5-6"),
    Case(("Range: bytes=<n>-", "If-Range: <tag>"), "416"),
    Case(("Range: bytes=<n>-", 'If-Range: "other"'), "200"),
    Case(("Range: bytes=0-1", "If-Range: <tag>", "If-Range: <tag>"), "200"),
]

IF_NONE_MATCH = [
    *(
        Case((f"If-None-Match: {value}",), answer)
        for value, answer in (
            ("<tag>", "304"),
            ("W/<tag>", "304"),
            ("<bare>", "304"),
            ("*", "304"),
            (" * ", "304"),
            ('"other", <tag>', "304"),
            ('"other",<tag>,W/"third"', "304"),
            ("other <bare>", "304"),
            (', ,"other",, <tag>', "304"),
            ('"*"', "200"),
            ('"other", *', "200"),
            ('"other"', "200"),
            ('W/"other"', "200"),
            ('"<bare>x"', "200"),
            ('"x<bare>"', "200"),
            ('"x,<bare>,y"', "200"),
            ('"x <bare> y"', "200"),
            ("", "200"),
            (",", "200"),
            ('""', "200"),
            ('"', "200"),
            ("\xff", "200"),
            ('"' * 9_001, "200"),
            ('"x",' * 3_000, "200"),
            ('"x",' * 3_000 + "<tag>", "304"),
        )
    ),
    Case(("If-None-Match: <stock>",), "304", only="CHK"),
    Case(('If-None-Match: "<stock>"',), "304", only="CHK"),
    Case(('If-None-Match: "other"', "If-None-Match: <tag>"), "304"),
    Case(("If-None-Match: <tag>", "Range: bytes=0-1"), "304"),
    Case(("If-None-Match: <tag>", "Range: bytes=<n>-"), "304"),
    Case(('If-None-Match: "other"', "Range: bytes=0-1"), "206 0-1"),
    Case(('If-None-Match: "other"', "Range: bytes=<n>-"), "416"),
    Case(("If-None-Match: <tag>", "Range: bytes=0-1", "If-Range: <tag>"), "304"),
]

IF_MATCH = [
    *(
        Case((f"If-Match: {value}",), answer)
        for value, answer in (
            ("<tag>", "200"),
            ("*", "200"),
            ('"other", <tag>', "200"),
            ('W/"other",<tag>', "200"),
            ("W/<tag>", "412"),
            ("w/<tag>", "412"),
            ("<bare>", "412"),
            ('"<stock>"', "412"),
            ('"other"', "412"),
            ('"other", W/<tag>', "412"),
            ('"*"', "412"),
            ('"other", *', "412"),
            ('""', "412"),
            ("", "412"),
            ("\xff", "412"),
        )
    ),
    Case(('If-Match: "other"', "If-Match: <tag>"), "200"),
    Case(("If-Match: <tag>", "Range: bytes=0-1"), "206 0-1"),
    Case(('If-Match: "other"', "Range: bytes=0-1"), "412"),
    Case(('If-Match: "other"', "Range: bytes=<n>-"), "412"),
    Case(("If-Match: <tag>", "If-None-Match: <tag>"), "304"),
    Case(('If-Match: "other"', "If-None-Match: <tag>"), "412"),
    Case(("If-Match: <tag>", 'If-None-Match: "other"'), "200"),
]

# There is no Last-Modified to compare them with.
DATES = [
    Case((f"{name}: {date}", *more), answer)
    for name in ("If-Modified-Since", "If-Unmodified-Since")
    for date in ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "x")
    for more, answer in (((), "200"), (("Range: bytes=0-1",), "206 0-1"))
] + [
    Case(("If-Modified-Since: x", "If-None-Match: <tag>"), "304"),
    Case(("If-Unmodified-Since: x", "If-Match: <tag>"), "200"),
]

# Range is for GET.
HEAD = [
    Case(headers, answer, "HEAD")
    for headers, answer in (
        ((), "200"),
        (("Range: bytes=0-1",), "200"),
        (("Range: bytes=0-1,5-6",), "200"),
        (("Range: bytes=<n>-",), "200"),
        (("Range: nonsense",), "200"),
        (("Range: bytes=0-1", "If-Range: <tag>"), "200"),
        (("If-None-Match: <tag>",), "304"),
        (("If-None-Match: *",), "304"),
        (('If-None-Match: "other"',), "200"),
        (("If-Match: <tag>",), "200"),
        (('If-Match: "other"',), "412"),
        (("If-Match: <tag>", "If-None-Match: <tag>"), "304"),
    )
]

CASES = [
    Case((), "200"),
    *ONE,
    *NONE,
    *SEVERAL,
    *SPELLING,
    *IGNORED,
    *HUGE,
    *MANY,
    *LINES,
    *IF_RANGE,
    *IF_NONE_MATCH,
    *IF_MATCH,
    *DATES,
    *HEAD,
]
