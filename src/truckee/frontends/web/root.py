"""The whole tree of addresses, and the statuses of its errors."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.resource import IResource, Resource

from truckee.flow.spool import SpoolDiskFull, SpoolFull
from truckee.frontends.http.conditions import PreconditionFailed
from truckee.frontends.http.ranges import RangeNotSatisfiable
from truckee.frontends.web.arguments import BadArgument, arguments
from truckee.frontends.web.checking import Checks
from truckee.frontends.web.directory_web import directory_web
from truckee.frontends.web.events import Events
from truckee.frontends.web.files import NamedResource, UriResource
from truckee.frontends.web.frame import Frames
from truckee.frontends.web.handles import FormNotTaken, UploadResource
from truckee.frontends.web.helper_report import HelperReporter
from truckee.frontends.web.helper_status import HelperStatusResource
from truckee.frontends.web.metrics import Metrics, MetricsResource
from truckee.frontends.web.mutable_files import MutableWeb
from truckee.frontends.web.new_files import NewFiles
from truckee.frontends.web.operations import OperationsResource
from truckee.frontends.web.page import set_page_headers
from truckee.frontends.web.reading import Reader
from truckee.frontends.web.remade import Remade
from truckee.frontends.web.resumable import Resumable, WrongPieceType
from truckee.frontends.web.statistics import StatisticsResource
from truckee.frontends.web.status import StatusResource
from truckee.frontends.web.storage_report import StorageReporter
from truckee.frontends.web.storage_status import StorageStatusResource
from truckee.frontends.web.upload_page import StaticResource
from truckee.frontends.web.welcome import GridStatus, status_json, welcome_page
from truckee.helper.errors import HelperFull, HelperRefuses
from truckee.immutable.download.downloader import Downloader
from truckee.immutable.download.sources import NotEnoughShares
from truckee.immutable.upload.body import FileTooLarge
from truckee.immutable.upload.sinks import KeyReused
from truckee.immutable.upload.uploader import Uploader
from truckee.mutable.errors import NotEnoughMutableShares
from truckee.mutable.files import KeyInUse, MutableFiles
from truckee.net.http.request import StreamingRequest
from truckee.net.http.respond import NotFound, Responder
from truckee.renewal.renewals import NotRenewed
from truckee.status.run import TaskCancelled
from truckee.status.task import CannotPause
from truckee.status.tasks import TaskIdInUse, UnknownTask
from truckee.storage.interfaces import NoSpace
from truckee.tree.directories import NotADirectory
from truckee.tree.links import DirectoryInTheWay, NameTaken
from truckee.tree.paths import NoSuchChild
from truckee.tree.seen import WalkDiskFull
from truckee.tree.trees import Trees
from truckee.uploads.errors import (
    AlreadyStored,
    FailedBefore,
    NoRoomForOpen,
    NotAllThere,
    NotTheEnd,
    OnlyAPart,
    OtherSize,
    PastTheEnd,
    TakenOver,
    UnknownHandle,
    UploadAborted,
    UploadBroke,
    WrongOffset,
)

STATUSES = (
    (NoSuchChild, 404),
    (NotRenewed, 404),
    (UnknownHandle, 404),
    (UnknownTask, 404),
    (AlreadyStored, 409),
    (CannotPause, 409),
    (DirectoryInTheWay, 409),
    (FailedBefore, 409),
    (KeyInUse, 409),
    (KeyReused, 409),
    (NameTaken, 409),
    (NotADirectory, 409),
    (NotAllThere, 409),
    (NotTheEnd, 409),
    (OnlyAPart, 409),
    (OtherSize, 409),
    (PastTheEnd, 409),
    (TakenOver, 409),
    (TaskCancelled, 409),
    (TaskIdInUse, 409),
    (UploadAborted, 409),
    (WrongOffset, 409),
    (NotEnoughShares, 410),
    (NotEnoughMutableShares, 410),
    (PreconditionFailed, 412),
    (FileTooLarge, 413),
    (HelperRefuses, 413),
    (SpoolFull, 413),
    (FormNotTaken, 415),
    (WrongPieceType, 415),
    (RangeNotSatisfiable, 416),
    (UploadBroke, 500),
    (NoSpace, 507),
    (HelperFull, 507),
    (NoRoomForOpen, 507),
    (SpoolDiskFull, 507),
    (WalkDiskFull, 507),
)


class RootResource(Resource):
    """The address /, and what is below it."""

    _dav: Resource | None = None

    def __init__(
        self,
        uploader: Uploader,
        downloader: Downloader,
        responder: Responder,
        status: Callable[[], GridStatus],
        helper: HelperReporter | None = None,
        uploads: UploadResource | None = None,
        checks: Checks | None = None,
        resumable: Resumable | None = None,
        *,
        events: Events,
        metrics: Metrics | None = None,
        default_key: str = "random",
        storage: Callable[[], StorageReporter | None] = lambda: None,
        frames: Frames | None = None,
        mutable: MutableFiles | None = None,
        trees: Trees | None = None,
    ) -> None:
        super().__init__()
        frames = self._frames = frames or Frames()
        self._status = status
        self._pages: Remade[bytes] = Remade(events.seconds)
        if uploads is not None:
            self.putChild(b"upload", uploads)
        reader = Reader(downloader, responder, events.tasks, checks=checks, frames=frames)
        web = tree = None
        if mutable is not None:
            web = MutableWeb(mutable, reader.sender, responder, frames, checks)
        made = NewFiles(uploader, web, default_key)
        if web and trees:
            tree = directory_web(trees, made, reader, web)
        self._put(UriResource(made, reader, resumable, tree), b"uri", b"cap")
        self._put(NamedResource(reader, web), b"file", b"named")
        self.putChild(b"static", StaticResource())
        walks = tree.deep.operations if tree and tree.deep else None
        seen_by_id = OperationsResource(events.tasks, responder, frames, walks)
        self.putChild(b"operations", seen_by_id)
        self.putChild(b"status", StatusResource(events, frames))
        counters = StatisticsResource(events.tasks, events.seconds, frames)
        self.putChild(b"statistics", counters)
        if metrics is not None:
            self.putChild(b"metrics", MetricsResource(metrics, events.seconds))
        self.putChild(b"storage", StorageStatusResource(storage, responder, frames))
        seen = HelperStatusResource(helper, responder, events.seconds, frames)
        self.putChild(b"helper_status", seen)

    def put_webdav(self, dav: Resource) -> None:
        """Let *dav* answer at /dav, and for the server as a whole."""
        self._dav = dav
        self.putChild(b"dav", dav)

    def _put(self, resource: Resource, *names: bytes) -> None:
        for name in names:
            self.putChild(name, resource)

    def getChild(self, path: bytes, request: StreamingRequest) -> IResource:
        if not path and not request.postpath:
            # Clients of WebDAV ask what the server is before they ask for a directory.
            asks_server = request.method in (b"OPTIONS", b"PROPFIND")
            return self._dav if self._dav and asks_server else self
        raise NotFound

    def render_GET(self, request: StreamingRequest) -> bytes:
        args = arguments(request)
        if args.get("t") == "json":
            request.setHeader(b"content-type", b"application/json; charset=utf-8")
            return self._pages.get("json", lambda: status_json(self._status()))
        if "t" in args:
            raise BadArgument("t", "this page has json")
        set_page_headers(request, uploads=True)
        address = request.own_url("/")
        if not address.startswith("http"):  # what it knows us by, if not the scheme
            address = f"http://{request.getHeader('host') or '127.0.0.1:3456'}/"
        frame = self._frames.of(request)
        return self._pages.get(
            f"html for {address}", lambda: welcome_page(self._status(), address, frame)
        )
