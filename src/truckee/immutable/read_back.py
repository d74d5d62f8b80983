"""
Reading back a little of each share after an upload.

A server can accept everything and drop it.  So a few random bytes of each share are kept
while it is written, and compared with what its server gives when it is asked as a reader
asks, after the share was closed.  The cost is bounded, however large the file is; what a
server drops or changes elsewhere is found by a check with ``verify``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from truckee.flow.together import together
from truckee.immutable.samples import Part
from truckee.storage.interfaces import IShareReader

# What is so near to each other is read in one call, with what lies between.
_LARGEST_READ = 8192  # bytes


async def read_back(reader: IShareReader, parts: Iterable[Part]) -> None:
    """
    Compare a share with *parts* that were written to it.

    :raises ValueError: when one of them is not there.  :raises ReadError:
    """
    reads = _joined(sorted(parts))
    found = await together(
        reader.read(start, end - start) for (start, end), _inside in reads
    )
    for ((start, _), inside), data in zip(reads, found, strict=True):
        for offset, written in inside:
            if data[offset - start : offset - start + len(written)] != written:
                raise ValueError("it does not give back what was stored")


def _joined(parts: Sequence[Part]) -> list[tuple[tuple[int, int], list[Part]]]:
    """Return (start, end) of few reads with the sorted *parts* that lie in each."""
    reads: list[tuple[tuple[int, int], list[Part]]] = []
    for offset, data in parts:
        end = offset + len(data)
        if reads:
            (start, last), inside = reads[-1]
            reach = max(last, end)
            if reach - start <= _LARGEST_READ:
                reads[-1] = (start, reach), [*inside, (offset, data)]
                continue
        reads.append(((offset, end), [(offset, data)]))
    return reads
