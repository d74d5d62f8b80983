"""What a helper stored lately, and for whom."""

from __future__ import annotations

from collections import Counter, OrderedDict

from attrs import define, field, frozen

from truckee.helper.ownership import Owner

# Files that are remembered, of one client and of all.
_MOST_OF_CLIENT = 500
_MOST = 10_000


@frozen
class _File:
    ueb: bytes = field(repr=False)
    client: bytes = field(repr=False)
    unheard: float | None  # when it was stored, if its gateway was not there to hear it


@define(eq=False)
class StoredFiles:
    """Files by storage index and owner; one client cannot push out those of others."""

    _files: OrderedDict[tuple[bytes, bytes], _File] = field(
        factory=OrderedDict, init=False, repr=False
    )
    _counts: Counter[bytes] = field(factory=Counter, init=False, repr=False)

    def __len__(self) -> int:
        return len(self._files)

    def add(
        self, storage_index: bytes, owner: Owner, ueb: bytes, unheard: float | None
    ) -> None:
        """Remember a file."""
        self._drop((storage_index, owner.id))
        if self._counts[owner.client] >= _MOST_OF_CLIENT:
            self._drop(self._first_of(owner.client))
        elif len(self._files) >= _MOST:
            [(greediest, _)] = self._counts.most_common(1)
            self._drop(self._first_of(greediest))
        self._files[storage_index, owner.id] = _File(ueb, owner.client, unheard)
        self._counts[owner.client] += 1

    def ueb(self, storage_index: bytes, owner: Owner) -> bytes:
        """Return the UEB of what *owner* stored; empty: it is not known."""
        file = self._files.get((storage_index, owner.id))
        return b"" if file is None else file.ueb

    def unheard(self, storage_index: bytes, owner: Owner, since: float) -> bytes:
        """Return the same of what was stored after *since* while its gateway was away."""
        file = self._files.get((storage_index, owner.id))
        if file is None or file.unheard is None or file.unheard <= since:
            return b""
        return file.ueb

    def _first_of(self, client: bytes) -> tuple[bytes, bytes]:
        return next(key for key, file in self._files.items() if file.client == client)

    def _drop(self, key: tuple[bytes, bytes]) -> None:
        file = self._files.pop(key, None)
        if file is not None:
            self._counts[file.client] -= 1
            if not self._counts[file.client]:
                del self._counts[file.client]
