"""Places of uploads under way at a helper: so many, and so many of one client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field

from truckee.helper.errors import HelperBusy
from truckee.helper.ownership import Owner
from truckee.helper.server.quotas import Quotas
from truckee.helper.server.spool import UploadKey
from truckee.helper.server.upload import HelperUpload


@define(eq=False)
class Places:
    """Who has one."""

    _quotas: Quotas
    # By storage index and owner: nobody has to do with another's.
    active: dict[UploadKey, HelperUpload] = field(factory=dict, init=False)
    # Those that are not active yet, and whose file may be in use, and their clients.
    _beginning: dict[UploadKey, bytes] = field(factory=dict, init=False)

    @property
    def in_use(self) -> set[UploadKey]:
        """Uploads whose files somebody uses."""
        return self.active.keys() | self._beginning.keys()

    def rivals(self, upload: HelperUpload) -> list[HelperUpload]:
        """Return other clients' uploads with the same storage index."""
        index = upload.storage_index
        return [
            other
            for (theirs, _), other in self.active.items()
            if theirs == index and other is not upload
        ]

    async def make(self, owner: Owner) -> None:
        """
        Have a place for one more upload; an abandoned or idle one gives up its own.

        It keeps what it has, and its client goes on when there is a place again.

        :raises HelperBusy:
        """
        limits = self._quotas.limits
        _, most = limits.most_of_client
        while True:
            counts = Counter(upload.owner.client for upload in self.active.values())
            counts.update(self._beginning.values())
            alone = counts[owner.client] >= most
            if not alone and counts.total() < limits.uploads:
                return
            candidates = [
                upload
                for upload in self.active.values()
                if (upload.abandoned or upload.idle)
                and (not alone or upload.owner.client == owner.client)
            ]
            # First what nobody waits for, then of the client that has most.
            victim = max(
                candidates,
                key=lambda each: (each.abandoned, counts[each.owner.client]),
                default=None,
            )
            if victim is None:
                raise HelperBusy
            await victim.give_up()

    @contextmanager
    def beginning(self, key: UploadKey, owner: Owner) -> Iterator[None]:
        """Have a place taken while the file of *owner*'s upload is opened."""
        self._beginning[key] = owner.client
        try:
            yield
        finally:
            del self._beginning[key]
