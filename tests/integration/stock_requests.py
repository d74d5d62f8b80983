"""Requests to the web API of a gateway, as clients of stock's make them, and others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection, HTTPException
from urllib.parse import quote, urljoin, urlsplit

from attrs import frozen

from tests.integration.stock_commands import normal

_FORM = "multipart/form-data; boundary=B"
_FIELDS = "application/x-www-form-urlencoded"
_CHILDREN = json.dumps(
    {"k": ["filenode", {"ro_uri": "URI:LIT:nbswy3dp", "metadata": {"m": 1}}]}
).encode()
BROKEN = 0  # instead of a status: what came is no answer


@frozen
class Request:
    """One request; {name} in its path is a cap that an answer before had."""

    method: str
    path: str
    body: bytes | tuple[str, bytes] | None = None  # with its Content-Type
    keep: str = ""  # the name of the cap in the answer
    ours: int = 0  # the status that our gateway has instead of stock's
    why: str = ""

    def is_right(self, stock: int, ours: int) -> bool:
        """Tell whether *ours* is the right status where stock has *stock*."""
        if self.ours:
            return ours == self.ours != stock
        if stock in (BROKEN, 500, 501):
            return 200 <= ours < 500  # stock's gateway has not foreseen it
        return ours == stock


def _form(*fields: str) -> tuple[str, bytes]:
    """Return a form of fields NAME=VALUE; NAME@FILENAME=VALUE is a file."""
    parts = []
    for each in fields:
        name, _, value = each.partition("=")
        name, at, filename = name.partition("@")
        more = f'; filename="{filename}"' if at else ""
        head = f'Content-Disposition: form-data; name="{name}"{more}'
        parts.append(f"--B\r\n{head}\r\n\r\n{value}\r\n")
    return _FORM, "".join([*parts, "--B--\r\n"]).encode()


def _fields(text: bytes) -> tuple[str, bytes]:
    return _FIELDS, text


@frozen
class Seen:
    """What an answer said of itself."""

    status: int
    leads: str = ""  # where a redirect leads, without what is another one each time


def seen(url: str, requests: Sequence[Request]) -> Iterator[Seen]:
    """Give what is seen of each answer of the gateway at *url*."""
    kept: dict[str, str] = {}
    address = urlsplit(url)
    assert address.hostname is not None
    for each in requests:
        connection = HTTPConnection(address.hostname, address.port, timeout=120)
        path = each.path.format(**kept)
        headers = {"Accept": "text/plain", "Connection": "close"}
        body = each.body
        if isinstance(body, tuple):
            headers["Content-Type"], body = body
        if body is None and each.method in ("PUT", "POST"):
            body = b""
        try:
            connection.request(each.method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (HTTPException, OSError):
            yield Seen(BROKEN)
            continue
        finally:
            connection.close()
        if each.keep:
            kept[each.keep] = quote(text.decode("ascii"), safe="")
        where = urljoin(url + path[1:], answer.getheader("location", ""))
        yield Seen(answer.status, normal(where) if "when_done" in str(each) else "")


REQUESTS = (
    Request("POST", "/uri?t=mkdir", keep="d"),
    Request("PUT", "/uri/{d}/small", b"hello"),
    Request(
        "PUT",
        "/uri/{d}/big",
        b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        keep="big",
    ),
    Request("PUT", "/uri?format=sdmf", b"mutable", keep="sdmf"),
    Request("PUT", "/uri?format=MDMF", b"mutable", keep="mdmf"),
    Request("PUT", "/uri/{d}/m?format=SDMF", b"mm"),
    Request("PUT", "/uri/{d}/m?format=CHK", b"nn"),
    Request("PUT", "/uri/{d}/a/b/c/deep", b"deep"),
    Request("PUT", "/uri?t=mkdir"),
    Request("POST", "/uri?t=mkdir&format=chk"),
    Request("POST", "/uri?t=mkdir&format=mdmf"),
    Request(
        "POST",
        "/uri?t=mkdir",
        _fields(b"t=mkdir"),
        ours=200,
        why="a form of any type is one",
    ),
    Request("POST", "/uri", _form("t=mkdir")),
    Request(
        "POST",
        "/uri?t=mkdir",
        b"junk",
        ours=200,
        why="a body that is no form has no fields",
    ),
    Request("POST", "/uri?t=mkdir-with-children", _CHILDREN),
    Request("POST", "/uri?t=mkdir-with-children"),
    Request("POST", "/uri?t=mkdir-immutable", _CHILDREN),
    Request("POST", "/uri?t=mkdir-immutable"),
    Request("POST", "/uri?t=mkdir-with-children", b"{bad"),
    Request("POST", "/uri?t=mkdir&redirect_to_result=true"),
    Request("POST", "/uri?t=mkdir-with-children&redirect_to_result=true", _CHILDREN),
    Request("POST", "/uri?t=mkdir-immutable&redirect_to_result=true", _CHILDREN),
    Request("POST", "/uri?t=upload", _form("file@n=data")),
    Request("POST", "/uri", _form("file@n=data", "t=upload")),
    Request("POST", "/uri?t=upload&when_done=/x%3Fu=%25(uri)s", _form("file@n=data")),
    Request("POST", "/uri", _form("t=upload", "when_done=http://a/%(uri)s", "file@n=data")),
    Request("POST", "/uri?t=upload&when_done=", _form("file@n=data")),
    Request("POST", "/uri?t=upload&when_done=there", _form("file@n=data")),
    Request("POST", "/uri?t=upload&format=sdmf&when_done=/w", _form("file@n=data")),
    Request("POST", "/uri?t=mkdir&when_done=/w"),
    Request("POST", "/uri?t=upload&format=sdmf", _form("file@n=data")),
    Request("POST", "/uri", _form("t=upload", "format=mdmf", "file@n=data")),
    Request("POST", "/uri?t=upload", _form("other=x")),
    Request("GET", "/uri?uri={big}"),
    Request("GET", "/uri?uri={big}&t=json&x=y"),
    Request("GET", "/uri?uri=junk"),
    Request("GET", "/uri"),
    Request("GET", "/uri?uri={d}"),
    Request("GET", "/uri/?uri={d}"),
    Request("PUT", "/uri?t=nothing", b"x"),
    Request("POST", "/uri?t=nothing"),
    Request("PUT", "/uri?format=nothing", b"x"),
    Request("DELETE", "/uri"),
    Request("PUT", "/uri?mutable=maybe", b"x"),
    Request("GET", "/cap/{big}"),
    Request("GET", "/cap?uri={big}"),
    Request("HEAD", "/uri/{big}"),
    Request("HEAD", "/uri/{d}/big"),
    Request("HEAD", "/uri/{sdmf}"),
    Request("HEAD", "/uri/{big}?t=json", ours=200, why="HEAD is GET without the body"),
    Request("GET", "/file/{big}"),
    Request("GET", "/named/{big}/x/y/name.txt"),
    Request("GET", "/file/{big}/@@named=/n.txt"),
    Request("GET", "/file"),
    Request("GET", "/file/{d}"),
    Request("GET", "/file/{sdmf}/n"),
    Request("PUT", "/file/{sdmf}/n", b"x", ours=405, why="405 says what is taken"),
    Request("POST", "/file/{big}/n?t=check", ours=405, why="405 says what is taken"),
    Request("GET", "/file/{big}?t=json"),
    Request("GET", "/named/{big}/n?t=uri"),
    Request("GET", "/file/{big}?t=info"),
    Request("GET", "/uri/{big}?t=info"),
    Request("GET", "/uri/{sdmf}?t=info"),
    Request("GET", "/uri/{big}?t=json"),
    Request("GET", "/uri/{big}?t=uri"),
    Request("GET", "/uri/{big}?t=readonly-uri"),
    Request("GET", "/uri/{sdmf}?t=json"),
    Request("GET", "/uri/{sdmf}?t=uri"),
    Request("GET", "/uri/{sdmf}?t=readonly-uri"),
    Request("GET", "/uri/{mdmf}?t=json"),
    Request("GET", "/uri/{mdmf}?t=readonly-uri"),
    Request("GET", "/uri/{big}?t=nothing"),
    Request("GET", "/uri/{d}/big?t=uri"),
    Request("GET", "/uri/{d}/m?t=readonly-uri"),
    Request("GET", "/uri/{d}/m?t=json"),
    Request("GET", "/uri/{d}/big?t=info"),
    Request("GET", "/uri/{d}/a?t=info"),
    Request("GET", "/uri/{d}/a?t=uri"),
    Request("GET", "/uri/{d}/a?t=readonly-uri"),
    Request("GET", "/uri/{d}/a/?t=json"),
    Request("GET", "/uri/{d}/a/b?t=json"),
    Request("GET", "/uri/{d}/big?save=true"),
    Request("GET", "/uri/{big}?save=true&filename=x"),
    Request("PUT", "/uri/{sdmf}", b"again"),
    Request("PUT", "/uri/{sdmf}?offset=2", b"XX"),
    Request("PUT", "/uri/{sdmf}?offset=-1", b"XX"),
    Request("PUT", "/uri/{sdmf}?offset=x", b"XX"),
    Request(
        "PUT",
        "/uri/{sdmf}?offset=100",
        b"XX",
        ours=400,
        why="no hole is written behind the end",
    ),
    Request("GET", "/uri/{sdmf}"),
    Request("PUT", "/uri/{big}", b"x"),
    Request("PUT", "/uri/{d}/big?offset=1", b"x"),
    Request("PUT", "/uri/{d}/m?offset=1", b"ZZ"),
    Request("GET", "/uri/{d}/m"),
    Request("PUT", "/uri/{d}", b"x"),
    Request("PUT", "/uri/{d}/", b"x"),
    Request("PUT", "/uri/{d}/a", b"x"),
    Request("PUT", "/uri/{d}/a/", b"x"),
    Request("PUT", "/uri/{d}/big?replace=false", b"x"),
    Request("PUT", "/uri/{d}/big?replace=only-files", b"x"),
    Request("PUT", "/uri/{d}/a?replace=only-files", b"x"),
    Request("PUT", "/uri/{d}/new1?replace=false", b"x"),
    Request("PUT", "/uri/{d}/big?replace=maybe", b"x"),
    Request("PUT", "/uri/{d}/l?t=uri", b"URI:LIT:nbswy3dp"),
    Request("PUT", "/uri/{d}/l?t=uri", b"URI:LIT:nbswy3dp\n"),
    Request("PUT", "/uri/{d}/l?t=uri&replace=false", b"URI:LIT:nbswy3do"),
    Request("PUT", "/uri/{d}/a?t=uri&replace=only-files", b"URI:LIT:nbswy3dp"),
    Request("PUT", "/uri/{d}/u?t=uri", b"lafs://x"),
    Request("PUT", "/uri/{d}/u?t=uri", b"ro.lafs://x"),
    Request("PUT", "/uri/{d}/u2?t=uri", b"imm.lafs://x"),
    Request("PUT", "/uri/{d}/u3?t=uri"),
    Request("GET", "/uri/{d}/u?t=json"),
    Request("GET", "/uri/{d}/u2?t=json"),
    Request("GET", "/uri/{d}/u3?t=json"),
    Request("GET", "/uri/{d}/u"),
    Request("GET", "/uri/{d}/u?t=info"),
    Request("PUT", "/uri/{d}/u", b"x"),
    Request("DELETE", "/uri/{d}/u2"),
    Request("POST", "/uri/{d}?t=unlink&name=u3"),
    Request("DELETE", "/uri/{d}/l"),
    Request("DELETE", "/uri/{d}/l"),
    Request("DELETE", "/uri/{d}"),
    Request("DELETE", "/uri/{big}"),
    Request("DELETE", "/uri/{sdmf}"),
    Request("POST", "/uri/{d}/big?t=upload", _form("file@n=post")),
    Request("POST", "/uri/{d}/m?t=upload", _form("file@n=post")),
    Request("POST", "/uri/{d}/big?t=upload&replace=false", _form("file@n=post2")),
    Request("POST", "/uri/{sdmf}?t=upload", _form("file@n=post")),
    Request("POST", "/uri/{sdmf}?t=upload&when_done=/there", _form("file@n=post")),
    Request("POST", "/uri/{d}/big?t=upload", _form("file@n=post", "when_done=/there")),
    Request("POST", "/uri/{d}/nothere?t=upload", _form("file@n=post")),
    Request("GET", "/uri/{d}/"),
    Request("GET", "/uri/{d}?t=nothing"),
    Request("HEAD", "/uri/{d}/"),
    Request("HEAD", "/uri/{d}?t=json"),
    Request("HEAD", "/uri/{d}/a?t=uri"),
    Request("GET", "/uri/{d}?t=rename-form&name=big"),
    Request("GET", "/uri/{d}?t=rename-form", ours=400, why="a name is needed"),
    Request("GET", "/uri/{d}?t=info"),
    Request("PUT", "/uri/{d}/mk?t=mkdir"),
    Request("PUT", "/uri/{d}/mk?t=mkdir"),
    Request("POST", "/uri/{d}/mk/x/y?t=mkdir"),
    Request("POST", "/uri/{d}/big?t=mkdir"),
    Request("POST", "/uri/{d}/mk2?t=mkdir&format=mdmf"),
    Request("POST", "/uri/{d}/mk3?t=mkdir&format=bad"),
    Request(
        "POST",
        "/uri/{d}/mk4?t=mkdir&format=chk",
        ours=400,
        why="a directory is SDMF or MDMF",
    ),
    Request("PUT", "/uri/{d}?t=mkdir"),
    Request("POST", "/uri/{d}?t=mkdir"),
    Request("POST", "/uri/{d}/a?t=mkdir-p&path=/p/q"),
    Request("POST", "/uri/{d}?t=mkdir&name=n1"),
    Request("POST", "/uri/{d}?t=mkdir&name=n1&replace=false"),
    Request(
        "POST",
        "/uri/{d}?t=mkdir&name=n1&replace=only-files",
        ours=409,
        why="409 as with replace=false",
    ),
    Request("POST", "/uri/{d}?t=mkdir&name=n1"),
    Request("POST", "/uri/{d}", _form("t=mkdir", "name=n2", "when_done=.")),
    Request("POST", "/uri/{d}?t=mkdir&name=n3&when_done=/w"),
    Request(
        "POST",
        "/uri/{d}?t=mkdir&name=x/y",
        ours=400,
        why="a name in an argument has no slash",
    ),
    Request("POST", "/uri/{d}/wc?t=mkdir-with-children", _CHILDREN),
    Request("POST", "/uri/{d}/wc?t=mkdir-with-children", _CHILDREN),
    Request("POST", "/uri/{d}/wi?t=mkdir-immutable", _CHILDREN),
    Request("POST", "/uri/{d}?t=mkdir-with-children&name=wn", _CHILDREN),
    Request("POST", "/uri/{d}?t=mkdir-with-children&name=wn", _CHILDREN),
    Request("POST", "/uri/{d}?t=mkdir-immutable&name=wm", _CHILDREN),
    Request(
        "POST",
        "/uri/{d}/big?t=mkdir-with-children",
        _CHILDREN,
        ours=409,
        why="409 as for all that is taken",
    ),
    Request("POST", "/uri/{d}/far/away?t=mkdir-with-children", _CHILDREN),
    Request(
        "POST",
        "/uri/{d}?t=mkdir-with-children",
        _CHILDREN,
        ours=400,
        why="a name is needed",
    ),
    Request("POST", "/uri/{d}?t=upload", _form("file@up=data")),
    Request("POST", "/uri/{d}?t=upload&name=upn", _form("file@up=data")),
    Request(
        "POST",
        "/uri/{d}?t=upload",
        _form("file@up=data", "name=upm"),
        ours=400,
        why="the file streams, so its name stands before it",
    ),
    Request("POST", "/uri/{d}?t=upload", _form("name=upq", "file@up=data")),
    Request("POST", "/uri/{d}?t=upload&replace=false", _form("file@up=data2")),
    Request("POST", "/uri/{d}?t=upload&name=s/l", _form("file@up=data2")),
    Request("POST", "/uri/{d}?t=upload&when_done=/w", _form("file@up3=data")),
    Request("POST", "/uri/{d}?t=upload&format=sdmf", _form("file@up4=data")),
    Request("POST", "/uri/{d}?t=upload", _form("file=nofilename")),
    Request("POST", "/uri/{d}/a?t=upload", _form("file@ina=data")),
    Request("POST", "/uri/{d}?t=upload", _form("other=x")),
    Request("POST", "/uri/{d}?t=uri&name=lk&uri=URI%3ALIT%3Anbswy3dp"),
    Request("POST", "/uri/{d}?t=uri&name=lk&uri=URI%3ALIT%3Anbswy3dp&replace=false"),
    Request("POST", "/uri/{d}", _form("t=uri", "name=lk2", "uri=URI:LIT:nbswy3dp")),
    Request("POST", "/uri/{d}?t=uri&name=lk3"),
    Request("POST", "/uri/{d}?t=uri&uri=URI%3ALIT%3A"),
    Request("POST", "/uri/{d}?t=uri&name=lk4&uri=URI%3ALIT%3Anbswy3dp&when_done=/w"),
    Request("POST", "/uri/{d}?t=unlink&name=lk"),
    Request("POST", "/uri/{d}?t=unlink&name=lk"),
    Request("POST", "/uri/{d}?t=delete&name=lk2"),
    Request("POST", "/uri/{d}?t=unlink"),
    Request("POST", "/uri/{d}?t=rename&from_name=lk4&to_name=lk5&when_done=/w"),
    Request("POST", "/uri/{d}?t=relink&from_name=lk5&to_name=lk4&when_done=/w"),
    Request("POST", "/uri/{d}?t=unlink&name=lk4&when_done=/w"),
    Request("POST", "/uri/{d}?t=unlink&name=lk4&when_done=/w"),
    Request("POST", "/uri/{d}/when?t=mkdir&when_done=/w"),
    Request("POST", "/uri/{d}/when?t=mkdir&when_done=/w"),
    Request("PUT", "/uri/{d}/when?t=mkdir&when_done=/w"),
    Request("POST", "/uri/{d}?t=mkdir-with-children&name=w1&when_done=.", _CHILDREN),
    Request("POST", "/uri/{d}/w2?t=mkdir-immutable&when_done=/w", _CHILDREN),
    Request("POST", "/uri/{d}/w2?t=mkdir-immutable&when_done=/w", _CHILDREN),
    Request("POST", "/uri/{d}?t=set_children&when_done=/w", _CHILDREN),
    Request("POST", "/uri/{d}?t=check&when_done=/w"),
    Request("POST", "/uri/{d}", _form("t=check", "when_done=/w")),
    Request("PUT", "/uri/{d}/when_put?when_done=/w", b"data"),
    Request("POST", "/uri/{d}?t=rename&from_name=small&to_name=small2"),
    Request("POST", "/uri/{d}?t=rename&from_name=none&to_name=small2"),
    Request("POST", "/uri/{d}?t=rename&from_name=small2"),
    Request("POST", "/uri/{d}?t=rename&from_name=small2&to_name=x&to_dir={d}"),
    Request("POST", "/uri/{d}?t=rename&from_name=small2&to_name=big&replace=false"),
    Request("POST", "/uri/{d}?t=rename&from_name=small2&to_name=a&replace=only-files"),
    Request("POST", "/uri/{d}?t=rename&from_name=small2&to_name=x/y"),
    Request("POST", "/uri/{d}?t=rename&to_name=y"),
    Request("POST", "/uri/{d}?t=rename&from_name=small2&to_name=small2"),
    Request("POST", "/uri/{d}?t=relink&from_name=small2&to_dir={d}/a"),
    Request("POST", "/uri/{d}/a?t=relink&from_name=small2&to_dir={d}&to_name=small"),
    Request("POST", "/uri/{d}?t=relink&from_name=small&to_dir={d}/none"),
    Request("POST", "/uri/{d}?t=relink&from_name=small&to_dir={d}/big"),
    Request("POST", "/uri/{d}?t=relink&from_name=none&to_dir={d}/a"),
    Request("POST", "/uri/{d}?t=relink&from_name=small&to_dir={d}/a/"),
    Request("POST", "/uri/{d}?t=relink&from_name=small&to_dir={d}/a&to_name=x/y"),
    Request("POST", "/uri/{d}?t=relink&from_name=none"),
    Request("POST", "/uri/{d}?t=relink&from_name=small&to_dir=junk"),
    Request("POST", "/uri/{d}?t=set_children", _CHILDREN),
    Request("POST", "/uri/{d}?t=set-children", _CHILDREN),
    Request("POST", "/uri/{d}?t=set_children&replace=false", _CHILDREN),
    Request(
        "POST",
        "/uri/{d}?t=set_children&overwrite=false",
        _CHILDREN,
        ours=409,
        why="it is documented, and counts here",
    ),
    Request("POST", "/uri/{d}?t=set_children", b"bad"),
    Request("POST", "/uri/{d}/sc?t=set_children", _CHILDREN),
    Request("POST", "/uri/{d}?t=nothing"),
    Request("PUT", "/uri/{d}/x?t=nothing", ours=400, why="the argument is wrong"),
    Request("POST", "/uri/{d}"),
    Request("PUT", "/uri/{d}//x", b"x"),
    Request("GET", "/uri/{d}//big"),
    Request("GET", "/uri/{d}/%FF"),
    Request(
        "PUT",
        "/uri/{d}/x%2Fy",
        b"slash",
        ours=201,
        why="a quoted slash is part of the name",
    ),
    Request("GET", "/uri/{d}/x%2Fy"),
    Request("GET", "/uri/{d}/e%CC%81?t=json"),
    Request("POST", "/uri/{big}?t=check"),
    Request("POST", "/uri/{big}?t=check&output=json"),
    Request(
        "POST", "/uri/{big}?t=check&output=JSON&verify=true&repair=true&add-lease=true"
    ),
    Request("POST", "/uri/{d}/m?t=check&output=JSON"),
    Request("POST", "/uri/{d}?t=check&output=JSON"),
    Request("POST", "/uri/{d}/small?t=check&output=JSON"),
    Request("POST", "/uri/{big}?t=check&output=maybe"),
    Request("POST", "/uri/{d}/none?t=check"),
    Request(
        "POST",
        "/uri/{d}/u?t=check&output=JSON",
        ours=200,
        why="it was replaced by the PUT before",
    ),
    Request("POST", "/uri/{big}?t=check&return_to=/r"),
    Request(
        "POST",
        "/uri/{big}",
        _form("t=check"),
        ours=400,
        why="t=check stands behind the question mark",
    ),
    Request("POST", "/uri/{d}", _fields(b"t=check&output=JSON")),
    Request("POST", "/uri/{big}?t=stream-manifest"),
    Request("POST", "/uri/{d}?t=start-manifest"),
    Request("POST", "/uri/{d}?t=start-manifest&ophandle=aaaaaaaaaaaaaaaaaaaaaaaaaa"),
    Request("POST", "/uri/{d}/a?t=start-deep-stats&ophandle=baaaaaaaaaaaaaaaaaaaaaaaaa"),
    Request("GET", "/operations/nosuchhandle"),
    Request("GET", "/uri/lafs%3Ax"),
    Request("GET", "/uri/lafs%3Ax?t=json"),
    Request("PUT", "/uri/lafs%3Ax", b"x"),
    Request("POST", "/uri/lafs%3Ax"),
    Request("DELETE", "/uri/lafs%3Ax"),
    Request("GET", "/nothing"),
    Request("GET", "/uri/{d}?t=json"),
)
