"""/uri/DIRCAP and what is below it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from truckee.codec.caps import (
    ChkReadCap,
    ChkVerifyCap,
    DirectoryCap,
    LiteralCap,
    MutableReadCap,
    MutableVerifyCap,
    MutableWriteCap,
)
from truckee.codec.children_json import describe
from truckee.codec.directory_children import Link
from truckee.frontends.http.contents import check_wanted
from truckee.frontends.http.path_names import names_in
from truckee.frontends.http.small_body import read_fields
from truckee.frontends.http.task_ids import random_id, wanted_id
from truckee.frontends.web.afterwards import check_when_done
from truckee.frontends.web.arguments import BadArgument, arguments
from truckee.frontends.web.change_page import change_page
from truckee.frontends.web.deep_web import KINDS, STARTS, DeepWeb
from truckee.frontends.web.directory_listing import about_directory
from truckee.frontends.web.directory_view import list_directory, show_directory, show_rows
from truckee.frontends.web.directory_web import (
    DirectoryWeb,
    required,
    text_answer,
    wanted_replace,
)
from truckee.frontends.web.directory_writes import Target
from truckee.frontends.web.info_page import directory_info_page
from truckee.frontends.web.mutable_files import MutableFileResource
from truckee.frontends.web.page import PAGE_HEADERS
from truckee.frontends.web.reading import ABOUT, FileResource
from truckee.frontends.web.unknown_caps import unknown_page
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import Answer, WrongMethod
from truckee.net.http.streaming import IStreamingResource

_VERIFIES = ChkVerifyCap | MutableVerifyCap  # caps that list nothing
_ALLOWED = "GET, HEAD, PUT, POST, DELETE"


@implementer(IStreamingResource)
class DirectoryResource(Resource):
    """A directory, and the path that goes on behind its cap."""

    isLeaf = True
    for_players = True  # of films and sounds in it

    def __init__(self, cap: DirectoryCap, web: DirectoryWeb) -> None:
        super().__init__()
        self._cap = cap
        self._web = web

    def render_GET(self, request: StreamingRequest) -> int:
        return self._run(request, self._answer(request))

    def render_HEAD(self, request: StreamingRequest) -> int:
        return self.render_GET(request)

    def render_DELETE(self, request: StreamingRequest) -> int:
        return self._run(request, self._target(request).delete())

    def _run(
        self,
        request: StreamingRequest,
        work: Coroutine[Deferred[Any], Any, Answer | None],
    ) -> int:
        self._web.reader.responder.run(request, work)
        return NOT_DONE_YET

    def _target(self, request: StreamingRequest) -> Target:
        names = names_in(request.postpath)
        return Target(self._web, request, self._cap, names, arguments(request))

    def accept(self, request: StreamingRequest) -> None:
        """Refuse, before the body, what could not be done."""
        if request.method not in (b"PUT", b"POST"):
            raise WrongMethod(request.method.decode("ascii", "replace"), _ALLOWED)
        names, args = names_in(request.postpath), arguments(request)
        wanted_replace(args)
        check_when_done(args)
        self._web.lists.check_length(args.get("t", ""), request.bodyLength)
        if args.get("t") not in STARTS:  # these take the place of one before
            self._web.reader.tasks.check_id(wanted_id(request, args))
        if request.method == b"PUT" and "t" not in args and names:
            self._web.check_upload(args, request.bodyLength)

    async def receive(
        self, request: StreamingRequest, body: AsyncIterator[bytes]
    ) -> Answer | None:
        """Do what is asked for at the end of the path."""
        target = self._target(request)
        if request.method == b"PUT":
            return await target.put(body)
        kind = arguments(request).get("t")
        if kind == "check":
            return await target.check()
        if kind in KINDS and self._web.deep is not None:
            return await self._deep(request, body, self._web.deep)
        return await target.post(body)

    async def _deep(
        self, request: StreamingRequest, body: AsyncIterator[bytes], deep: DeepWeb
    ) -> Answer | None:
        """Answer for a whole tree."""
        fields = await read_fields(body, request.getHeader("content-type") or "")
        names, cap = names_in(request.postpath), self._cap
        if names:
            child = (await self._web.paths.find(cap, names)).child
            if not isinstance(child.cap, DirectoryCap):
                raise BadArgument("t", "what this leads to is not a directory")
            cap = child.cap
        return await deep.answer(request, cap, {**fields, **arguments(request)})

    async def _answer(self, request: StreamingRequest) -> Answer | None:
        names = names_in(request.postpath)
        if not names:
            return await self._directory(request, self._cap, names)
        place = await self._web.find(self._cap, names)
        cap = place.child.cap
        assert place.link is not None
        metadata = place.link.metadata
        if isinstance(cap, DirectoryCap):
            return await self._directory(request, cap, names)
        if request.postpath[-1] == b"":
            raise BadArgument("path", "behind a file there is no slash")
        if isinstance(cap, ChkReadCap | LiteralCap):
            check_wanted(request)
            file = FileResource(cap, place.name, self._web.reader, metadata)
            return await file.answer(request)
        if isinstance(cap, MutableReadCap | MutableWriteCap):
            check_wanted(request)
            mutable = MutableFileResource(cap, place.name, self._web.mutable, metadata)
            return await mutable.answer(request)
        kind = arguments(request).get("t", "")
        if kind == "info":
            page = unknown_page(self._web.frames.of(request))
            return Answer(page, 200, PAGE_HEADERS)
        return _unknown(kind, place.link)

    async def _directory(
        self, request: StreamingRequest, cap: DirectoryCap, names: Sequence[str]
    ) -> Answer | None:
        """Answer a GET for a directory, to which *names* lead."""
        args, web = arguments(request), self._web
        kind = args.get("t", "")
        if kind == "json":
            return await list_directory(request, web, cap)
        if kind in ("uri", "readonly-uri"):
            return text_answer(str(cap if kind == "uri" else cap.read_cap()))
        if kind == "rows":
            return await show_rows(request, web, cap, required(args, "names"))
        frame = web.frames.of(request)
        if kind == "info":
            about = about_directory(cap)
            page = directory_info_page(about, str(cap), frame, random_id)
        elif kind == "rename-form":
            page = change_page(required(args, "name"), frame)
        elif kind:
            known = "json, uri, readonly-uri, info and rename-form"
            raise BadArgument("t", f"a directory has {known}")
        elif not request.path.endswith(b"/") and not isinstance(cap.inner, _VERIFIES):
            # Links in the page are relative to the directory.
            target = request.own_path((request.path + b"/").decode("ascii"))
            return Answer(b"", 302, {**ABOUT, "location": target})
        else:
            return await show_directory(request, web, cap, names)
        return Answer(page, 200, PAGE_HEADERS)


def _unknown(kind: str, link: Link) -> Answer:
    if kind != "json":
        raise BadArgument("t", "what this leads to is of no known kind; it has json")
    name, found = describe(link)
    if link.child.is_mutable is not None:
        found["mutable"] = link.child.is_mutable
    text = json.dumps([name, found], indent=1) + "\n"
    return Answer(text.encode("ascii"), 200, ABOUT)
