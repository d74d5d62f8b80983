"""What answering for directories takes, and the forms of their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, frozen

from truckee.codec.caps import DirectoryCap
from truckee.codec.directory_children import Link
from truckee.errors import Misuse
from truckee.frontends.http.upload_options import parse_upload_options
from truckee.frontends.web.arguments import BadArgument, boolean
from truckee.frontends.web.children_lists import ChildrenLists
from truckee.frontends.web.deep_web import DeepWeb, deep_web
from truckee.frontends.web.frame import Frames
from truckee.frontends.web.mutable_files import FORMATS, MutableWeb, wanted_format
from truckee.frontends.web.new_files import NewFiles
from truckee.frontends.web.reading import ABOUT, Reader
from truckee.net.http.respond import Answer
from truckee.tree.directories import Directories, NotADirectory
from truckee.tree.links import Links, Replace
from truckee.tree.paths import Paths, Place
from truckee.tree.trees import Trees


@define
class FileHasNoChildren(Misuse):
    """{name!r} is a file, so it has no children."""

    name: str


@define
class FileInTheWayOfDirectory(Misuse):
    """{name!r} is a directory; a file is not stored in its place."""

    name: str


@frozen(eq=False)
class DirectoryWeb:
    """Directories, and the files in them."""

    directories: Directories
    paths: Paths
    links: Links
    files: NewFiles
    reader: Reader
    mutable: MutableWeb
    frames: Frames
    deep: DeepWeb | None
    lists: ChildrenLists

    async def find(self, cap: DirectoryCap, names: Sequence[str]) -> Place:
        """
        Return where a path leads that somebody reads.

        :raises FileHasNoChildren: :raises NoSuchChild: on the way
        """
        try:
            return await self.paths.find(cap, names)
        except NotADirectory as error:
            raise FileHasNoChildren(error.name) from None

    async def file_at(self, parent: DirectoryCap, name: str) -> Link | None:
        """
        Return what a file would take the place of, and keep nothing else of *parent*.

        The body may take hours, and the table of the directory many megabytes.

        :raises FileInTheWayOfDirectory:
        """
        place = await self.paths.find(parent, [name], recent=True)
        if place.link is not None:
            # It may be gone, or be something else, since this gateway wrote.
            place = await self.paths.find(parent, [name])
        if place.link is not None and place.link.child.is_directory:
            raise FileInTheWayOfDirectory(name)
        return place.link

    def check_upload(self, args: Mapping[str, str], length: int | None) -> None:
        """Refuse, before the body, what could not be stored."""
        parse_upload_options(args)
        if wanted_format(args) is None:
            self.files.uploader.check_size(length)
        else:
            self.mutable.check_creation(args, length)


def directory_web(
    trees: Trees, files: NewFiles, reader: Reader, mutable: MutableWeb
) -> DirectoryWeb:
    """Return what answers for directories, with what answers for the files in them."""
    directories, deep = trees.directories, None
    if reader.checks is not None:
        deep = deep_web(trees.walker, reader.checks, reader.tasks)
    paths, links, frames = Paths(directories), Links(directories), reader.frames
    lists = ChildrenLists(directories.cpu)
    return DirectoryWeb(
        directories, paths, links, files, reader, mutable, frames, deep, lists
    )


def text_answer(text: str, status: int = 200) -> Answer:
    """Return a cap, or a remark, as an answer."""
    return Answer(text.encode("utf-8"), status, ABOUT)


def wanted_directory_format(args: Mapping[str, str]) -> str:
    """Return the format of new directories, SSK or MDMF.  :raises BadArgument:"""
    text = args.get("format", "SDMF").upper()
    if text not in FORMATS:
        raise BadArgument("format", "a directory is SDMF or MDMF")
    return FORMATS[text]


def wanted_replace(args: Mapping[str, str]) -> Replace:
    """
    Return what a new link may take the place of.  :raises BadArgument:

    Stock documents ``overwrite=`` for it, too.
    """
    name = "replace" if "replace" in args else "overwrite"
    if args.get(name, "").lower() == "only-files":
        return Replace.FILES
    try:
        anything = boolean(args, name, True)
    except BadArgument:
        raise BadArgument(name, "it must be true, false or only-files") from None
    return Replace.ANYTHING if anything else Replace.NOTHING


def required(args: Mapping[str, str], name: str) -> str:
    """Return the argument *name*.  :raises BadArgument: when it is missing"""
    if name not in args:
        raise BadArgument(name, "it is missing")
    return args[name]


def child_name(args: Mapping[str, str], name: str = "name") -> str:
    """Return an argument that names a child.  :raises BadArgument:"""
    text = required(args, name)
    if "/" in text:
        raise BadArgument(name, "it has a slash")
    return text
