"""
What a stock helper asks of the file that our gateway brings it.

Source: ``docs/formats/helper-stock.md``, "How a stock helper pulls".
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from foolscap.api import Referenceable
from twisted.internet.defer import Deferred

from truckee.errors import Misuse, Unavailable
from truckee.helper.gateway.pull_window import PullWindow
from truckee.helper.gateway.push_session import HelperForgot
from truckee.helper.protocol import RIEncryptedUploadable
from truckee.helper.wire import LARGEST_PIECE, Parameters
from truckee.storage.foolscap_schema import serves


@define
class BadPull(Misuse):
    """There is nothing to be had like that: {reason}"""

    reason: str


@define
class PullOver(Unavailable):
    """The gateway brings no more of this file."""


@serves(RIEncryptedUploadable)
@define(eq=False)
class PulledFile(Referenceable):
    """One file for one upload at the helper.  ``stop`` it in the end."""

    _window: PullWindow
    _parameters: Parameters
    _asked: Callable[[], None]  # the helper shows that it works
    _failed: Callable[[Exception], None]  # the helper asks for what is gone
    _open: bool = field(default=True, init=False)
    _greeted: bool = field(default=False, init=False)  # it asked for something before
    # The pull that waits for more bytes: offset, length, where they go.
    _pull: tuple[int, int, Deferred[list[bytes]]] | None = field(default=None, init=False)

    @property
    def waits(self) -> bool:
        """Whether the helper waits for us."""
        return self._pull is not None

    def remote_get_size(self) -> int:
        self._note()
        return self._window.size

    def remote_get_all_encoding_parameters(self) -> tuple[int, int, int, int]:
        if not self._greeted:
            # It would ask for the size if it wanted any bytes.
            self._window.skip()
        self._note()
        return self._parameters.to_wire()

    def remote_read_encrypted(self, offset: int, length: int) -> Deferred[list[bytes]]:
        self._note()
        if self._pull is not None:
            raise BadPull("bytes that were asked for have not come yet")
        answer: Deferred[list[bytes]] = Deferred()
        self._pull = offset, length, answer
        self.answer()
        return answer

    def remote_close(self) -> None:
        """The helper needs no more of it; it says so more than once."""
        if self._open:
            self._asked()

    def answer(self) -> None:
        """Give the helper what it waits for, if that is there now."""
        if self._pull is None:
            return
        offset, length, answer = self._pull
        try:
            data = self._window.pull(offset, length, LARGEST_PIECE)
        except ValueError as error:
            self._pull = None
            answer.errback(BadPull(str(error)))
        except HelperForgot as error:
            self._pull = None
            self._failed(error)
            answer.errback(error)
        else:
            if data is not None:
                self._pull = None
                answer.callback([data] if data else [])
            # What it has already makes room, whether it got more now or not.
            self._asked()

    def stop(self) -> None:
        """Answer no more; may be called twice."""
        self._open = False
        pull, self._pull = self._pull, None
        if pull is not None:
            pull[2].errback(PullOver())

    def _note(self) -> None:
        if not self._open:
            raise PullOver
        self._greeted = True
        self._asked()
