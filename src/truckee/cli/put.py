"""``truckee put``."""

from __future__ import annotations

import shlex
import sys
import time
from io import FileIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
from attrs import define, field
from twisted.web.iweb import UNKNOWN_LENGTH

from truckee.cli.cap_output import CapOutput
from truckee.cli.file_body import FileBody
from truckee.cli.finding import NO_GATEWAY, is_cap
from truckee.cli.gateway import Gateway
from truckee.cli.in_pieces import Upload
from truckee.cli.link import Link
from truckee.cli.paths import Source, open_source
from truckee.cli.problems import Problem, reason_within
from truckee.cli.progress import Bar, amount
from truckee.cli.reacting import run
from truckee.cli.resume_note import ResumeNote
from truckee.cli.session import Session, with_session


@click.command("put", short_help="Store a file, and print its cap.")
@click.argument("file", metavar="[FILE|-]", default="-")
@click.argument("target", metavar="[TARGET]", required=False)
@click.option(
    "--key",
    default="random",
    show_default=True,
    help="random, CHK (the same cap for the same content), or 32 hex digits.",
)
@click.option("--resume", is_flag=True, help="Resume where an earlier attempt ended.")
@click.option(
    "--no-log",
    is_flag=True,
    help="Store nothing on the gateway's disk; after a break the upload starts over.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default=None,
    help="Write the cap into this file, when all is stored, instead of printing it.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@with_session
def put_command(
    session: Session,
    file: str,
    target: str | None,
    key: str,
    resume: bool,
    no_log: bool,
    output: str | None,
    quiet: bool,
) -> None:
    """
    Store FILE, or what comes on standard input, and print its cap.

    \b
    truckee put holiday.mp4 photos:2026/           # and link it there
    truckee put --root photos.cap holiday.mp4 2026/    # in the directory of that cap
    truckee put holiday.mp4 -o holiday.cap
    truckee put --resume holiday.mp4 -o holiday.cap    # resumes after a Ctrl-C
    tar c notes | truckee put > notes.cap

    What is no regular file (a pipe, a device, a file of /proc) is read to its end.
    The cap is the right to read the file: keep it. When the line breaks, what is stored is
    not sent again. Exits with 0 when the file is stored, 1 when it failed, 3 when the
    gateway does not answer, 5 when it refuses the file.
    """
    if not (key.isascii() and key.isprintable()):
        raise click.UsageError("--key takes random, CHK or 32 hex digits")
    if resume and no_log:
        raise click.UsageError("--resume needs what --no-log does without: choose one")
    if file == "-" and session.reads_input:
        raise click.UsageError("--root and FILE cannot both be standard input")
    url = session.gateway_url()
    place = None if target is None else session.path(target)
    link = Link(place, Path(file).name if file != "-" else "")
    output_of_cap = CapOutput.named(output)
    if file == "-":
        if resume:
            raise click.UsageError("what comes on standard input cannot be resumed")
        if sys.stdin is None:
            raise Problem("standard input is closed: name a FILE, or pipe something in")
        with FileIO(0, closefd=False) as piped:
            _run_in_one(url, piped, None, key, quiet, output_of_cap, link)
        return
    path = Path(file)
    with open_source(path) as source:
        if source.size is None:
            if resume:
                raise click.UsageError(
                    "--resume needs a regular file that is not empty: what comes from "
                    "elsewhere cannot be read again"
                )
            _run_in_one(url, source.file, None, key, quiet, output_of_cap, link)
            return
        if no_log:
            _run_in_one(url, source.file, source.size, key, quiet, output_of_cap, link)
            _check_unchanged(source, file)
            return
        again = _resuming(session, file, target, key, output)
        transfer = _Transfer(
            url, path, source, source.size, key, resume, quiet, again, link
        )
        transfer.run(output_of_cap)
        _check_unchanged(source, file)


def _resuming(
    session: Session, file: str, target: str | None, key: str, output: str | None
) -> str:
    """Return the command that resumes this one."""
    given = ["--key", key] if key != "random" else []
    given += [*session.options, *(["-o", output] if output else [])]
    names = [file, target] if target else [file]
    return shlex.join(["truckee", "put", "--resume", *given, *names])


def _check_unchanged(source: Source, file: str) -> None:
    if not source.unchanged:
        raise Problem(
            f"{file} changed while it was read: what is stored may be of both, so put it "
            "again"
        )


def _run_in_one(
    url: str,
    source: FileIO,
    size: int | None,
    key: str,
    quiet: bool,
    output: CapOutput,
    link: Link,
) -> None:
    """Store what comes, to its end, in one request."""
    stream = _Stream(source, size, key, Bar(sys.stderr, size, time.monotonic, quiet))

    async def work(reactor: Any) -> None:
        gateway = Gateway(url, reactor)
        await link.prepare(gateway)
        cap = await stream.store(gateway, link.place)
        try:
            output.write(cap)
        except OSError as error:
            raise _lost(error) from None

    run(work, last_words=stream.last_words)


def _lost(error: OSError, cure: str = "put it again") -> Problem:
    return Problem(
        f"the file is stored, but its cap cannot be written: {reason_within(error)}; {cure}"
    )


@define(eq=False)
class _Stream:
    """What is stored in one request."""

    _source: FileIO
    _size: int | None  # bytes
    _key: str
    _bar: Bar
    _sent: int = field(default=0, init=False)

    async def store(self, gateway: Gateway, place: str) -> str:
        """Store it at a *place* of the web API; return the cap."""
        length = UNKNOWN_LENGTH if self._size is None else self._size
        body = FileBody(self._source, length, self._count, gateway.reactor)
        try:
            text = await gateway.text(
                "PUT", f"{place}?{urlencode({'key': self._key})}", body
            )
        finally:
            self._bar.end()
        cap = text.strip()
        if not is_cap(cap):
            raise Problem(NO_GATEWAY)
        return cap

    def _count(self, count: int) -> None:
        self._sent += count
        self._bar.show(self._sent)

    def last_words(self) -> str:
        """Return what is to be known after a signal."""
        return (
            f"Stopped after {amount(self._sent)}. Nothing is stored, and an upload in one "
            "request cannot be resumed: put it again."
        )


@define(eq=False)
class _Transfer:
    """One file on its way to a gateway, whatever kind of gateway it is."""

    _url: str
    _path: Path
    _source: Source
    _size: int  # bytes
    _key: str
    _resume: bool
    _quiet: bool
    _again: str  # the command that resumes it
    _link: Link
    _upload: Upload | None = field(default=None, init=False)
    _stream: _Stream | None = field(default=None, init=False)

    def run(self, output: CapOutput) -> None:
        """Store the file, and leave its cap in *output*."""
        run(lambda reactor: self._work(reactor, output), last_words=self._last_words)

    async def _work(self, reactor: Any, output: CapOutput) -> None:
        note = self._note()
        gateway = Gateway(self._url, reactor)
        bar = Bar(sys.stderr, self._size, time.monotonic, self._quiet)
        await self._link.prepare(gateway)
        if self._link.in_place or not await gateway.is_truckee():
            if self._link.in_place and self._resume:
                raise Problem("a mutable file is written at once: go without --resume")
            self._stream = _Stream(self._source.file, self._size, self._key, bar)
            cap = await self._stream.store(gateway, self._link.place)
            self._write(output, cap)
            return
        file, key = self._source.file, self._key
        self._upload = Upload(
            gateway, file, self._size, key, note, self._resume, bar, self._again
        )
        reactor.addSystemEventTrigger("before", "shutdown", self._upload.stopped)
        try:
            cap = await self._upload.store()
        finally:
            bar.end()
        await self._set_link(gateway, cap)
        self._write(output, cap)
        self._upload.forget()

    async def _set_link(self, gateway: Gateway, cap: str) -> None:
        try:
            await self._link.set(gateway, cap)
        except Problem as problem:
            text = f"the file is stored, but not linked: {problem.message}"
            if self._upload is not None and self._upload.keep():
                text += f"; this command links it, within an hour: {self._again}"
            raise Problem(text, problem.exit_code) from None

    def _note(self) -> ResumeNote | None:
        try:
            return ResumeNote.of(self._url, self._path, self._source.snapshot, self._key)
        except (Problem, OSError):
            if self._resume:
                raise
            return None

    def _write(self, output: CapOutput, cap: str) -> None:
        try:
            output.write(cap)
        except (OSError, Problem) as error:
            reason = error if isinstance(error, OSError) else OSError(error.message)
            if self._upload is not None and self._upload.keep():
                cure = f"this command gives it, within an hour: {self._again}"
                raise _lost(reason, cure) from None
            raise _lost(reason) from None

    def _last_words(self) -> str:
        if self._upload is not None:
            return self._upload.last_words()
        return self._stream.last_words() if self._stream is not None else ""
