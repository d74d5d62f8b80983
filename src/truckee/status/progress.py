"""How far something is, told by those who carry it out."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field, frozen

from truckee.status.gate import Gate


@frozen
class LostShare:
    """A share that was given up on one server."""

    share: int
    server: str
    reason: str


@define(eq=False)
class Progress:
    """Filled in on the way; read by whoever asked for it.  Counts are in bytes."""

    route: str = ""  # of an upload: "cap" alone, "servers" from here, "helper"
    phase: str = "waiting"  # see docs/reference/web-api.md, "Tasks"
    size: int | None = None  # of all there is to do, when that is known
    received: int = 0  # from the client
    encrypted: int = 0
    spooled: int = 0  # on the gateway's own disk
    held: int = 0  # of ciphertext on the helper's disk
    stored: int = 0  # of ciphertext whose blocks are on servers
    sent: int = 0  # to the client
    objects: int = 0  # of a tree, not bytes: how many were met
    shares: dict[int, list[str]] = field(factory=dict)  # names of the servers of each
    lost: list[LostShare] = field(factory=list)
    unproved: list[int] = field(factory=list)  # shares that were stored and not read back
    happiness: int = 0  # that was reached
    gate: Gate = field(factory=Gate, init=False)  # shut while it is paused


@frozen
class Reading:
    """Adjacent bytes of a file that a client asked for."""

    start: int
    length: int
    before: int = 0  # bytes that are sent before them and are none of the file


@define(eq=False)
class ReadProgress(Progress):
    """Progress of a download, of which it is known what is read."""

    reads: Sequence[Reading] = ()  # in the order in which they are sent
