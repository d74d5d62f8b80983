"""
Attributes of files and directories, as SFTP sends them.  Pure.

Source: draft-ietf-secsh-filexfer-02, section 5.
"""

from __future__ import annotations

import stat
from datetime import UTC, datetime

from attrs import frozen

from truckee.frontends.sftp.wire import BadPacket, Fields, string, u32, u64

_SIZE, _OWNER, _MODE, _TIMES, _EXTENDED = 1, 2, 4, 8, 0x80000000
_KNOWN = _SIZE | _OWNER | _MODE | _TIMES | _EXTENDED
_MOST_EXTENDED = 32
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_HALF_YEAR = 182 * 86400.0  # seconds
_LATEST = (1 << 32) - 1  # seconds since 1970 that the format can hold


@frozen
class Attributes:
    """What is known of a file, or is to be set; None: nothing is said of it."""

    size: int | None = None  # bytes
    owner: tuple[int, int] | None = None  # numbers of the user and the group
    mode: int | None = None  # type and permissions, as in stat(2)
    times: tuple[int, int] | None = None  # accessed, modified: seconds since 1970

    def pack(self) -> bytes:
        """Return them as they are sent."""
        flags, parts = 0, list[bytes]()
        if self.size is not None:
            flags |= _SIZE
            parts.append(u64(self.size))
        if self.owner is not None:
            flags |= _OWNER
            parts += map(u32, self.owner)
        if self.mode is not None:
            flags |= _MODE
            parts.append(u32(self.mode))
        if self.times is not None:
            flags |= _TIMES
            parts += (u32(min(max(0, each), _LATEST)) for each in self.times)
        return u32(flags) + b"".join(parts)

    @property
    def is_directory(self) -> bool:
        """Whether they are of a directory."""
        return self.mode is not None and stat.S_ISDIR(self.mode)


def read_attributes(fields: Fields) -> Attributes:
    """Return the attributes that come next.  :raises BadPacket:"""
    flags = fields.u32()
    if flags & ~_KNOWN:
        raise BadPacket("attributes of another version")
    size = fields.u64() if flags & _SIZE else None
    owner = (fields.u32(), fields.u32()) if flags & _OWNER else None
    mode = fields.u32() if flags & _MODE else None
    times = (fields.u32(), fields.u32()) if flags & _TIMES else None
    if flags & _EXTENDED:
        count = fields.u32()
        if count > _MOST_EXTENDED:
            raise BadPacket("too many extended attributes")
        for _ in range(2 * count):
            fields.string()
    return Attributes(size, owner, mode, times)


def long_name(name: bytes, attributes: Attributes, now: float) -> bytes:
    """Return the line that ``ls -l`` shows of a file at *now*, in Unix seconds and UTC."""
    owner = attributes.owner or (0, 0)
    mode = stat.filemode(attributes.mode or 0)
    when = _when(0 if attributes.times is None else attributes.times[1], now)
    text = f"{mode} 1 {owner[0]} {owner[1]} {attributes.size or 0:>12} {when} "
    return text.encode("ascii") + name


def _when(seconds: int, now: float) -> str:
    """Return a time as ``ls`` does: with the hour if it is of the last half year."""
    try:
        time = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        time = datetime.fromtimestamp(0, UTC)
    month = _MONTHS[3 * time.month - 3 : 3 * time.month]
    recent = 0 <= now - seconds < _HALF_YEAR
    last = f"{time:%H:%M}" if recent else f"{time.year:>5}"
    return f"{month} {time.day:>2} {last}"


def entry(name: bytes, attributes: Attributes, now: float) -> bytes:
    """Return one name of a listing as it is sent at *now*."""
    return string(name) + string(long_name(name, attributes, now)) + attributes.pack()
