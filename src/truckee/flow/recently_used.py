"""What was used last, as much as there is room for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from attrs import define, field

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@define(eq=False)
class RecentlyUsed(Generic[K, V]):
    """Values by key, which cost at most *limit* together; those used last are kept."""

    _limit: int  # bytes
    _cost: Callable[[V], int]  # bytes of one value, the same each time
    used: int = field(default=0, init=False)  # bytes of all
    _values: OrderedDict[K, V] = field(factory=OrderedDict, init=False, repr=False)

    def get(self, key: K) -> V | None:
        """Return a value that is still there; that is a use of it."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep *value* in the place of what was there, unless it is too large for that."""
        self.drop(key)
        cost = self._cost(value)
        if cost > self._limit:
            return
        self._values[key] = value
        self.used += cost
        while self.used > self._limit:
            _, oldest = self._values.popitem(last=False)
            self.used -= self._cost(oldest)

    def drop(self, key: K) -> None:
        """Forget a value; it need not be there."""
        value = self._values.pop(key, None)
        if value is not None:
            self.used -= self._cost(value)

    def clear(self) -> None:
        """Forget all of them."""
        self._values.clear()
        self.used = 0
