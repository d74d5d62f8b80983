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
    NO_GATEWAY,
    Gateway,
    find_gateway,
    node_directory,
    node_url,
    problem_of,
    read,
)
from truckee.cli.output import copy_body
from truckee.cli.paths import find_target, open_special, part_of, publish, unfinished
from truckee.cli.problems import NOT_FOUND, Problem, reason_within
from truckee.cli.progress import Bar, amount
from truckee.cli.reacting import run
from truckee.codec.caps import ChkReadCap, LiteralCap, MalformedCap, parse_cap

_TAIL = 64 * 1024  # bytes of a part that are compared before it is gone on with
_LONGEST_CAP = 64 * 1024  # characters; a file of 55 bytes needs 100
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
    cap = _cap_given(cap)
    url = find_gateway(node_url, node_directory)
    place = f"uri/{quote(cap, safe='')}"
    whole = _size_of(cap) if wanted is None else None
    if file == "-":
        if sys.stdout is None:
            raise Problem("standard output is closed: name a FILE")
        run(lambda reactor: _into(Gateway(url, reactor), place, wanted, 1, whole))
        return
    path, replaced = find_target(file)
    if replaced:
        with unfinished(path) as part:
            run(
                lambda reactor: _to_file(
                    Gateway(url, reactor), place, part, path, wanted, whole, resume, quiet
                ),
                last_words=lambda: _last_words(part, path, wanted),
            )
    elif resume:
        raise click.UsageError("--resume needs a regular FILE")
    else:
        with open_special(path) as special:
            into = special.fileno()
            run(lambda reactor: _into(Gateway(url, reactor), place, wanted, into, whole))


def _cap_given(text: str) -> str:
    """Return the cap that *text* is, or that comes on standard input.  :raises Problem:"""
    if text == "-":
        if sys.stdin is None:
            raise Problem("standard input is closed: give the CAP as an argument")
        try:
            text = sys.stdin.readline(_LONGEST_CAP + 1)
        except UnicodeDecodeError:
            text = "\0"
        except OSError as error:
            raise Problem(
                f"cannot read the cap from standard input: {reason_within(error)}"
            ) from None
    text = text.strip()
    if not text:
        raise Problem(
            "there is no cap: give it as an argument, or on standard input with -"
        )
    if not (text.isascii() and text.isprintable()) or len(text) > _LONGEST_CAP:
        raise Problem(
            "that is no cap: one begins with URI: and is one line of letters, digits and "
            "punctuation",
            NOT_FOUND,
        )
    return text


def _last_words(part: FileIO, path: Path, wanted: str | None) -> str:
    """Return what is to be known after a signal."""
    have = os.fstat(part.fileno()).st_size
    if not have or wanted is not None:
        return ""
    return (
        f"Stopped. {amount(have)} are in {part_of(path)}; the same command with --resume "
        "goes on from there."
    )


async def _into(
    gateway: Gateway, place: str, wanted: str | None, descriptor: int, whole: int | None
) -> None:
    """Write what comes into a pipe, a device or what standard output is."""
    response = await _asked(gateway, place, wanted)
    if isinstance(response.length, int):
        _check_size(response.length, whole)
    done = [0]

    def count(written: int) -> None:
        done[0] += written

    await _copy(response, descriptor, gateway.reactor, count)
    _check_size(done[0], whole)


def _size_of(cap: str) -> int | None:
    """Return how many bytes the file of *cap* has, where the cap says so."""
    try:
        parsed = parse_cap(cap)
    except MalformedCap:
        return None
    return parsed.size if isinstance(parsed, ChkReadCap | LiteralCap) else None


def _check_size(size: int, whole: int | None) -> None:
    """:raises Problem: when *size* bytes are not the *whole* file."""
    if whole is not None and size != whole:
        raise Problem(
            f"{size} bytes came instead of {whole}: this is not the file of the cap; "
            f"{NO_GATEWAY}"
        )


async def _to_file(
    gateway: Gateway,
    place: str,
    part: FileIO,
    path: Path,
    wanted: str | None,
    whole: int | None,
    resume: bool,
    quiet: bool,
) -> None:
    have = await _checked(gateway, place, part, path) if resume else 0
    response = await _asked(gateway, place, f"{have}-" if have else wanted, have)
    if response.code == 200:
        have = 0  # all of it comes
    size = None if not isinstance(response.length, int) else have + response.length
    if size is not None and response.code != 416:
        _check_size(size, whole)
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
    _check_size(done[0], whole)
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
        raise Problem(f"cannot write: {reason_within(error)}") from None
