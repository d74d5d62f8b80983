"""The private key of a mutable file, from any share that has a good one."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from truckee.codec.caps import MutableWriteCap
from truckee.codec.mutable_errors import BadShare
from truckee.codec.mutable_layout import Part
from truckee.codec.mutable_secrets import decrypt_private_key
from truckee.codec.rsa_keys import SigningKey
from truckee.flow.changes import Changes
from truckee.flow.cpu import Workers
from truckee.flow.together import Group
from truckee.mutable.advisories import Advisories
from truckee.mutable.in_flight import InFlight
from truckee.mutable.versions import Place
from truckee.storage.interfaces import SlotRead

log = Logger()


@define(eq=False)
class KeySearch:
    """
    Read the private key from one share, and from another one if that is damaged or slow.

    What it does runs in *group*; after each step *changes* wake.
    """

    _cap: MutableWriteCap = field(repr=False)
    _cpu: Workers
    _clock: IReactorTime
    _advisories: Advisories
    _group: Group
    _changes: Changes
    key: SigningKey | None = field(default=None, repr=False)
    reads: InFlight[Place] = field(factory=InFlight, init=False)
    # Shares that were not tried: where they have it, and what was read there.
    _untried: dict[Place, tuple[Part, bytes | None]] = field(
        factory=dict, init=False, repr=False
    )

    def add(self, place: Place, part: Part, encrypted: bytes | None) -> None:
        """Know of a share that has the key at *part*, which was read already or not."""
        self._untried[place] = part, encrypted

    def start_next(self) -> bool:
        """Begin to read a key if none is at hand; return whether that was done."""
        if self.key is not None or self.reads.quick or not self._untried:
            return False
        # One that was read already, if there is one.
        place = max(self._untried, key=lambda place: self._untried[place][1] is not None)
        self.reads.start(place, self._clock.seconds())
        self._group.start(self._try(place, *self._untried.pop(place)))
        return True

    async def _try(self, place: Place, part: Part, encrypted: bytes | None) -> None:
        name, index = place.server.name, self._cap.verify_cap().storage_index
        try:
            if encrypted is None and (slots := place.server.slots) is not None:
                read = SlotRead(part.offset, part.length)
                answer = await slots.read(index, {place.number}, [read])
                encrypted = b"".join(answer.get(place.number, ()))
            key = await self._cpu.run(decrypt_private_key, self._cap, encrypted or b"")
            self.key = key
        except CancelledError:
            raise
        except BadShare as error:
            self._advisories.send(index, place, error.reason)
        except Exception as error:
            log.warn("{server} gave no private key: {error}", server=name, error=str(error))
        finally:
            self.reads.end(place, self._clock.seconds())
            self._changes.wake()
