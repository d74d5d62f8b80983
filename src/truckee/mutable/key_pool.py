"""
Keys of mutable files, made ahead of need.

Making one takes a core for up to a second, so a few are ready before anybody asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from truckee.codec.rsa_keys import SigningKey
from truckee.errors import Unavailable
from truckee.flow.cpu import Workers

log = Logger()


@define
class NoMoreKeys(Unavailable):
    """This node is stopping and makes no new files. Try again when it runs."""


@define(eq=False)
class KeyPool:
    """
    Keep *ready* new keys; make the next ones in *workers*.

    That is one at a time, but as many as there are workers from when the last one was taken
    until one is ready again.  None are made before ``start``, unless somebody takes one,
    and none after ``stop``.
    """

    _workers: Workers
    _ready: int = 4  # keys that are made ahead, each about 4 KiB of memory
    _generate: Callable[[], SigningKey] = SigningKey.generate
    _keys: deque[SigningKey] = field(factory=deque, init=False, repr=False)
    _waiting: deque[Deferred[SigningKey]] = field(factory=deque, init=False, repr=False)
    _filling: bool = field(default=False, init=False)  # up to _ready, since it started
    _making: int = field(default=0, init=False)
    _hurry: bool = field(default=False, init=False)  # none is ready, and some are wanted
    _stopped: bool = field(default=False, init=False)

    @property
    def ready(self) -> int:
        """How many keys can be taken without a wait."""
        return len(self._keys)

    def start(self) -> None:
        """Begin to make keys."""
        self._filling = True
        self._refill()

    def stop(self) -> None:
        """Start no other one, and let nobody wait any longer.  One under way is dropped."""
        self._stopped = True
        self._keys.clear()
        self._fail(Failure(NoMoreKeys()))  # type: ignore[no-untyped-call]

    async def take(self) -> SigningKey:
        """
        Return a key that nobody else gets: one that is ready, else the next one made.

        :raises NoMoreKeys: after ``stop``.  What goes wrong when a key is made is raised
            too, in all who wait for it.
        """
        if self._stopped:
            raise NoMoreKeys
        if self._keys:
            key = self._keys.popleft()
            self._hurry = not self._keys
            self._refill()
            return key
        waiting: Deferred[SigningKey] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        self._hurry = True
        self._refill()
        return await waiting

    def _refill(self) -> None:
        wanted = len(self._waiting) + (self._ready if self._filling else 0)
        most = min(wanted - len(self._keys), self._workers.threads if self._hurry else 1)
        while not self._stopped and self._making < most:
            self._making += 1
            made = Deferred.fromCoroutine(self._workers.run(self._generate))
            made.addCallbacks(self._store, self._failed)

    def _store(self, key: SigningKey) -> None:
        self._making -= 1
        if self._stopped:
            return
        if self._waiting:
            self._waiting.popleft().callback(key)
        else:
            self._keys.append(key)
            self._hurry = False
        self._refill()

    def _failed(self, failure: Failure) -> None:
        # No other one is begun before somebody asks: it would fail again, and again.
        self._making -= 1
        if not self._stopped:
            log.failure("a key for a mutable file could not be made", failure)
            self._fail(failure)

    def _fail(self, failure: Failure) -> None:
        # Those alone who wait now: one of them may ask again at once, or cancel another.
        for _ in range(len(self._waiting)):
            if self._waiting:
                self._waiting.popleft().errback(failure)
