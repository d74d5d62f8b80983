"""A file of the grid on its way into a file here, which may have a part of it already."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import field, frozen

from truckee.cli.finding import NO_GATEWAY, problem_of
from truckee.cli.gateway import Gateway, read
from truckee.cli.grid import Grid
from truckee.cli.grid_path import GridPath
from truckee.cli.output import copy_body
from truckee.cli.problems import NOT_FOUND, Problem, reason_within
from truckee.codec.caps import (
    ChkReadCap,
    DirectoryCap,
    LiteralCap,
    MalformedCap,
    parse_cap,
)

_TAIL = 64 * 1024  # bytes of a part that are compared before it is resumed

Show = Callable[[int, int | None], None]  # gets the bytes that are there, and the size


@frozen
class Remote:
    """A file in the grid."""

    place: str = field(repr=False)  # in the web API
    size: int | None  # bytes, where that is known

    @classmethod
    def of_cap(cls, cap: str) -> Remote:
        """Return the file of *cap*."""
        return cls(f"uri/{quote(cap, safe='')}", _size_of(cap))


async def locate(gateway: Gateway, path: GridPath) -> Remote:
    """Return the file at *path*.  :raises Problem: when there is none."""
    if path.names:
        found = await Grid(gateway).find(path)
        if found.is_file:
            return Remote.of_cap(found.read_cap or found.cap)
        if not found.is_directory:
            raise Problem(f"{path.shown} is of no kind that this program knows")
    elif not _is_directory(path.root):
        return Remote.of_cap(path.root)
    raise Problem(
        f"{path.shown} is a directory: truckee cp -r copies it, truckee ls lists it"
    )


def _is_directory(cap: str) -> bool:
    try:
        return isinstance(parse_cap(cap), DirectoryCap)
    except MalformedCap:
        return False


def _size_of(cap: str) -> int | None:
    """Return how many bytes the file of *cap* has, where the cap says so."""
    try:
        parsed = parse_cap(cap)
    except MalformedCap:
        return None
    return parsed.size if isinstance(parsed, ChkReadCap | LiteralCap) else None


def check_size(size: int, whole: int | None) -> None:
    """:raises Problem: when *size* bytes are not the *whole* file."""
    if whole is not None and size != whole:
        raise Problem(
            f"{size} bytes came instead of {whole}: this is not the file of the cap; "
            f"{NO_GATEWAY}"
        )


async def download(
    gateway: Gateway,
    remote: Remote,
    part: FileIO,
    shown: Path,
    show: Show,
    *,
    wanted: str | None = None,
    resume: bool = False,
) -> None:
    """
    Write a file, or the *wanted* range of it, into *part*, named *shown*.

    With *resume*, what *part* has is kept when its end is that of the file.
    """
    have = await _checked(gateway, remote.place, part, shown) if resume else 0
    response = await asked(gateway, remote.place, f"{have}-" if have else wanted, have)
    if response.code == 200:
        have = 0  # all of it comes
    size = None if not isinstance(response.length, int) else have + response.length
    whole = remote.size if wanted is None else None
    if size is not None and response.code != 416:
        check_size(size, whole)
    part.seek(have)
    part.truncate()
    done = have

    def count(written: int) -> None:
        nonlocal done
        done += written
        show(done, size)

    if response.code != 416:
        await copy(response, part.fileno(), gateway.reactor, count)
    check_size(done, whole)


async def _checked(gateway: Gateway, place: str, part: FileIO, shown: Path) -> int:
    """Return how many bytes of *part* can be kept."""
    have = part.seek(0, os.SEEK_END)
    start = max(0, have - _TAIL)
    part.seek(start)
    tail = part.read()
    if not tail:
        return 0
    response = await asked(gateway, place, f"{start}-{have - 1}", have)
    if response.code != 206:
        return 0
    same = await read(response, len(tail))
    # A torn end is cut off where the two begin to differ.
    differ = next(
        (i for i, (a, b) in enumerate(zip(tail, same, strict=False)) if a != b), len(same)
    )
    if not differ:
        raise Problem(f"{shown} is of another file: move it away, or go without --resume")
    return start + differ


async def asked(gateway: Gateway, place: str, wanted: str | None, have: int = 0) -> Any:
    """Return a response with bytes in it.  :raises Problem: if there is none."""
    headers = {} if wanted is None else {"range": f"bytes={wanted}"}
    response = await gateway.ask("GET", place, headers=headers)
    if response.code == 416 and have:
        return response
    if response.code not in (200, 206):
        problem = problem_of(response.code, await read(response))
        if response.code == 400:
            problem.exit_code = NOT_FOUND
        raise problem
    if wanted is not None and response.code == 200 and not have:
        raise Problem("this gateway does not know such ranges")
    return response


async def copy(
    response: Any, descriptor: int, reactor: Any, count: Callable[[int], None]
) -> None:
    """Write a body into what is open.  :raises Problem: when that cannot be."""
    try:
        await copy_body(response, descriptor, reactor, count)
    except BrokenPipeError:
        raise  # a reader that has enough
    except OSError as error:
        raise Problem(f"cannot write: {reason_within(error)}") from None
