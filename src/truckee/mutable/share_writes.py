"""
The requests that put the shares of one version into their places, and what came of each.

Source: ``docs/mutable-files.md``, "How a version is written".  A request changes one share
and tests that it is still what it was; its answer shows all shares of the file that the
server has, so that another writer is noticed who wrote elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.codec.caps import MutableWriteCap
from truckee.codec.mutable_prefix import Prefix
from truckee.codec.mutable_secrets import write_enabler
from truckee.codec.mutable_share import VerifiedShare
from truckee.codec.secrets import lease_secrets
from truckee.errors import TruckeeError
from truckee.flow.together import together
from truckee.mutable.errors import UncoordinatedWrite
from truckee.mutable.versions import Place, Versions, numbers_of
from truckee.mutable.write_errors import TooFewPlaced
from truckee.storage.interfaces import (
    IStorageServer,
    NotConnected,
    SlotAnswer,
    SlotChange,
    SlotRead,
    SlotSecrets,
    SlotTest,
    SlotWrite,
)
from truckee.storage.limited import in_time

log = Logger()

# Seconds after which the outcome of a request counts as unknown: for the answer, and for
# the bytes of all requests that are sent with it, over the thinnest line we reckon with.
_ANSWER = 60.0
_RATE = 16_384  # bytes in a second
_DELETION = 15.0  # seconds for what may as well fail

# There is no such share, or one without bytes: what is read of it is nothing.
ABSENT = SlotTest(0, 1, b"")


@frozen(eq=False)
class Published:
    """A version that is on the servers, with at least k distinct shares."""

    prefix: Prefix
    placed: Mapping[Place, VerifiedShare]  # the shares that servers said they wrote
    failed: Mapping[Place, str]  # why one is not there, or may not be


@define(eq=False)
class ShareWrites:
    """
    What is written of one version of the file of *cap*, which is known to be *known*.

    A place is *surprised* when somebody else wrote there meanwhile; it is *failed* when
    its server did not say that it wrote, whether it did or not.
    """

    cap: MutableWriteCap
    known: Versions
    _lease_secret: bytes = field(repr=False)  # 32 bytes, of this client
    check_size: int  # of the new version's checkstring: 57 or 41
    _clock: IReactorTime
    planned: set[Place] = field(factory=set, init=False)  # ours, whatever became of them
    placed: set[Place] = field(factory=set, init=False)  # the whole share is there
    failed: dict[Place, str] = field(factory=dict, init=False)  # why
    surprised: set[Place] = field(factory=set, init=False)
    _index: bytes = field(init=False, repr=False)
    _secrets: dict[IStorageServer, SlotSecrets] = field(
        factory=dict, init=False, repr=False
    )

    def __attrs_post_init__(self) -> None:
        self._index = self.cap.verify_cap().storage_index

    def is_known(self, place: Place) -> bool:
        """Tell whether there was a share at *place* when it was looked at."""
        return place in self.known.shares or place in self.known.damaged

    def before(self, place: Place) -> SlotTest:
        """Return the test that nobody has written at *place* since it was looked at."""
        share = self.known.shares.get(place)
        if share is not None:
            specimen = share.header.prefix.checkstring
        elif place in self.known.damaged:
            specimen = self.known.damaged[place].head
        else:
            specimen = b""
        return SlotTest(0, len(specimen), specimen) if specimen else ABSENT

    async def send(
        self,
        place: Place,
        test: SlotTest,
        writes: Sequence[SlotWrite],
        new: bytes,
        beside: int,
        new_length: int | None = None,
    ) -> bool:
        """
        Write at *place* if *test* holds; tell whether that is done.

        *new* is what the share of the new version begins with, empty as long as that is not
        known; *beside* counts the bytes that are sent at the same time, these included.
        Whatever else happens is in ``failed`` or ``surprised``.
        """
        self.planned.add(place)
        change = SlotChange([test], writes, new_length)
        try:
            answer = await in_time(
                self._ask(place, change),
                _ANSWER + beside / _RATE,
                self._clock,
                place.server.name,
            )
        except (OSError, TruckeeError) as error:
            # What it was asked may be done all the same, or still be done.
            log.info("{server} did not say that it wrote", server=place.server.name)
            self.failed[place] = str(error) or type(error).__name__
            return False
        done = answer.success or (
            # An earlier try of this request may have come through and its answer not.
            bool(new) and _head(answer, place.number, len(new)) == new
        )
        if not done or self._has_strangers(place.server, answer, new):
            self.surprised.add(place)
            return False
        return True

    def check(self, needed: int) -> None:
        """
        Let it pass as a version of which *needed* different shares are enough.

        :raises UncoordinatedWrite: :raises TooFewPlaced:
        """
        if self.surprised:
            raise UncoordinatedWrite
        numbers = numbers_of(self.placed)
        if len(numbers) < needed:
            raise TooFewPlaced(len(numbers), needed)

    async def delete(self, place: Place, test: SlotTest, new: bytes = b"") -> None:
        """
        Delete a share if *test* holds; it is *surprised* if it does not.

        Else nothing depends on whether that is done.  *new* is as for ``send``.
        """
        work = self._ask(place, SlotChange([test], new_length=0))
        try:
            answer = await in_time(work, _DELETION, self._clock, place.server.name)
        except (OSError, TruckeeError):
            log.info("{server} deleted no share", server=place.server.name)
            return
        if not answer.success or self._has_strangers(place.server, answer, new):
            self.surprised.add(place)

    async def withdraw(self, *beginnings: bytes) -> None:
        """Delete what was written that begins so, where nobody else has written since."""
        for begin in beginnings:
            test = SlotTest(0, len(begin), begin)
            await together(self.delete(place, test) for place in self.planned)

    async def _ask(self, place: Place, change: SlotChange) -> SlotAnswer:
        server = place.server
        if server.slots is None:
            raise NotConnected(server.name)
        return await server.slots.test_and_write(
            self._index,
            self._secrets_for(server),
            {place.number: change},
            [SlotRead(0, self.check_size)],
        )

    def _secrets_for(self, server: IStorageServer) -> SlotSecrets:
        secrets = self._secrets.get(server)
        if secrets is None:
            seed = server.lease_seed
            secrets = self._secrets[server] = SlotSecrets(
                write_enabler(self.cap.write_key, seed),
                lease_secrets(self._lease_secret, self._index, seed),
            )
        return secrets

    def _has_strangers(
        self, server: IStorageServer, answer: SlotAnswer, new: bytes
    ) -> bool:
        """Tell whether the server has a share that neither we nor the map know of."""
        for number in answer.data:
            place = Place(server, number)
            head = _head(answer, number, self.check_size)
            if place in self.planned or head == new:
                continue
            if not self.is_known(place):
                return True
            specimen = self.before(place).specimen
            if head[: len(specimen)] != specimen[: len(head)]:
                return True
        return False


def _head(answer: SlotAnswer, number: int, size: int) -> bytes:
    """Return what a share began with before the request, at most *size* bytes."""
    parts = answer.data.get(number, ())
    return bytes(parts[0][:size]) if parts else b""
