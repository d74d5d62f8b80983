"""One request, and what answering it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from attrs import frozen

from truckee.accounts.account import Account
from truckee.codec.caps import DirectoryCap, MalformedCap, parse_cap
from truckee.frontends.http.path_names import names_in
from truckee.frontends.http.sending import Sender, header
from truckee.frontends.webdav.destination import MOUNT, own_names, segments_of
from truckee.frontends.webdav.errors import BadDavName, BadHeader, OtherServer
from truckee.frontends.webdav.locks import Locks
from truckee.frontends.webdav.login import Login, cap_of
from truckee.frontends.webdav.way import Way, find_way
from truckee.frontends.webdav.xml_out import escaped, path_of
from truckee.immutable.download.downloader import Downloader
from truckee.immutable.upload.uploader import Uploader
from truckee.mutable.files import MutableFiles
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import Responder
from truckee.status.tasks import Tasks
from truckee.tree.directories import Directories
from truckee.tree.links import Links


@frozen(eq=False)
class Dav:
    """What all requests share."""

    directories: Directories
    uploader: Uploader
    downloader: Downloader
    mutable: MutableFiles
    responder: Responder
    tasks: Tasks
    locks: Locks
    default_key: str
    quota: Callable[[], tuple[int, int] | None]  # bytes available and used, if known
    login: Login

    @property
    def links(self) -> Links:
        """What changes links."""
        return Links(self.directories)

    @property
    def sender(self) -> Sender:
        """What sends the bytes of files."""
        return Sender(self.tasks)


@frozen(eq=False)
class Asked:
    """One request, for what stands at the end of *names* below *root*."""

    dav: Dav
    request: StreamingRequest
    root: DirectoryCap
    names: tuple[str, ...]
    by_account: bool = False  # the root is an account's, and no address has its cap

    @classmethod
    def of(cls, dav: Dav, request: StreamingRequest) -> Asked:
        """:raises MalformedCap: :raises BadDavName: :raises EmptyName: :raises NotUtf8:"""
        root, names = target_of(request.postpath)
        return cls(dav, request, root, names)

    @classmethod
    def of_account(cls, dav: Dav, request: StreamingRequest, account: Account) -> Asked:
        """:raises BadDavName: :raises EmptyName: :raises NotUtf8:"""
        root = cap_of(account.root.encode("ascii"))
        assert root is not None
        return cls(dav, request, root, _names(request.postpath), True)

    @property
    def prefix(self) -> str:
        """What a proxy takes off in front of our paths."""
        url = self.request.own_url("/")
        return urlsplit(url).path.rstrip("/") if url.startswith("http") else ""

    def href(self, names: Sequence[str], is_directory: bool) -> str:
        """Return the path of something below the root, as the client asks for it."""
        mount = MOUNT
        if not self.by_account:
            # The cap as this client writes it: some compare addresses letter by letter.
            mount += self.request.path.decode("ascii", "replace").split("/")[2] + "/"
        path = escaped(f"{self.prefix}{mount}{path_of(names)}")
        return f"{path}/" if is_directory and names else path

    def elsewhere(self, address: str) -> tuple[DirectoryCap, tuple[str, ...]]:
        """
        Return what an address in a header leads to.

        :raises OtherServer: :raises MalformedCap: :raises BadDavName: :raises EmptyName:
        """
        request = self.request
        host = request.header_lines("host")
        own = own_names(request.own_url("/"), *(f"//{each}" for each in host))
        own |= own_names(*(f"https://{each}" for each in host))
        own |= own_names(*(f"http://{each}" for each in host))
        segments = segments_of(address, own, self.prefix)
        if not self.by_account:
            return target_of(segments)
        if cap_of(segments[0]) is not None:
            raise OtherServer
        return self.root, _names(segments)

    def shows(self, names: Sequence[str]) -> bool:
        """Tell whether what is at *names* has an address."""
        if self.by_account and len(names) == 1 and cap_of(names[0].encode("utf-8")):
            return False  # there is the directory of that cap
        return is_shown(names[-1])

    def depth(self, default: str) -> str:
        """Return the Depth header: 0, 1 or infinity.  :raises BadHeader:"""
        text = (self.header("depth") or default).strip().lower()
        if text not in ("0", "1", "infinity"):
            raise BadHeader("Depth", "it is 0, 1 or infinity")
        return text

    def overwrite(self) -> bool:
        """Return whether what is at the destination may be replaced.  :raises BadHeader:"""
        text = (self.header("overwrite") or "T").strip().upper()
        if text not in ("T", "F"):
            raise BadHeader("Overwrite", "it is T or F")
        return text == "T"

    def header(self, name: str) -> str | None:
        """Return a header."""
        return header(self.request, name.encode("ascii"))

    async def way(self, names: Sequence[str] | None = None) -> Way:
        """Go along the names.  :raises NoSuchChild: :raises NotADirectory:"""
        names = self.names if names is None else names
        return await find_way(self.dav.directories, self.root, names)


def target_of(segments: Sequence[bytes]) -> tuple[DirectoryCap, tuple[str, ...]]:
    """
    Return the directory and the names of a path, whose first segment is a cap.

    In the cap underscores may stand for colons, which no path has on Windows.

    :raises MalformedCap: :raises BadDavName: :raises EmptyName: :raises NotUtf8:
    """
    cap = cap_of(segments[0]) if segments else None
    if cap is None:
        # For its reason, if there is one.
        parse_cap(segments[0].decode("utf-8", "replace").strip() if segments else "")
        raise MalformedCap("the cap of a directory stands here, URI:DIR2:...")
    return cap, _names(segments[1:])


def _names(segments: Sequence[bytes]) -> tuple[str, ...]:
    names = names_in(segments)
    if not all(map(is_shown, names)):
        raise BadDavName
    return tuple(names)


def is_shown(name: str) -> bool:
    """
    Tell whether a name can be a part of an address that clients make paths of.

    Others would lead them out of the directory.
    """
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name
