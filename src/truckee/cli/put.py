"""``truckee put``."""

from __future__ import annotations

import json
import sys
import time
from io import FileIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.web.iweb import UNKNOWN_LENGTH

from truckee.cli.gateway import (
    FileBody,
    Gateway,
    Problem,
    Unreachable,
    find_gateway,
    node_directory,
    node_url,
    problem_of,
    read,
    run,
)
from truckee.cli.paths import open_source
from truckee.cli.progress import Bar
from truckee.cli.resume_note import ResumeNote

_FAREWELL = 5.0  # seconds
_PATIENCE = 120.0  # seconds without a byte more
_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds between two attempts
_POLL = 0.5  # seconds
_BUSY = 503


@click.command("put", short_help="Store a file, and print its cap.")
@click.argument("file", metavar="[FILE|-]", default="-")
@click.option(
    "--key",
    default="random",
    show_default=True,
    help="random, CHK (the same cap for the same content), or 32 hex digits.",
)
@click.option("--resume", is_flag=True, help="Go on where an earlier attempt ended.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@node_url
@node_directory
def put_command(
    file: str,
    key: str,
    resume: bool,
    quiet: bool,
    node_url: str | None,
    node_directory: str | None,
) -> None:
    """
    Store FILE, or what comes on standard input, and print its cap.

    \b
    truckee put holiday.mp4 > holiday.cap
    truckee put --resume holiday.mp4 > holiday.cap     # goes on after a Ctrl-C
    tar c notes | truckee put > notes.cap

    What is no regular file (a pipe, a device, a file of /proc) is read to its end.
    The cap is the right to read the file: keep it. When the line breaks, what is stored is
    not sent again. Exits with 0 when the file is stored, 1 when it failed, 3 when the
    gateway does not answer, 5 when it refuses the file.
    """
    url = find_gateway(node_url, node_directory)
    if file == "-":
        if resume:
            raise click.UsageError("what comes on standard input cannot be resumed")
        if sys.stdin is None:
            raise Problem("standard input is closed")
        with FileIO(0, closefd=False) as piped:
            run(lambda reactor: _stream(Gateway(url, reactor), piped, key, quiet))
        return
    path = Path(file)
    with open_source(path) as source:
        size = source.size
        if size is None:
            if resume:
                raise click.UsageError(
                    "--resume needs a regular file that is not empty: what comes from "
                    "elsewhere cannot be read again"
                )
            run(lambda reactor: _stream(Gateway(url, reactor), source.file, key, quiet))
            return
        note = ResumeNote.of(url, path, source.snapshot, key) if resume else None
        run(
            lambda reactor: _put(Gateway(url, reactor), source.file, size, key, note, quiet)
        )
        if not source.unchanged:
            raise Problem(
                f"{file} changed while it was read: what is stored may be of both, so put "
                "it again"
            )


async def _stream(gateway: Gateway, source: FileIO, key: str, quiet: bool) -> None:
    """Store what comes, to its end, in one request."""
    bar = Bar(sys.stderr, None, time.monotonic, quiet)
    await _in_one(gateway, source, UNKNOWN_LENGTH, key, bar)


async def _put(
    gateway: Gateway,
    source: FileIO,
    size: int,
    key: str,
    note: ResumeNote | None,
    quiet: bool,
) -> None:
    bar = Bar(sys.stderr, size, time.monotonic, quiet)
    if not await gateway.is_truckee():
        await _in_one(gateway, source, size, key, bar)
        return
    upload = _Upload(gateway, source, size, key, note, bar)
    if note is None:
        # Nobody comes back for what is there of it.
        gateway.reactor.addSystemEventTrigger("before", "shutdown", upload.stopped)
    try:
        cap = await upload.store()
    finally:
        bar.end()
    click.echo(cap)


async def _in_one(
    gateway: Gateway, source: FileIO, size: object, key: str, bar: Bar
) -> None:
    sent = [0]

    def count(amount: int) -> None:
        sent[0] += amount
        bar.show(sent[0])

    body = FileBody(source, size, count, gateway.reactor)
    try:
        cap = await gateway.text("PUT", f"uri?{urlencode({'key': key})}", body)
    finally:
        bar.end()
    click.echo(cap.strip())


@define(eq=False)
class _Upload:
    """One file on its way to a gateway that takes it in pieces."""

    _gateway: Gateway
    _source: FileIO
    _size: int
    _key: str
    _note: ResumeNote | None
    _bar: Bar
    _handle: str = field(default="", init=False, repr=False)
    _offset: int = field(default=0, init=False)
    _over: bool = field(default=False, init=False)
    _opening: Deferred[None] | None = field(default=None, init=False)

    async def store(self) -> str:
        """Return the cap, however often the line breaks meanwhile."""
        found = None if self._note is None else self._note.read()
        if found is None:
            await self._open()
        else:
            self._handle = found
        failed, reached = 0, time.monotonic()
        while True:
            before = self._offset
            try:
                cap = await self._once()
            except Problem as problem:
                if self._over:
                    await Deferred()  # the process ends
                if not isinstance(problem, Unreachable):
                    raise
                cap = None
                if self._offset > before:
                    failed, reached = 0, time.monotonic()
                if time.monotonic() - reached > _PATIENCE:
                    raise
            if cap is not None:
                self._over = True
                if self._note is not None:
                    self._note.remove()
                return cap
            await self._gateway.sleep(_WAITS[min(failed, len(_WAITS) - 1)])
            failed += 1

    def stopped(self) -> Deferred[None] | None:
        """Give up at the gateway what will not be gone on with, if there is any."""
        over, self._over = self._over, True
        if over:
            return None
        leaving = Deferred.fromCoroutine(self._leave())
        leaving.addTimeout(_FAREWELL, self._gateway.reactor)
        return leaving.addBoth(lambda _: None)

    async def _leave(self) -> None:
        if self._opening is not None:
            await self._opening  # the answer has the handle
        if self._handle:
            await self._gateway.ask("DELETE", f"upload/{self._handle}")

    async def _open(self) -> None:
        query = urlencode({"key": self._key, "size": self._size})
        self._opening = Deferred()
        try:
            text = await self._gateway.text("POST", f"upload/open?{query}")
            self._handle = text.strip()
        finally:
            opening, self._opening = self._opening, None
            opening.callback(None)
        if self._over:
            await Deferred()  # the process ends
        if self._note is not None:
            self._note.write(self._handle)

    async def _once(self) -> str | None:
        """Send what is missing; return the cap, or None where it may be tried again."""
        told = await self._told()
        if self._over:
            await Deferred()  # the process ends
        if told is None:
            click.echo("The gateway knows this upload no more: it begins again.", err=True)
            await self._open()
            told = {"offset": 0}
        self._offset = int(told["offset"])
        if told.get("cap"):
            return str(told["cap"])
        self._source.seek(self._offset)
        watching = Deferred.fromCoroutine(self._watch())
        watching.addErrback(lambda failure: failure.trap(CancelledError))
        try:
            return await self._send()
        finally:
            watching.cancel()

    async def _send(self) -> str | None:
        rest = self._size - self._offset
        body = FileBody(self._source, rest, lambda _: None, self._gateway.reactor)
        place = f"upload/{self._handle}?offset={self._offset}&close=true"
        response = await self._gateway.ask("PUT", place, body)
        text = await read(response)
        if response.code == _BUSY:
            return None
        if response.code != 200:
            raise problem_of(response.code, text)
        return text.decode("ascii", "replace").strip()

    async def _told(self) -> dict[str, Any] | None:
        """Return what the gateway knows of the upload; None: nothing."""
        response = await self._gateway.ask("GET", f"upload/{self._handle}?t=json")
        text = await read(response, 1 << 20)
        if response.code == 404:
            return None
        if response.code != 200:
            raise problem_of(response.code, text)
        try:
            told: dict[str, Any] = json.loads(text)
        except ValueError:
            raise Problem("the gateway does not tell how far the upload is") from None
        return told

    async def _watch(self) -> None:
        """Show how much is stored."""
        while True:
            try:
                told = await self._told() or {}
            except Problem:
                told = {}
            self._bar.show(max(told.get("stored", 0), told.get("held", 0)))
            await self._gateway.sleep(_POLL)
