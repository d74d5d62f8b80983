"""
How long it takes to append to a share of a mutable file, piece by piece.

``python -m tests.bench.slot_appends --mib 350`` appends so many pieces of 1 MiB to a share
in a temporary directory.  ``--copied`` has the server copy the share for each, as it does
for changes that do not only append.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from truckee.codec.secrets import LeaseSecrets
from truckee.codec.slot_container import SlotHeader
from truckee.storage.interfaces import SlotChange, SlotWrite
from truckee.storage.sharefiles import ShareDirectory
from truckee.storage.slotfiles import Lease, SlotDirectory, SlotFile

MIB = 1 << 20
INDEX = b"i" * 16


def append(slots: SlotDirectory, piece: bytes, at: int, lease: Lease) -> None:
    """Append as a request does, with nothing around it."""
    old = slots.slot(INDEX).shares.get(0)
    change = SlotChange(writes=[SlotWrite(at, piece)])
    if old is not None and slots.append(old, change, lease):
        return
    draft = slots.draft(INDEX, 0)
    header = SlotHeader(2, b"n" * 20, b"w" * 32) if old is None else old.header
    draft.write(old, header, change.writes, None, lease)
    slots.make_home(INDEX)
    draft.publish()
    slots.settle(INDEX)


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=350)
    parser.add_argument("--copied", action="store_true")
    options = parser.parse_args()
    lease = Lease(LeaseSecrets(b"r" * 32, b"c" * 32), b"n" * 20, time.time())
    piece = os.urandom(MIB)
    with tempfile.TemporaryDirectory() as place:
        slots = SlotDirectory(ShareDirectory(Path(place)))
        if options.copied:
            slots = SlotDirectory(slots.directory, append_from=sys.maxsize)
        start, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        for number in range(options.mib):
            append(slots, piece, number * MIB, lease)
        seconds, then = time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF)
        (share,) = slots.slot(INDEX).shares.values()
        assert isinstance(share, SlotFile)
        assert share.header.length == options.mib * MIB
        cpu = then.ru_utime + then.ru_stime - used.ru_utime - used.ru_stime
        print(f"{options.mib} pieces of 1 MiB: {seconds:.1f} s, of which CPU {cpu:.1f} s")


if __name__ == "__main__":
    main()
