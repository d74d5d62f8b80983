"""``truckee get``."""

from __future__ import annotations

import os
import re
import sys
import time
from io import FileIO
from pathlib import Path

import click

from truckee.cli.download import asked, check_size, copy, download, locate
from truckee.cli.gateway import Gateway
from truckee.cli.grid_path import GridPath
from truckee.cli.paths import find_target, open_special, part_of, publish, unfinished
from truckee.cli.problems import NOT_FOUND, Problem, reason_within
from truckee.cli.progress import Bar, amount
from truckee.cli.reacting import run
from truckee.cli.session import Session, with_session

_LONGEST_CAP = 64 * 1024  # characters; a file of 55 bytes needs 100
_RANGE = re.compile(r"[0-9]+-[0-9]*|-[0-9]+")


@click.command("get", short_help="Read the file of a cap, or of a path in the grid.")
@click.argument("cap", metavar="CAP|PATH|-")
@click.argument("file", metavar="[FILE|-]", default="-")
@click.option(
    "--range", "wanted", metavar="A-B", help="Bytes A to B, A- or -N (the last N)."
)
@click.option("--resume", is_flag=True, help="Resume from FILE.part of an earlier attempt.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@with_session
def get_command(
    session: Session,
    cap: str,
    file: str,
    wanted: str | None,
    resume: bool,
    quiet: bool,
) -> None:
    """
    Read the file of CAP, or at PATH in the grid, into FILE or to standard output.

    \b
    truckee get photos:2026/first.jpg first.jpg
    truckee get "$(cat holiday.cap)" holiday.mp4
    truckee get - holiday.mp4 < holiday.cap            # the cap is not in ps then
    truckee get --resume - holiday.mp4 < holiday.cap
    truckee get --range -1000 - < holiday.cap          # its last 1000 bytes
    truckee get --root photos.cap 2026/first.jpg f.jpg # in the directory of that cap

    FILE appears when it is complete; until then it is FILE.part. Exits with 0 when all is
    there, 1 when it failed, 3 when the gateway does not answer, 4 when the file cannot be
    found.
    """
    if wanted is not None and not _RANGE.fullmatch(wanted):
        raise click.UsageError("--range takes A-B, A- or -N")
    if resume and (file == "-" or wanted is not None):
        raise click.UsageError("--resume needs a FILE, and goes without --range")
    source = _source_given(cap, session)
    url = session.gateway_url()
    if file == "-":
        if sys.stdout is None:
            raise Problem("standard output is closed: name a FILE")
        run(lambda reactor: _into(Gateway(url, reactor), source, wanted, 1))
        return
    path, replaced = find_target(file)
    if replaced:
        with unfinished(path) as part:
            run(
                lambda reactor: _to_file(
                    Gateway(url, reactor), source, part, path, wanted, resume, quiet
                ),
                last_words=lambda: _last_words(part, path, wanted),
            )
    elif resume:
        raise click.UsageError("--resume needs a regular FILE")
    else:
        with open_special(path) as special:
            into = special.fileno()
            run(lambda reactor: _into(Gateway(url, reactor), source, wanted, into))


def _source_given(text: str, session: Session) -> GridPath:
    """
    Return what is meant by *text*, or by what comes on standard input for ``-``.

    :raises Problem: when it cannot be anything.
    """
    if text == "-" and session.reads_input:
        raise click.UsageError("--root and CAP cannot both be standard input")
    text = _text_given(text)
    if ":" in text or session.has_root:
        return session.path(text)
    raise Problem(
        "that is no cap: one begins with URI: and is one line of letters, digits and "
        "punctuation; and no path, which begins with an alias and a colon",
        NOT_FOUND,
    )


def _text_given(text: str) -> str:
    """Return *text*, or the line that comes on standard input.  :raises Problem:"""
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
    is_cap = text.startswith("URI:") and "/" not in text
    if (is_cap and not (text.isascii() and text.isprintable())) or len(text) > _LONGEST_CAP:
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
        "resumes from there."
    )


async def _into(
    gateway: Gateway, source: GridPath, wanted: str | None, descriptor: int
) -> None:
    """Write what comes into a pipe, a device or what standard output is."""
    remote = await locate(gateway, source)
    response = await asked(gateway, remote.place, wanted)
    whole = remote.size if wanted is None else None
    if isinstance(response.length, int):
        check_size(response.length, whole)
    done = [0]

    def count(written: int) -> None:
        done[0] += written

    await copy(response, descriptor, gateway.reactor, count)
    check_size(done[0], whole)


async def _to_file(
    gateway: Gateway,
    source: GridPath,
    part: FileIO,
    path: Path,
    wanted: str | None,
    resume: bool,
    quiet: bool,
) -> None:
    remote = await locate(gateway, source)
    bar = Bar(sys.stderr, remote.size if wanted is None else None, time.monotonic, quiet)

    def show(done: int, size: int | None) -> None:
        bar.size = size
        bar.show(done)

    try:
        await download(
            gateway, remote, part, part_of(path), show, wanted=wanted, resume=resume
        )
    finally:
        bar.end()
    publish(part, path)
