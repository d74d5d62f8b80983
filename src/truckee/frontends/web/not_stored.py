"""
What clients have brought and is not stored yet: what is lost if the gateway ends now.

Source: ``docs/reference/web-api.md``, "Tasks".
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen
from twisted.web.template import Flattenable, tags

from truckee.frontends.web.words import amount, counted, duration
from truckee.status.task import Task


@frozen
class NotStored:
    """All uploads that are under way, as one."""

    files: int
    bytes: int  # at least: of some nobody knows how many are still to come
    seconds: float | None  # until all are stored; None while nobody knows

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> NotStored:
        """Return what of *tasks*, which are under way, is not stored."""
        uploads = [task for task in tasks if task.kind == "upload"]
        missing, times = 0, list[float | None]()
        for task in uploads:
            task.look()
            whole = task.progress.size
            whole = task.progress.received if whole is None else whole
            missing += max(0, whole - task.done)
            times.append(task.time_left)
        known = [seconds for seconds in times if seconds is not None]
        return cls(
            len(uploads), missing, max(known, default=0.0) if None not in times else None
        )

    def document(self) -> dict[str, object]:
        """Return it for programs."""
        seconds = None if self.seconds is None else round(self.seconds, 1)
        return {"files": self.files, "bytes": self.bytes, "eta": seconds}

    def sentence(self) -> Flattenable:
        """Return it for people."""
        if not self.files:
            return tags.p("All that was brought here is stored.", class_="note")
        are = "is" if self.files == 1 else "are"
        text = f"{counted(self.files, 'file')} {are} not stored yet"
        if self.bytes:
            text += f", {amount(self.bytes)}"
        if self.seconds:
            text += f"; about {duration(self.seconds)} left"
        until = "it is" if self.files == 1 else "they are"
        return tags.p(f"{text}. Leave the gateway running until {until}.", class_="note")
