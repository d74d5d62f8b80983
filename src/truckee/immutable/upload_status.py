"""What became of an upload, for its owner."""

from __future__ import annotations

from attrs import define, field, frozen


@frozen
class LostShare:
    """A share that was given up on one server."""

    share: int
    server: str
    reason: str


@define(eq=False)
class UploadStatus:
    """
    Filled in by those who carry an upload out; read by whoever asked for it.

    What is lost and on no other server wants a repair.
    """

    route: str = ""  # how it left: "cap" alone, "servers" from here, "helper"
    held: int = 0  # bytes of ciphertext on the helper's disk
    stored: int = 0  # bytes of ciphertext whose blocks are on servers
    shares: dict[int, list[str]] = field(factory=dict)  # names of the servers of each
    seeds: dict[int, list[bytes]] = field(factory=dict)  # their lease seeds, which differ
    found: int = 0  # shares that were there before
    lost: list[LostShare] = field(factory=list)
    happiness: int = 0  # that was reached
