"""A file on its way to a gateway that takes it in pieces, however often the line breaks."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from io import FileIO
from math import isfinite
from typing import Any, NoReturn
from urllib.parse import urlencode

import click
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred

from truckee.cli.file_body import FileBody
from truckee.cli.finding import NO_GATEWAY, is_cap, problem_of
from truckee.cli.gateway import Gateway, read
from truckee.cli.problems import Problem, Unreachable
from truckee.cli.progress import Bar, amount
from truckee.cli.resume_note import ResumeNote

_FAREWELL = 5.0  # seconds
_PATIENCE = 120.0  # seconds without a byte more
_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds between two attempts
_POLL = 0.5  # seconds
_SHORT = 15.0  # seconds for an answer that is there at once
_LATER = (502, 503, 504)  # it is too busy, or a proxy in front does not reach it


@define(eq=False)
class Upload:
    """One file, its handle, and what is known of how far it is."""

    _gateway: Gateway
    _source: FileIO
    _size: int
    _key: str
    _note: ResumeNote | None
    _resumable: bool  # whether the note is kept from the start
    _bar: Bar
    _again: str  # the command that resumes it
    stored: int = field(default=0, init=False)
    _handle: str = field(default="", init=False, repr=False)
    _offset: int = field(default=0, init=False)
    _over: bool = field(default=False, init=False)
    _removed: bool = field(default=False, init=False)
    _opening: Deferred[None] | None = field(default=None, init=False)
    _since: float | None = field(default=None, init=False)  # when an outage began
    _heard: float = field(default=0.0, init=False)  # when it answered last
    _sending: Deferred[Any] | None = field(default=None, init=False)

    async def store(self) -> str:
        """Return the cap.  :raises Unreachable: after two minutes without a byte more."""
        if self._resumable and self._note is not None:
            self._note.prepare()
            self._handle = self._note.read() or ""
        if not self._handle:
            await self._open()
        failed, reached = 0, time.monotonic()
        while True:
            before = self.stored
            try:
                cap = await self._once()
                reason = "it is too busy, or a proxy in front does not reach it"
            except Problem as problem:
                if self._over:
                    await Deferred()  # the process ends
                if not isinstance(problem, Unreachable):
                    raise
                cap, reason = None, problem.reason
            if cap is not None:
                self._over = True
                return cap
            if self.stored > before:
                failed, reached = 0, time.monotonic()
            if time.monotonic() - reached > _PATIENCE:
                self._give_up(reason)
            self._tell(reason, f"Trying until {_clock(reached + _PATIENCE)}.")
            await self._gateway.sleep(_WAITS[min(failed, len(_WAITS) - 1)])
            failed += 1

    def keep(self) -> bool:
        """Leave a note of the upload, for ``--resume``; tell whether there is one."""
        if self._note is None or not self._handle:
            return False
        with suppress(OSError):
            self._note.prepare()
            self._note.write(self._handle)
            return True
        return False

    def forget(self) -> None:
        """Remove the note: nothing is to be resumed."""
        if self._note is not None:
            with suppress(OSError):
                self._note.remove()

    def last_words(self) -> str:
        """Return what is to be known after a signal."""
        done = f"{amount(self.stored)} of {amount(self._size)}"
        if self._resumable:
            return (
                f"Stopped. {done} are at the gateway; this resumes the upload, within a "
                f"day: {self._again}"
            )
        if self._removed or not self._handle:
            return (
                "Stopped. Nothing of the file is stored at the gateway; with --resume it "
                "would be, and the upload could be resumed."
            )
        return f"Stopped. {done} are at the gateway, which removes them within a day."

    def stopped(self) -> Deferred[None] | None:
        """Abort at the gateway what cannot be resumed, or look how far it is."""
        over, self._over = self._over, True
        if over:
            return None
        work = self._last_look() if self._resumable else self._leave()
        leaving = Deferred.fromCoroutine(work)
        leaving.addTimeout(_FAREWELL, self._gateway.reactor)
        return leaving.addBoth(lambda _: None)

    async def _last_look(self) -> None:
        if self._handle:
            self._count(await self._told() or {})

    async def _leave(self) -> None:
        if self._opening is not None:
            await self._opening  # the answer has the handle
        if self._handle:
            await self._gateway.ask("DELETE", f"upload/{self._handle}")
            self._removed = True

    def _give_up(self, reason: str) -> NoReturn:
        since = "" if self._since is None else f" since {_clock(self._since)}"
        text = f"{reason}{since}, and was tried again for {_PATIENCE:.0f} s"
        if self.keep():
            cure = (
                f"{amount(self.stored)} of {amount(self._size)} are there, and this "
                f"resumes the upload, within a day: {self._again}"
            )
            raise Unreachable(text, self._gateway.url, cure)
        raise Unreachable(text, self._gateway.url)

    def _tell(self, reason: str, then: str = "") -> None:
        """Say that the gateway is away, and since when."""
        if self._since is None:
            self._since = self._heard or time.monotonic()
        away = int(time.monotonic() - self._since)
        text = (
            f"The gateway does not answer ({reason}) since {_clock(self._since)}"
            f"{f', {away} s ago' if away else ''}. {then}"
        )
        self._bar.note(text.rstrip(), "away")

    def _answered(self) -> None:
        if self._since is not None:
            self._since = None
            self._bar.resumed(
                f"The gateway answers again: {amount(self.stored)} of "
                f"{amount(self._size)} are there, and the upload continues."
            )

    async def _open(self) -> None:
        query = urlencode({"key": self._key, "size": self._size})
        self._opening = Deferred()
        try:
            text = (await self._gateway.text("POST", f"upload/open?{query}")).strip()
            if not text.isascii() or not text.isprintable() or not 0 < len(text) < 200:
                raise Problem(NO_GATEWAY)
            self._handle = text
        finally:
            opening, self._opening = self._opening, None
            opening.callback(None)
        if self._over:
            await Deferred()  # the process ends
        if self._resumable and self._note is not None:
            self._note.write(self._handle)

    async def _once(self) -> str | None:
        """Send what is missing; return the cap, or None where it may be tried again."""
        told = await self._told()
        if self._over:
            await Deferred()  # the process ends
        if told is None:
            click.echo("The gateway knows this upload no more: it begins again.", err=True)
            self.stored = 0
            await self._open()
            told = {"offset": 0}
        self._offset = told["offset"]
        self._count(told)
        self._answered()
        if told.get("cap"):
            return str(told["cap"])
        self._source.seek(self._offset)
        sending = Deferred.fromCoroutine(self._send())
        self._sending = sending
        watching = Deferred.fromCoroutine(self._watch())
        watching.addErrback(lambda failure: failure.trap(CancelledError))
        try:
            return await sending
        except CancelledError:
            raise Unreachable("it is silent", self._gateway.url) from None
        finally:
            self._sending = None
            watching.cancel()

    async def _send(self) -> str | None:
        rest = self._size - self._offset
        body = FileBody(self._source, rest, lambda _: None, self._gateway.reactor)
        place = f"upload/{self._handle}?offset={self._offset}&close=true"
        response = await self._gateway.ask("PUT", place, body)
        text = await read(response)
        if response.code in _LATER:
            return None
        if response.code != 200:
            raise problem_of(response.code, text)
        cap = text.decode("ascii", "replace").strip()
        if not is_cap(cap):
            raise Problem(NO_GATEWAY)
        return cap

    async def _told(self) -> dict[str, Any] | None:
        """Return what the gateway knows of the upload; None: nothing."""
        asking = Deferred.fromCoroutine(self._asked())
        asking.addTimeout(_SHORT, self._gateway.reactor, onTimeoutCancel=self._silent)
        status, text = await asking
        if status in _LATER:
            raise Unreachable(f"it said {status}", self._gateway.url)
        self._heard = time.monotonic()
        if status == 404:
            return None
        if status != 200:
            raise problem_of(status, text)
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            told = None
        if not _is_good(told, self._size):
            raise Problem(f"the gateway does not tell how far it is: {NO_GATEWAY}")
        return dict(told)

    async def _asked(self) -> tuple[int, bytes]:
        response = await self._gateway.ask("GET", f"upload/{self._handle}?t=json")
        return response.code, await read(response, 1 << 20)

    def _silent(self, _: object, seconds: float) -> NoReturn:
        raise Unreachable(f"it is silent for {seconds:.0f} s", self._gateway.url)

    def _count(self, told: dict[str, Any]) -> None:
        here = max(int(told.get(name) or 0) for name in ("offset", "stored", "held"))
        self.stored = max(self.stored, min(here, self._size))

    async def _watch(self) -> None:
        """Show how much is stored, and end the sending when nobody is there any more."""
        failures = 0
        while True:
            try:
                told = await self._told() or {}
            except Unreachable as problem:
                failures += 1
                self._tell(problem.reason)
                if failures > 1 and self._sending is not None:
                    # A line that is cut somewhere far away says nothing for hours.
                    self._sending.cancel()
            except Problem:
                failures = 0
            else:
                failures = 0
                self._count(told)
                self._answered()
                self._bar.show(self.stored)
            await self._gateway.sleep(_POLL)


def _is_good(told: object, size: int) -> bool:
    """Whether *told*, which came from elsewhere, is the state of an upload."""
    if not isinstance(told, dict) or not isinstance(told.get("offset"), int):
        return False
    numbers = [told.get("stored") or 0, told.get("held") or 0]
    if not all(isinstance(each, int | float) and isfinite(each) for each in numbers):
        return False
    cap = told.get("cap")
    return 0 <= told["offset"] <= size and (not cap or is_cap(str(cap)))


def _clock(moment: float) -> str:
    """Return what clocks here show, or will show, at a *moment* of the monotonic one."""
    return time.strftime(
        "%H:%M:%S", time.localtime(time.time() + moment - time.monotonic())
    )
