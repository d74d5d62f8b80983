"""What is done to directories: PUT, POST and DELETE below /uri/DIRCAP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from attrs import define, field

from truckee.codec.caps import DirectoryCap, MutableReadCap, MutableWriteCap
from truckee.codec.children import KnownCap, new_child
from truckee.codec.children_json import GivenChild
from truckee.codec.directory_children import Link
from truckee.codec.directory_name import check_length, normalize_name
from truckee.errors import Misuse
from truckee.frontends.http.multipart import BadForm, Form, is_form
from truckee.frontends.http.small_body import read_fields, read_text
from truckee.frontends.http.task_ids import show_id, wanted_id
from truckee.frontends.web.afterwards import check_when_done, when_done
from truckee.frontends.web.arguments import BadArgument
from truckee.frontends.web.directory_web import (
    DirectoryWeb,
    FileHasNoChildren,
    child_name,
    required,
    text_answer,
    wanted_directory_format,
    wanted_replace,
)
from truckee.frontends.web.form_file import FormFile
from truckee.frontends.web.mutable_files import ReadOnly, private_key_in, wanted_offset
from truckee.immutable.upload.status import UploadStatus
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import Answer
from truckee.status.run import run_task
from truckee.status.task import Task
from truckee.tree.directories import NotADirectory, ReadOnlyDirectory
from truckee.tree.links import Replace, check_replace
from truckee.tree.paths import NoSuchChild, directory_at

_CAP = 8 << 10  # bytes of a cap that is sent


@define
class FileInTheWay(Misuse):
    """There is something else named {name!r} already, which is no directory."""

    name: str


@define(eq=False)
class Target:
    """One request to change something at the end of a path."""

    _web: DirectoryWeb
    _request: StreamingRequest
    _cap: DirectoryCap
    _names: Sequence[str]
    _args: dict[str, str] = field(repr=False)

    async def put(self, body: AsyncIterator[bytes]) -> Answer:
        """Do what a PUT asks for."""
        kind = self._args.get("t", "")
        if kind == "mkdir":
            return await self._mkdir_here()
        if not self._names:
            raise BadArgument("t", "a directory takes mkdir, or a name behind it")
        if kind not in ("", "uri"):
            raise BadArgument("t", "a PUT takes mkdir and uri; leave it out to store")
        if kind == "uri":
            text = (await read_text(body, _CAP)).decode("utf-8", "replace")
            given = GivenChild.of(text.strip())
            parent = await self._parent()
            replace = wanted_replace(self._args)
            await self._web.links.set(parent, {self._names[-1]: given}, replace)
            return text_answer(text.strip())
        return await self._upload(body, self._request.bodyLength, self._names)

    async def post(self, body: AsyncIterator[bytes]) -> Answer:
        """Do what a POST asks for."""
        kind = self._args.get("t", "")
        if kind in ("mkdir-with-children", "mkdir-immutable"):
            return await self._mkdir_of(body, kind)
        if kind in ("set_children", "set-children"):
            return await self._set_children(body)
        header = self._request.getHeader("content-type") or ""
        form, has_file = None, False
        if kind == "upload" or (not kind and is_form(header)):
            form = Form.begin(body, header)
            has_file = await form.seek("file")
        fields = form.fields if form else await read_fields(body, header)
        self._args = {**fields, **self._args}
        check_when_done(self._args)
        if form and self._args.get("t") == "upload":
            return await self._upload_form(form, has_file)
        if form:
            await form.finish()
        done = {
            "check": self.check,
            "mkdir": self._mkdir,
            "uri": self._link,
            "unlink": self._unlink,
            "delete": self._unlink,
            "rename": self._rename,
            "relink": self._relink,
        }.get(self._args.get("t", ""))
        if done is None:
            raise BadArgument("t", "a directory does not know how to do this")
        return await done()

    async def check(self) -> Answer:
        """Check what is at the end of the path."""
        cap: KnownCap | None = self._cap
        if self._names:
            cap = (await self._web.find(self._cap, self._names)).child.cap
        return await _check(self._web, self._request, cap, self._args)

    async def delete(self) -> Answer:
        """Remove the link at the end of the path."""
        if not self._names:
            raise BadArgument("t", "name what is to be unlinked behind the directory")
        try:
            parent = await self._directory(self._names[:-1])
        except NotADirectory as error:
            raise FileHasNoChildren(error.name) from None
        child = await self._web.links.remove(parent, self._names[-1])
        return text_answer(child.rw or child.ro or "")

    async def _directory(self, names: Sequence[str] | None = None) -> DirectoryCap:
        """Return the directory at the end of *names*, of the whole path without them."""
        return await self._below(self._cap, self._names if names is None else names)

    async def _below(self, cap: DirectoryCap, names: Sequence[str]) -> DirectoryCap:
        if not names:
            return cap
        return directory_at(await self._web.paths.find(cap, names))

    async def _parent(self) -> DirectoryCap:
        """Return the directory of the last name; what is missing on the way is made."""
        return await self._web.paths.make_way(self._cap, self._names[:-1])

    async def _mkdir_here(self) -> Answer:
        """Make the directory that the path names, unless it is there."""
        format = wanted_directory_format(self._args)
        parent = self._cap
        if self._names:
            parent = await self._parent()
            try:
                cap = await self._web.directories.make_child(
                    parent, self._names[-1], format
                )
            except ReadOnlyDirectory:
                # One that is there already is answered by any cap.
                place = await self._web.paths.find(parent, self._names[-1:])
                if place.link is None:
                    raise
                cap = directory_at(place)
            except NotADirectory as error:
                raise FileInTheWay(error.name) from None
            return text_answer(str(cap))
        return text_answer(str(parent))

    async def _mkdir(self) -> Answer:
        """Make a directory under ``name=``, in the place of what is there."""
        if "name" not in self._args:
            return when_done(self._args, await self._mkdir_here())
        name, replace = child_name(self._args), wanted_replace(self._args)
        parent = await self._directory()
        directory = await self._web.directories.read(parent)
        check_replace(directory.link(name), name, replace)
        format = wanted_directory_format(self._args)
        made = await self._web.directories.make(
            format, private_key=private_key_in(self._args)
        )
        await self._web.links.set(parent, {name: GivenChild.of(made)}, replace)
        return self._done(str(made), str(made))

    def _done(self, text: str, cap: str = "") -> Answer:
        """Answer with *text*, or as the form says."""
        return when_done(self._args, text_answer(text), cap)

    async def _mkdir_of(self, body: AsyncIterator[bytes], kind: str) -> Answer:
        """Make a directory with children, under ``name=`` or where the path leads."""
        length = self._request.bodyLength
        made = await make_directory(self._web, kind, body, length, self._args)
        given = GivenChild.of(made)
        if "name" in self._args:
            parent, name = await self._directory(), child_name(self._args)
            replace = Replace.NOTHING
        elif self._names:
            parent, name = await self._parent(), self._names[-1]
            place = await self._web.paths.find(parent, [name])
            if place.link is not None and place.link.child.is_directory:
                there = str(place.link.child.cap)
                return self._done(there, there)
            replace = Replace.NOTHING
        else:
            raise BadArgument("name", "it is missing")
        await self._web.links.set(parent, {name: given}, replace)
        return self._done(str(made), str(made))

    async def _upload_form(self, form: Form, there: bool) -> Answer:
        """Store the file that *form* has come to, if it is *there*."""
        if not there:
            raise BadForm('it has no field named "file"')
        names = list(self._names)
        place = await self._web.paths.find(self._cap, names) if names else None
        if place is None or (place.link is not None and place.link.child.is_directory):
            name = self._args.get("name") or form.filename or "unknown-filename"
            if "/" in name:
                raise BadArgument("name", "it has a slash")
            names.append(name)
        elif place.link is None:
            raise NoSuchChild(names[-1])
        chunks = FormFile(form, self._args)
        answer = await self._upload(chunks, None, names)
        # Fields may stand behind the file.
        self._args = {**form.fields, **self._args}
        cap = answer.body.decode("ascii")
        return self._done(cap, cap)

    async def _upload(
        self, body: AsyncIterator[bytes], length: int | None, names: Sequence[str]
    ) -> Answer:
        """Store a file at the end of *names*, or a new version of the one that is there."""
        web, args, replace = self._web, self._args, wanted_replace(self._args)
        check_length(normalize_name(names[-1]))
        parent = await web.paths.make_way(self._cap, names[:-1])
        name = names[-1]
        link = await web.file_at(parent, name)
        check_replace(link, name, replace)
        there = None if link is None else link.child.cap
        if isinstance(there, MutableReadCap):
            raise ReadOnly
        offset = wanted_offset(args)
        if offset is not None and there and not isinstance(there, MutableWriteCap):
            raise BadArgument("offset", "an immutable file is stored as a whole")
        status = UploadStatus()

        async def work(task: Task) -> str:
            show_id(self._request, task)
            if isinstance(there, MutableWriteCap):
                content = web.mutable.files.body(body, there.format, length)
                if offset is None:
                    await web.mutable.files.overwrite(there, content)
                else:
                    await web.mutable.files.write_at(there, offset, content)
                return str(there)
            cap = await web.files.store(self._request, body, args, length, status)
            given = GivenChild.of(cap)
            await web.links.set(parent, {name: given}, replace)
            return str(cap)

        wanted = wanted_id(self._request, args)
        cap = await run_task(web.reader.tasks, "upload", wanted, status, work, str)
        return text_answer(cap, 201 if link is None else 200)

    async def _set_children(self, body: AsyncIterator[bytes]) -> Answer:
        children = await self._web.lists.read(body, self._request.bodyLength)
        parent = await self._directory()
        await self._web.links.set(parent, children, wanted_replace(self._args))
        return self._done(str(parent))

    async def _link(self) -> Answer:
        name, text = child_name(self._args), required(self._args, "uri").strip()
        given = GivenChild.of(text)
        parent, replace = await self._directory(), wanted_replace(self._args)
        await self._web.links.set(parent, {name: given}, replace)
        return self._done(text, text)

    async def _unlink(self) -> Answer:
        name = child_name({"name": "", **self._args})
        await self._web.links.remove(await self._directory(), name)
        return self._done("thing unlinked")

    async def _rename(self) -> Answer:
        if "to_dir" in self._args:
            raise BadArgument("to_dir", "rename stays in one directory; use t=relink")
        child_name(self._args, "to_name")
        return await self._relink()

    async def _relink(self) -> Answer:
        name = child_name(self._args, "from_name")
        new_name = child_name({"to_name": name, **self._args}, "to_name")
        source = target = await self._directory()
        if "to_dir" in self._args:
            target = await self._web_path(self._args["to_dir"])
        replace = wanted_replace(self._args)
        await self._web.links.move(source, name, target, new_name, replace)
        return self._done("thing moved")

    async def _web_path(self, text: str) -> DirectoryCap:
        """Return the directory of a cap with a path behind it."""
        cap, *names = text.split("/")
        child = new_child(cap, None)
        if not isinstance(child.cap, DirectoryCap):
            raise BadArgument("to_dir", "it is not a directory")
        try:
            return await self._below(child.cap, names)
        except NotADirectory:
            raise BadArgument("to_dir", "it is not a directory") from None


async def _check(
    web: DirectoryWeb,
    request: StreamingRequest,
    cap: KnownCap | None,
    args: Mapping[str, str],
) -> Answer:
    checks = web.reader.checks
    if checks is None:
        raise BadArgument("t", "this gateway checks nothing")
    core: object = cap.inner if isinstance(cap, DirectoryCap) else cap
    if core is None:
        raise BadArgument("t", "what this leads to is of no known kind")
    return await checks.answer(request, core, args)  # type: ignore[arg-type]


async def make_directory(
    web: DirectoryWeb,
    kind: str,
    body: AsyncIterator[bytes],
    length: int | None,
    args: Mapping[str, str],
) -> DirectoryCap:
    """
    Return a new directory that nobody has linked yet, with the children in *body*.

    *kind* is mkdir-with-children or mkdir-immutable.
    """
    if kind == "mkdir-immutable":
        async with web.lists.packed(body, length) as table:
            return await web.directories.make_immutable(table)
    children = await web.lists.read(body, length)
    links = {name: Link(each.child, each.metadata or {}) for name, each in children.items()}
    format = wanted_directory_format(args)
    return await web.directories.make(format, links, private_key_in(args))
