"""Every command of stock's ``tahoe`` that speaks to a gateway, in the order it is typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from tests.integration.stock_commands import Row


class _Otherwise(TypedDict):
    why: str
    ours: Sequence[tuple[str, str]]


# What our gateway answers otherwise, and why.
_FORESEEN = "stock's gateway has not foreseen it and fails within"
_500 = "500 Internal Server Error"
_READ_ONLY: _Otherwise = {"why": _FORESEEN, "ours": [(_500, "403 Forbidden")]}
_FORBIDDEN: _Otherwise = {
    "why": "403 says that somebody else can do it",
    "ours": [("400 Bad Request", "403 Forbidden")],
}
_BARE: _Otherwise = {"why": _FORESEEN, "ours": [(_500, "400 Bad Request")]}
_SAME_KEY: _Otherwise = {"why": _FORESEEN, "ours": [(_500, "409 Conflict")]}
_STATUS: _Otherwise = {
    "why": "the public status names no file, and says how each task ended",
    "ours": [("INDEX", ""), ("Finished", "done"), ("idle", "done")],
}
_CRASH = (
    "Traceback\nhttp.client.BadStatusLine: <html><head><title>Processing Failed</title>"
    "</head><body><b>Processing Failed</b></body></html>"
)


def _no_crash(where: str, *more: tuple[str, str]) -> _Otherwise:
    """Stock's gateway sends what is no answer; ours says no, which *where* is told."""
    return {
        "why": _FORESEEN,
        "ours": [(_CRASH, f'"{where}: 403 Forbidden\nPROSE'), *more],
    }


_SEQUENCE: _Otherwise = {
    "why": "a repair that makes missing shares writes no new version",
    "ours": [("seq6", "seq5")],
}
_SHAPE: _Otherwise = {
    "why": "where nothing is found, k and N are those of new files and not 3 and 10",
    "ours": [
        ("encoding is 3-of-10", "encoding is 2-of-3"),
        ('"count-shares-expected": 10', '"count-shares-expected": 3'),
        ('"count-shares-needed": 3', '"count-shares-needed": 2'),
    ],
}
_NEW_KEYS: _Otherwise = {
    "why": "what is stored again has a new key, unless upload.default-key is CHK",
    "ours": [
        ("0 directories created (4 reused)", "3 directories created (1 reused)"),
    ],
}
_NONSENSE: _Otherwise = {
    "why": "a cap of a known kind that was not copied whole is called so",
    "ours": [
        ("exit 0\n\n", "exit 144\n"),
        (
            "\nThis listing included unknown objects. Using a webapi server that supports"
            "\na later version of Tahoe may help.",
            '"Error during GET: 400 Bad Request\nPROSE',
        ),
    ],
}

STATUS: Sequence[Row] = (
    Row("status"),
    Row("put big", keep="chk"),
    Row("get {chk}"),
    Row("status", **_STATUS),
)

ALIASES: Sequence[Row] = (
    Row("create-alias a"),
    Row("create-alias a"),
    Row("create-alias b:"),
    Row("list-aliases"),
    Row("list-aliases --json"),
    Row("list-aliases --readonly-uri"),
    Row("mkdir", keep="made"),
    Row("add-alias c {made}"),
    Row("add-alias c {made}"),
    Row("add-alias d not-a-cap"),
    Row("ls a:"),
    Row("ls c:"),
    Row("ls nobody:"),
    Row("ls"),
)

MKDIR: Sequence[Row] = (
    Row("mkdir --format=SDMF"),
    Row("mkdir --format=mdmf"),
    Row("mkdir --format=chk"),
    Row("mkdir a:"),
    Row("mkdir a:dir", keep="dir"),
    Row("mkdir a:dir"),
    Row("mkdir a:way/to/it"),
    Row("mkdir --format=MDMF a:mdmf", keep="mdmf"),
    Row("mkdir a:caf\u00e9"),
    Row("mkdir nobody:x"),
    Row("ls a:"),
)

PUT: Sequence[Row] = (
    Row("put small", keep="literal"),
    Row("put", b"from the input, and more than fits into a cap of a literal file"),
    Row("put -", b"from the input"),
    Row("put small a:small"),
    Row("put big a:big"),
    Row("put other a:big"),
    Row("put big a:new/way/big"),
    Row("put - a:dir/typed", b"typed" * 20),
    Row("put --mutable big", keep="sdmf"),
    Row("put --format=SDMF big"),
    Row("put --format=MDMF big", keep="mdmf_file"),
    Row("put --format=CHK big"),
    Row("put --format=nothing big"),
    Row("put --mutable small a:mutable", keep="mutable"),
    Row("put other a:mutable"),
    Row("put --format=MDMF small a:mdmf/file"),
    Row("put other {sdmf}"),
    Row("put small {mdmf_file}"),
    Row("put --mutable --private-key-path=key.pem small", keep="keyed"),
    Row("put --mutable --private-key-path=key.pem small a:keyed", **_SAME_KEY),
    Row("put --private-key-path=key.pem small"),
    Row("put small a:"),
    Row("put small a:/small"),
    Row("put small a:dir"),
    Row("put small a:dir/"),
    Row("put small a:small/below"),
    Row("put small a:small/far/below"),
    Row("put small nobody:x"),
    Row("put missing a:x"),
    Row("put empty a:empty"),
    Row("ls --json a:"),
)

GET: Sequence[Row] = (
    Row("get a:small"),
    Row("get a:big"),
    Row("get a:mutable"),
    Row("get a:mdmf/file"),
    Row("get a:dir/typed"),
    Row("get a:empty"),
    Row("get {literal}"),
    Row("get {chk}"),
    Row("get {sdmf}"),
    Row("get {mdmf_file}"),
    Row("get {dir}/typed"),
    Row("get {dir}:./typed"),
    Row("get a:big got"),
    Row("cat got"),
    Row("get a:missing"),
    Row("get a:missing/below"),
    Row("get a:small/below"),
    Row("get a:big/"),
    Row("get nobody:x"),
    Row("get URI:CHK:nonsense"),
    Row("get URI:SSK:nonsense"),
    Row("get a:big missing-directory/got"),
)

LS: Sequence[Row] = (
    Row("ls a:"),
    Row("ls a:/"),
    Row("ls a:dir"),
    Row("ls a:dir/"),
    Row("ls -l a:"),
    Row("ls -l a:dir"),
    Row("ls --classify a:"),
    Row("ls --uri a:"),
    Row("ls --readonly-uri a:"),
    Row("ls -l --uri --readonly-uri --classify a:"),
    Row("ls --json a:dir"),
    Row("ls --json a:big"),
    Row("ls --json a:mutable"),
    Row("ls --json a:mdmf"),
    Row("ls --json a:mdmf/file"),
    Row("ls -l a:big"),
    Row("ls -l a:small"),
    Row("ls -l a:mutable"),
    Row("ls {dir}"),
    Row("ls {chk}"),
    Row("ls --json {literal}"),
    Row("ls --json {chk}"),
    Row("ls --json {sdmf}"),
    Row("ls --json {mdmf_file}"),
    Row("ls a:missing"),
    Row("ls a:missing/below"),
    Row("ls a:small/below"),
    Row("ls URI:DIR2:nonsense", **_NONSENSE),
    Row("ls future:cap"),
    Row("ls URI:NEW:cap"),
    Row("ls --json URI:NEW:cap"),
)

LINKS: Sequence[Row] = (
    Row("ln a:small a:linked"),
    Row("ln a:big b:", **_BARE),
    Row("ln a:dir b:dir"),
    Row("ln a:mutable b:mutable"),
    Row("ln {chk} b:by-cap"),
    Row("ln a:small a:dir/"),
    Row("ln a:small a:new/path/small"),
    Row("ln a:small a:linked"),
    Row("ln a:small a:dir"),
    Row("ln a:missing a:x"),
    Row("ln a:small a:big/x"),
    Row("ln a:small nobody:x"),
    Row("ln nobody:x a:small"),
    Row("mv a:linked a:moved"),
    Row("mv a:moved a:dir/"),
    Row("mv a:dir/moved b:", **_BARE),
    Row("mv b:moved b:moved"),
    Row("put small b:moved"),
    Row("mv b:moved b:again"),
    Row("mv b:again b:dir"),
    Row("mv b:missing b:x"),
    Row("mv b:dir b:other-dir"),
    Row("mv b:again b:by-cap"),
    Row("mv b:by-cap b:big/below"),
    Row("ls --json b:"),
    Row("unlink b:by-cap"),
    Row("unlink b:by-cap"),
    Row("unlink b:other-dir"),
    Row("unlink b:missing/below"),
    Row("unlink a:small/below"),
    Row("unlink a:"),
    Row("unlink nobody:x"),
    Row("ls a:"),
    Row("ls b:"),
    Row("ls a:dir"),
)

CHECK: Sequence[Row] = (
    Row("check a:"),
    Row("check a:big"),
    Row("check a:small"),
    Row("check a:mutable"),
    Row("check a:dir a:big"),
    Row("check a:mdmf/file"),
    Row("check {chk} {sdmf} {mdmf} {literal}"),
    Row("check --verify a:"),
    Row("check --verify a:big"),
    Row("check --verify a:mutable"),
    Row("check --raw a:big"),
    Row("check --raw a:mutable"),
    Row("check --raw a:small"),
    Row("check --raw a:dir"),
    Row("check --raw --verify a:big"),
    Row("check --raw --verify {mdmf_file}"),
    Row("check --add-lease a:big"),
    Row("check --add-lease a:dir"),
    Row("check --repair a:big"),
    Row("check --raw --repair a:big"),
    Row("check --raw --repair a:mutable"),
    Row("check --raw --repair a:small"),
    Row("check a:missing"),
    Row("check a:small/below"),
    Row("check nobody:"),
    Row("check URI:nonsense"),
)

DEEP: Sequence[Row] = (
    Row("deep-check a:"),
    Row("deep-check --verbose a:"),
    Row("deep-check --verify a:way"),
    Row("deep-check --verify --verbose a:"),
    Row("deep-check --raw a:"),
    Row("deep-check --add-lease a:way"),
    Row("deep-check --repair --verbose a:"),
    Row("deep-check --raw --repair a:way"),
    Row("deep-check a:missing"),
    Row("deep-check a:small"),
    Row("deep-check nobody:"),
    Row("deep-check {dir}"),
    Row("manifest a:"),
    Row("manifest --storage-index a:"),
    Row("manifest --verify-cap a:"),
    Row("manifest --repair-cap a:"),
    Row("manifest --raw a:"),
    Row("manifest a:missing"),
    Row("manifest a:small"),
    Row("manifest nobody:"),
    Row("manifest {mdmf}"),
    Row("stats a:"),
    Row("stats --raw a:"),
    Row("stats a:way"),
    Row("stats a:missing"),
    Row("stats a:small"),
    Row("stats nobody:"),
)

COPY: Sequence[Row] = (
    Row("cp small a:copied"),
    Row("cp big a:copied"),
    Row("cp small a:mutable"),
    Row("ls --readonly-uri a:mutable", keep="reader"),
    Row("ln {reader} a:reader"),
    Row("cp big a:reader", **_FORBIDDEN),
    Row("put big a:reader", **_FORBIDDEN),
    Row("cp big a:missing/reader"),
    Row("get a:reader"),
    Row("unlink a:reader"),
    Row("get a:mutable"),
    Row("cp small big b:"),
    Row("cp small big b:dir/"),
    Row("cp small big a:dir"),
    Row("cp small big a:several"),
    Row("cp small big a:several-more/"),
    Row("cp a:big got"),
    Row("cp a:big nothing"),
    Row("cp a:big a:small nothing/"),
    Row("cat nothing"),
    Row("cp a:big b:from-a"),
    Row("cp a:big a:mutable b:"),
    Row("cp {chk} b:by-cap"),
    Row("cp {chk} got-by-cap"),
    Row("cp {chk} b:"),
    Row("cp -r t a:"),
    Row("cp -r t a:"),
    Row("cp -r t a:tree"),
    Row("cp -r t/sub t/a.txt a:parts"),
    Row("cp --recursive --verbose t/sub/deep a:verbose"),
    Row("cp -r a:t b:new"),
    Row("cp -r a:t b:"),
    Row("cp -r a:t/sub a:t/a.txt got-tree"),
    Row("cp -r a:t got-t"),
    Row("cat got-tree got-t"),
    Row("cp -r --caps-only a:t/sub caps"),
    Row("cat caps"),
    Row("cp --caps-only a:big cap"),
    Row("cat cap"),
    Row("cp t a:dir"),
    Row("cp a:t b:dir"),
    Row("cp -r t a:small"),
    Row("cp small big a:small"),
    Row("cp small a:small/below"),
    Row("cp missing a:x"),
    Row("cp a:missing got-missing"),
    Row("cp a:missing/below got-missing"),
    Row("cp small nobody:x"),
    Row("cp nobody:x got-x"),
    Row("cp small"),
    Row("ls --json a:"),
    Row("ls --json a:several"),
    Row("ls --json a:tree"),
    Row("ls --json a:parts"),
    Row("ls --json b:"),
    Row("ls --json b:new"),
    Row("ls --json b:new/t"),
)

BACKUP: Sequence[Row] = (
    Row("backup t a:kept"),
    Row("backup t a:kept"),
    Row("backup --verbose t a:kept"),
    Row("ls a:kept"),
    Row("ls --json a:kept/Latest"),
    Row("ls --json a:kept/Latest/sub"),
    Row("get a:kept/Latest/sub/deep/c.txt"),
    Row("write t/sub/b.txt changed"),
    Row("backup t a:kept"),
    Row("backup --ignore-timestamps t a:kept", **_NEW_KEYS),
    Row("get a:kept/Latest/sub/b.txt"),
    Row("backup --verbose --exclude-vcs --exclude=*.tmp v a:kept-v"),
    Row("ls a:kept-v/Latest"),
    Row("backup t a:small"),
    Row("backup missing a:kept"),
    Row("backup t nobody:"),
    Row("cp -r a:kept/Latest restored"),
    Row("cat restored"),
    Row("put small a:kept/Latest/x", **_READ_ONLY),
)

READ_ONLY: Sequence[Row] = (
    Row("list-aliases --readonly-uri", keep="read"),
    Row("add-alias r {read}"),
    Row("ls r:"),
    Row("ls --json r:dir"),
    Row("get r:big"),
    Row("check r:"),
    Row("check --raw --verify r:"),
    Row("put small r:x", **_READ_ONLY),
    Row("put small r:big", **_READ_ONLY),
    Row("put small r:mutable", **_FORBIDDEN),
    Row("put small r:new/x", **_READ_ONLY),
    Row(
        "mkdir r:newer",
        **_no_crash("Error during HTTP request", ("exit 1\n", "exit 0\n\n")),
    ),
    Row("mkdir r:dir"),
    Row("ln r:small r:x", **_READ_ONLY),
    Row("mv r:small r:x", **_READ_ONLY),
    Row("unlink r:small", **_READ_ONLY),
    Row("cp small r:x", **_READ_ONLY),
    Row("cp small big r:"),
    Row("cp -r t r:newer", **_no_crash("Error during mkdir")),
    Row("backup t r:kept-r", **_no_crash("Unable to create target directory")),
    Row("ls r:"),
)

REPAIR: Sequence[Row] = (
    Row("lose-a-share"),
    Row("check a:big"),
    Row("check --raw a:big"),
    Row("check --raw a:mutable"),
    Row("check a:dir"),
    Row("check --raw --verify a:big"),
    Row("deep-check --verify --verbose a:way"),
    Row("check --repair a:big"),
    Row("check --repair a:mutable"),
    Row("check --raw --repair a:dir", **_SEQUENCE),
    Row("check --verify a:big a:mutable a:dir"),
    Row("lose-a-share"),
    Row("lose-a-share"),
    Row("get {chk}"),
    Row("get {sdmf}"),
    Row("get {mdmf_file}"),
    Row("ls a:"),
    Row("ls {dir}"),
    Row("put small a:small"),
    Row("check {chk}"),
    Row("check {sdmf}", **_SHAPE),
    Row("check --raw {dir}", **_SEQUENCE),
    Row("check --raw --repair {sdmf}", **_SHAPE),
    Row("check --raw --repair {chk}"),
)

TABLE = (
    *STATUS,
    *ALIASES,
    *MKDIR,
    *PUT,
    *GET,
    *LS,
    *LINKS,
    *CHECK,
    *DEEP,
    *COPY,
    *BACKUP,
    *READ_ONLY,
    *REPAIR,
)
