"""From the directory of a cap, along names, to what stands there."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from truckee.codec import base32
from truckee.codec.caps import DirectoryCap
from truckee.codec.children import Child
from truckee.codec.directory_children import Link
from truckee.codec.directory_name import normalize_name
from truckee.codec.hashes import tagged_hash, tagged_pair_hash
from truckee.tree.directories import Directories, Directory
from truckee.tree.paths import Paths, Place

_DIRECTORY = b"truckee_webdav_lock_directory_v1"
_NAME = b"truckee_webdav_lock_name_v1"


@frozen(eq=False)
class Way:
    """A path that was gone along."""

    root: DirectoryCap
    names: tuple[str, ...]
    _place: Place | None  # of the last name; None: there are no names

    @property
    def link(self) -> Link | None:
        """What stands at the end; None: nothing, or the root."""
        return None if self._place is None else self._place.link

    @property
    def exists(self) -> bool:
        """Whether something stands at the end."""
        return self._place is None or self._place.link is not None

    @property
    def name(self) -> str:
        """The last name; of the root none."""
        return self.names[-1] if self.names else ""

    @property
    def parent(self) -> Directory:
        """The directory of the last name, which there must be."""
        assert self._place is not None
        return self._place.parent

    @property
    def child(self) -> Child:
        """What stands at the end of the names.  :raises NoSuchChild:"""
        assert self._place is not None
        return self._place.child

    @property
    def directory(self) -> DirectoryCap | None:
        """The directory that stands at the end; None: something else, or nothing."""
        if self._place is None:
            return self.root
        cap = None if self.link is None else self.link.child.cap
        return cap if isinstance(cap, DirectoryCap) else None

    @property
    def keys(self) -> list[str]:
        """The keys of the locks on all that was passed, and on the end."""
        keys = [] if self._place is None else list(map(directory_key, self._place.passed))
        if self.directory is not None:
            return [*keys, directory_key(self.directory)]
        return [*keys, name_key(keys[-1], self.name)]


async def find_way(
    directories: Directories, root: DirectoryCap, names: Sequence[str]
) -> Way:
    """Go along *names*.  :raises NoSuchChild: and what ``Paths.find`` raises"""
    place = await Paths(directories).find(root, names) if names else None
    return Way(root, tuple(names), place)


def directory_key(cap: DirectoryCap) -> str:
    """Return the key of the locks on a directory, whoever reads it by which cap."""
    text = str(cap.verify_cap() or cap).encode("ascii")
    return base32.encode(tagged_hash(_DIRECTORY, text))


def name_key(parent: str, name: str) -> str:
    """Return the key of the locks on a file by its name in the directory of a key."""
    text = normalize_name(name).encode("utf-8", "surrogatepass")
    return base32.encode(tagged_pair_hash(_NAME, parent.encode("ascii"), text))
