"""Bounds of a helper, of all its clients together and of each alone.  Pure."""

from __future__ import annotations

from attrs import evolve, frozen


@frozen
class HelperLimits:
    """Bounds of one helper."""

    spool: int = 64 << 30  # bytes of ciphertext on its disk, of all uploads together
    size: int = 1 << 40  # bytes of one file
    uploads: int = 64  # under way at once
    expire_after: float = 14 * 86400.0  # seconds from the last byte
    # Bytes that servers are asked to have room for, of a file whose size is not known.
    open_ended: int = 4 << 30
    # The same as the first and the third for one client alone; None: no less.
    client_spool: int | None = None
    client_uploads: int | None = None

    def for_strangers(self) -> HelperLimits:
        """Return the same, with half of it for one client where nothing else was said."""
        spool, uploads = self.client_spool, self.client_uploads
        return evolve(
            self,
            client_spool=self.spool // 2 if spool is None else spool,
            client_uploads=-(-self.uploads // 2) if uploads is None else uploads,
        )

    @property
    def most_of_client(self) -> tuple[int, int]:
        """Bytes of ciphertext, and uploads under way, of one client."""
        spool, uploads = self.client_spool, self.client_uploads
        return (
            self.spool if spool is None else min(spool, self.spool),
            self.uploads if uploads is None else min(uploads, self.uploads),
        )
