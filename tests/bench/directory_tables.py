"""
What a large directory costs beside fetching and storing it.

    python -m tests.bench.directory_tables [--entries 100000]

Nine children of ten are immutable files, the others mutable ones with their write caps.  It
prints seconds of CPU time, the least of some runs, for the table alone, for links read from
all entries, and for stock's code, which makes all links whenever it reads.  Memory is what
Python allocates beside the packed bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import process_time
from tracemalloc import get_traced_memory, start, stop

from tests.codec.directory_example import DIRECTORY, TIMES, WRITE, WRITE_KEY
from tests.codec.stock_directories import TimeTable, work
from truckee.codec.caps import ChkReadCap, MutableWriteCap
from truckee.codec.children import new_child
from truckee.codec.children_json import describe
from truckee.codec.directory_children import Link, new_entry, pack_mutable, read_link
from truckee.codec.directory_table import DirectoryTable, parse_table

NEW = "picture 000001 again.jpeg"


def link_of(number: int) -> Link:
    """Return one of the children."""
    key = number.to_bytes(16, "big")
    if number % 10:
        cap = str(ChkReadCap(key, key + key, 3, 10, number))
    else:
        cap = str(MutableWriteCap("SSK", key, key + key))
    return Link(new_child(cap, None), TIMES)


def seconds(act: Callable[[], object], runs: int = 3) -> float:
    """Return the least CPU time that *act* took."""
    times = []
    for _ in range(runs):
        before = process_time()
        act()
        times.append(process_time() - before)
    return min(times)


def links(table: DirectoryTable) -> int:
    """Read all links, and return how many there are."""
    return sum(read_link(entry, WRITE_KEY) is not None for entry in table)


def shown(table: DirectoryTable) -> int:
    """Make what a listing has of all links."""
    found = (read_link(entry, WRITE_KEY) for entry in table)
    return sum(len(describe(each)) for each in found if each)


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    count = parser.parse_args().entries
    made = {f"picture {number:06}.jpeg": link_of(number) for number in range(count)}
    packed = pack_mutable(made, WRITE_KEY)
    del made
    table = parse_table(packed)
    entry = new_entry(NEW, Link(new_child(WRITE, None), TIMES), WRITE_KEY)
    print(f"{count:,} entries, {len(packed):,} bytes; seconds of CPU time")
    print(f"  read the table        {seconds(lambda: parse_table(packed), 5):.3f}")
    print(f"  find a name           {seconds(lambda: table.get(NEW), 5):.6f}")
    print(f"  add one child         {seconds(lambda: table.changed([entry]), 5):.4f}")
    print(f"  read all links        {seconds(lambda: links(table)):.2f}")
    print(f"  and show them         {seconds(lambda: shown(table)):.2f}")
    (stock,) = work([TimeTable(packed, DIRECTORY, (NEW, WRITE, None, None))])
    print(f"  stock reads           {stock[0]:.2f}")
    print(f"  stock adds one child  {stock[1]:.2f}, with reading")
    start()
    table = parse_table(packed)
    print("bytes beside the table: kept {:,}, at most {:,}".format(*get_traced_memory()))
    table = table.changed([entry])
    kept = get_traced_memory()[0] - len(table.packed)
    print(f"after a change, beside the new table: {kept:,}")
    stop()


if __name__ == "__main__":
    main()
