"""From who has logged in to a session in his tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IReactorTime

from truckee.codec.caps import DirectoryCap, parse_cap
from truckee.frontends.sftp.contents import Contents
from truckee.frontends.sftp.files import Files
from truckee.frontends.sftp.session import Output, Session
from truckee.frontends.sftp.view import SeenDirectories, View
from truckee.frontends.sftp.writing import Writings
from truckee.immutable.download.downloader import Downloader
from truckee.mutable.files import MutableFiles
from truckee.tree.directories import Directories
from truckee.uploads.written_files import WrittenFiles


class LoggedIn(Protocol):
    """Somebody who may use a tree."""

    @property
    def name(self) -> str:
        """Who it is."""

    @property
    def root(self) -> str:
        """The cap of the directory that is his root."""


class Accounts(Protocol):
    """All who may."""

    def find(self, name: str) -> LoggedIn | None:
        """Return somebody as he is now; None: he may not any more."""


@define(eq=False)
class SftpService:
    """What all sessions share."""

    _directories: Directories
    _mutable: MutableFiles
    _downloader: Downloader
    written: WrittenFiles
    _accounts: Accounts
    _quota: Callable[[], tuple[int, int] | None]
    _owner: tuple[int, int]  # numbers of the user and the group that files seem to have
    _now: Callable[[], float]  # Unix seconds
    _clock: IReactorTime

    def begin(self, name: bytes, output: Output, who: LoggedIn) -> Session | None:
        """Return a session of the subsystem *name*; None: there is none."""
        root = parse_cap(who.root)
        if name != b"sftp" or not isinstance(root, DirectoryCap):
            return None
        seen = SeenDirectories(self._directories, self._clock)
        contents = Contents(self._downloader, self._mutable.reader, self._clock)
        writings = Writings(self._directories, self._mutable)
        view = View(root, seen, contents, writings, self._owner, self._now)

        def may_go_on() -> bool:
            now = self._accounts.find(who.name)
            return now is not None and now.root == who.root

        files = Files(view, self.written, self._quota, who.name)
        return Session(files, output, may_go_on, self._clock)
