"""
The table of range requests against a stock gateway and ours: the differences, one a line.

    python -m tests.bench.range_table [--all]

Both read the same stored file and the same literal one.  A line is the kind of the file,
the request, our answer, and stock's where it is another one; with --all those that agree
are printed too.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
from pathlib import Path
from urllib.parse import quote

from attrs import evolve

from tests.integration.range_cases import CASES, Case, File, told
from tests.integration.stock import stock_node
from tests.processes import GridProcess, curl, running

MIB = 1 << 20


def main() -> None:
    """Print the differences, and how many requests there were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="those that agree too")
    options = parser.parse_args()
    count = different = 0
    with tempfile.TemporaryDirectory() as place:
        room = Path(place)
        grid = GridProcess.create(room / "ours", needed=2, happy=1, total=3, storage_dirs=1)
        shares = grid.directory / "storage" / "0"
        with running(grid), stock_node(room / "stock", shares, (2, 1, 3)) as stock:
            for kind, size in (("CHK", 2 * MIB + 1000), ("LIT", 50)):
                data = random.Random(size).randbytes(size)
                cap = curl("-T", "-", f"{grid.url}uri", data=data).decode("ascii")
                ours = File(kind, grid.url, f"uri/{cap}", data)
                theirs = File(kind, stock.url, f"uri/{quote(cap, safe='')}", data)
                stock_etag = etag(theirs)
                ours = evolve(ours, etag=etag(ours), stock_etag=stock_etag)
                theirs = evolve(theirs, etag=stock_etag, stock_etag=stock_etag)
                for case in CASES:
                    if case.only not in ("", kind):
                        continue
                    mine, other = answer(ours, case), answer(theirs, case)
                    count += 1
                    different += mine != other
                    if mine != other:
                        print(f"{kind} | {case!s} | ours {mine} | stock {other}")
                    elif options.all:
                        print(f"{kind} | {case!s} | both {mine}")
    print(f"{different} of {count} answers differ")


def etag(file: File) -> str:
    """Return the entity tag that a server gives a file, "none" if it gives none."""
    return file.ask(Case((), "")).headers.get("etag", "none")


def answer(file: File, case: Case) -> str:
    """Return the answer in short, or how there was none; "<n>" stands for the size."""
    try:
        said = told(file.ask(case), file, case.method)
    except (OSError, ValueError, LookupError) as error:
        return f"{type(error).__name__}: {error}"
    text = said if len(said) < 60 else f"{said[:40]}… ({len(said.split()) - 1} ranges)"
    size = len(file.data)
    return re.sub(rf"\b{size}\b", "<n>", re.sub(rf"\b{size - 1}\b", "<n-1>", text))


if __name__ == "__main__":
    main()
