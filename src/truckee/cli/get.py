"""``truckee get``."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from truckee.cli.gateway import (
    NOT_FOUND,
    Gateway,
    Problem,
    find_gateway,
    node_directory,
    node_url,
    problem_of,
    read,
    run,
)
from truckee.cli.output import copy_body
from truckee.cli.paths import find_target, open_special, part_of, publish, unfinished
from truckee.cli.progress import Bar

_TAIL = 64 * 1024  # bytes of a part that are compared before it is gone on with
_RANGE = re.compile(r"[0-9]+-[0-9]*|-[0-9]+")


@click.command("get", short_help="Read the file of a cap.")
@click.argument("cap", metavar="CAP|-")
@click.argument("file", metavar="[FILE|-]", default="-")
@click.option(
    "--range", "wanted", metavar="A-B", help="Bytes A to B, A- or -N (the last N)."
)
@click.option("--resume", is_flag=True, help="Go on with FILE.part of an earlier attempt.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@node_url
@node_directory
def get_command(
    cap: str,
    file: str,
    wanted: str | None,
    resume: bool,
    quiet: bool,
    node_url: str | None,
    node_directory: str | None,
) -> None:
    """
    Read the file of CAP into FILE, or to standard output.

    \b
    truckee get "$(cat holiday.cap)" holiday.mp4
    truckee get - holiday.mp4 < holiday.cap            # the cap is not in ps then
    truckee get --resume - holiday.mp4 < holiday.cap
    truckee get --range -1000 - < holiday.cap          # its last 1000 bytes

    FILE appears when it is complete; until then it is FILE.part. Exits with 0 when all is
    there, 1 when it failed, 3 when the gateway does not answer, 4 when the file cannot be
    found.
    """
    if wanted is not None and not _RANGE.fullmatch(wanted):
        raise click.UsageError("--range takes A-B, A- or -N")
    if resume and (file == "-" or wanted is not None):
        raise click.UsageError("--resume needs a FILE, and goes without --range")
    cap = sys.stdin.readline().strip() if cap == "-" else cap.strip()
    url = find_gateway(node_url, node_directory)
    place = f"uri/{quote(cap, safe='')}"
    if file == "-":
        if sys.stdout is None:
            raise Problem("standard output is closed")
        run(lambda reactor: _into(Gateway(url, reactor), place, wanted, 1))
        return
    path, replaced = find_target(file)
    if replaced:
        with unfinished(path) as part:
            run(
                lambda reactor: _to_file(
                    Gateway(url, reactor), place, part, path, wanted, resume, quiet
                )
            )
    elif resume:
        raise click.UsageError("--resume needs a regular FILE")
    else:
        with open_special(path) as special:
            into = special.fileno()
            run(lambda reactor: _into(Gateway(url, reactor), place, wanted, into))


async def _into(gateway: Gateway, place: str, wanted: str | None, descriptor: int) -> None:
    """Write what comes into a pipe, a device or what standard output is."""
    response = await _asked(gateway, place, wanted)
    await _copy(response, descriptor, gateway.reactor, lambda _: None)


async def _to_file(
    gateway: Gateway,
    place: str,
    part: FileIO,
    path: Path,
    wanted: str | None,
    resume: bool,
    quiet: bool,
) -> None:
    have = await _checked(gateway, place, part, path) if resume else 0
    response = await _asked(gateway, place, f"{have}-" if have else wanted, have)
    if response.code == 200:
        have = 0  # all of it comes
    size = None if not isinstance(response.length, int) else have + response.length
    bar = Bar(sys.stderr, size, time.monotonic, quiet)
    part.seek(have)
    part.truncate()
    done = [have]

    def count(written: int) -> None:
        done[0] += written
        bar.show(done[0])

    try:
        if response.code != 416:
            await _copy(response, part.fileno(), gateway.reactor, count)
    finally:
        bar.end()
    publish(part, path)


async def _checked(gateway: Gateway, place: str, part: FileIO, path: Path) -> int:
    """Return how many bytes of *part* can be kept."""
    have = part.seek(0, os.SEEK_END)
    start = max(0, have - _TAIL)
    part.seek(start)
    tail = part.read()
    if not tail:
        return 0
    response = await _asked(gateway, place, f"{start}-{have - 1}", have)
    if response.code != 206:
        return 0
    same = await read(response, len(tail))
    # A torn end is cut off where the two begin to differ.
    differ = next(
        (i for i, (a, b) in enumerate(zip(tail, same, strict=False)) if a != b), len(same)
    )
    if not differ:
        raise Problem(
            f"{part_of(path)} is of another file: move it away, or go without --resume"
        )
    return start + differ


async def _asked(gateway: Gateway, place: str, wanted: str | None, have: int = 0) -> Any:
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


async def _copy(
    response: Any, descriptor: int, reactor: Any, count: Callable[[int], None]
) -> None:
    try:
        await copy_body(response, descriptor, reactor, count)
    except BrokenPipeError:
        raise  # a reader that has enough
    except OSError as error:
        raise Problem(f"cannot write: {error.strerror}") from None
