"""Complete files whose clients are gone are stored all the same."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from truckee.helper.ownership import Owner, parse_name
from truckee.helper.server.spool import Spool, read_note, set_aside
from truckee.helper.wire import Parameters
from truckee.status.problems import Problems

log = Logger()

# Takes a storage index, an owner, how the file is to be stored, and its bytes.
Store = Callable[[bytes, Owner, Parameters, int], Coroutine[Deferred[Any], Any, None]]

# As much of a storage index as is shown.
_SHOWN = 5  # characters


@define(eq=False)
class Unattended:
    """Finds them by their notes."""

    _spool: Spool
    _problems: Problems | None

    async def store(self, wanted: Callable[[bytes, Owner], bool], store: Store) -> None:
        """Have *store* do so one by one, with those that are *wanted* when it is so far."""
        for note in self._spool.notes():
            known = parse_name(note.stem)
            if known is None or not wanted(*known):
                continue
            found = self._read(note, *known)
            if found is None:
                continue
            try:
                await store(*known, *found)
            except Exception as error:
                # Whatever is wrong with this one, there are others.
                log.warn(
                    "{name} is not stored yet: {error}", name=note.stem, error=str(error)
                )

    def _read(
        self, note: Path, storage_index: bytes, owner: Owner
    ) -> tuple[Parameters, int] | None:
        """Return what a note says, if it is of the file beside it."""
        try:
            parameters, size = read_note(note)
            if self._spool.size_of(storage_index, owner) == size:
                return parameters, size
            log.warn("{name} is of another file", name=note.name)
            note.unlink(missing_ok=True)
        except ValueError as error:
            self._set_aside(note, error)
        except OSError as error:
            # A disk that cannot be read now may be read later.
            log.warn("{name} is left alone: {error}", name=note.name, error=str(error))
        return None

    def _set_aside(self, note: Path, error: Exception) -> None:
        """Try a damaged note no more, and have the operator know."""
        aside = set_aside(note)
        log.error("{name} is damaged: {error}", name=note.name, error=str(error))
        if self._problems is not None:
            # All of it is no more than is told of other files here.
            name = f"helper/{aside.parent.name}/{note.name[:_SHOWN]}….damaged"
            text = (
                f"The note of a complete file is damaged and was set aside: {name}. It "
                "is stored when its gateway asks for it again, and expires if it does not."
            )
            self._problems.report(name, text)
