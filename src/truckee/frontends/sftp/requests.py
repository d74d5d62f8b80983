"""
What SFTP clients ask for.  Pure.

Source: draft-ietf-secsh-filexfer-02, section 6; OpenSSH's PROTOCOL, section 4;
draft-ietf-secsh-filexfer-extensions-00, section 7 (copy-data).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum, IntFlag

from attrs import field, frozen

from truckee.frontends.sftp.attributes import Attributes, read_attributes
from truckee.frontends.sftp.wire import BadPacket, Fields

VERSION = 3


class Kind(IntEnum):
    """The types of packets that a client sends."""

    INIT = 1
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    EXTENDED = 200


class Open(IntFlag):
    """How a file is opened."""

    READ = 1
    WRITE = 2
    APPEND = 4  # each write goes to the end
    CREATE = 8
    TRUNCATE = 16
    EXCLUSIVE = 32  # there must not be one


@frozen
class OpenFile:
    """Open a file."""

    path: bytes = field(repr=False)
    flags: Open
    attributes: Attributes


@frozen
class OpenDirectory:
    """Open a directory, to list it."""

    path: bytes = field(repr=False)


@frozen
class Close:
    """Close a file or a directory; a file that was written is stored then."""

    handle: bytes


@frozen
class Read:
    """Read of a file."""

    handle: bytes
    offset: int  # bytes
    length: int  # bytes


@frozen
class Write:
    """Write to a file."""

    handle: bytes
    offset: int  # bytes
    data: memoryview = field(repr=False)


@frozen
class Stat:
    """Ask for the attributes of what a path leads to; there are no symbolic links."""

    path: bytes = field(repr=False)


@frozen
class StatHandle:
    """Ask for the attributes of what is open."""

    handle: bytes


@frozen
class SetStat:
    """Set attributes by a path."""

    path: bytes = field(repr=False)
    attributes: Attributes


@frozen
class SetStatHandle:
    """Set attributes of what is open."""

    handle: bytes
    attributes: Attributes


@frozen
class ReadDirectory:
    """Ask for the next names of a directory."""

    handle: bytes


@frozen
class Remove:
    """Remove a file."""

    path: bytes = field(repr=False)


@frozen
class MakeDirectory:
    """Make a directory."""

    path: bytes = field(repr=False)


@frozen
class RemoveDirectory:
    """Remove an empty directory."""

    path: bytes = field(repr=False)


@frozen
class RealPath:
    """Ask for the absolute form of a path."""

    path: bytes = field(repr=False)


@frozen
class Rename:
    """Rename; *replace*: what has the new name goes, as in rename(2)."""

    old: bytes = field(repr=False)
    new: bytes = field(repr=False)
    replace: bool = False


@frozen
class HardLink:
    """Give a file another name."""

    old: bytes = field(repr=False)
    new: bytes = field(repr=False)


@frozen
class Sync:
    """Ask that what was written to a file is stored now."""

    handle: bytes


@frozen
class CopyData:
    """Copy bytes from one open file to another; a *length* of 0: up to its end."""

    source: bytes
    offset: int
    length: int
    target: bytes
    target_offset: int


@frozen
class SpaceOf:
    """Ask for the space that there is."""


@frozen
class Limits:
    """Ask for the limits of this server."""


@frozen
class Unsupported:
    """What this server does not do."""

    what: str


Request = (
    OpenFile
    | OpenDirectory
    | Close
    | Read
    | Write
    | Stat
    | StatHandle
    | SetStat
    | SetStatHandle
    | ReadDirectory
    | Remove
    | MakeDirectory
    | RemoveDirectory
    | RealPath
    | Rename
    | HardLink
    | Sync
    | CopyData
    | SpaceOf
    | Limits
    | Unsupported
)


def _open(fields: Fields) -> OpenFile:
    path, flags = fields.string(), fields.u32()
    return OpenFile(path, Open(flags & 63), read_attributes(fields))


def _set_stat(fields: Fields) -> SetStat:
    return SetStat(fields.string(), read_attributes(fields))


def _make_directory(fields: Fields) -> MakeDirectory:
    path = fields.string()
    read_attributes(fields)
    return MakeDirectory(path)


def _space(fields: Fields) -> SpaceOf:
    fields.string()
    return SpaceOf()


def _extended(fields: Fields) -> Request:
    name = fields.string()
    parse = _EXTENDED.get(name)
    if parse is None:
        return Unsupported(name.decode("ascii", "replace"))
    return parse(fields)


_KINDS: Mapping[int, Callable[[Fields], Request]] = {
    Kind.OPEN: _open,
    Kind.CLOSE: lambda fields: Close(fields.string()),
    Kind.READ: lambda fields: Read(fields.string(), fields.u64(), fields.u32()),
    Kind.WRITE: lambda fields: Write(fields.string(), fields.u64(), fields.data()),
    Kind.LSTAT: lambda fields: Stat(fields.string()),
    Kind.FSTAT: lambda fields: StatHandle(fields.string()),
    Kind.SETSTAT: _set_stat,
    Kind.FSETSTAT: lambda fields: SetStatHandle(fields.string(), read_attributes(fields)),
    Kind.OPENDIR: lambda fields: OpenDirectory(fields.string()),
    Kind.READDIR: lambda fields: ReadDirectory(fields.string()),
    Kind.REMOVE: lambda fields: Remove(fields.string()),
    Kind.MKDIR: _make_directory,
    Kind.RMDIR: lambda fields: RemoveDirectory(fields.string()),
    Kind.REALPATH: lambda fields: RealPath(fields.string()),
    Kind.STAT: lambda fields: Stat(fields.string()),
    Kind.RENAME: lambda fields: Rename(fields.string(), fields.string()),
    Kind.READLINK: lambda fields: Unsupported("READLINK"),
    Kind.SYMLINK: lambda fields: Unsupported("SYMLINK"),
    Kind.EXTENDED: _extended,
}

_EXTENDED: Mapping[bytes, Callable[[Fields], Request]] = {
    b"posix-rename@openssh.com": lambda fields: Rename(
        fields.string(), fields.string(), replace=True
    ),
    b"hardlink@openssh.com": lambda fields: HardLink(fields.string(), fields.string()),
    b"fsync@openssh.com": lambda fields: Sync(fields.string()),
    b"lsetstat@openssh.com": _set_stat,
    b"statvfs@openssh.com": _space,
    b"fstatvfs@openssh.com": _space,
    b"limits@openssh.com": lambda fields: Limits(),
    b"expand-path@openssh.com": lambda fields: RealPath(fields.string()),
    b"home-directory": lambda fields: RealPath(b"."),
    b"copy-data": lambda fields: CopyData(
        fields.string(), fields.u64(), fields.u64(), fields.string(), fields.u64()
    ),
}

# With the versions of them that a client is told.
EXTENSIONS: Mapping[bytes, bytes] = {
    name: b"2" if b"statvfs" in name else b"1" for name in _EXTENDED
}


def read_version(packet: bytes) -> int:
    """Return the version of the client whose first packet this is.  :raises BadPacket:"""
    fields = Fields(packet)
    if fields.byte() != Kind.INIT:
        raise BadPacket("it does not begin with SSH_FXP_INIT")
    return fields.u32()


def read_id(packet: bytes) -> int:
    """Return the number by which a request is answered.  :raises BadPacket:"""
    fields = Fields(packet)
    fields.byte()
    return fields.u32()


def read_request(packet: bytes) -> Request:
    """
    Return what a packet asks for.

    Bytes behind its last field are passed over: clients have sent some.

    :raises BadPacket:
    """
    fields = Fields(packet)
    kind = fields.byte()
    fields.u32()
    parse = _KINDS.get(kind)
    return Unsupported(f"a packet of type {kind}") if parse is None else parse(fields)
