"""What stands around every page: where it is, the ways to the others, the grid's health."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from attrs import define, field, frozen
from twisted.web.http import Request
from twisted.web.template import Flattenable, Tag, tags

from truckee.frontends.web.remade import Remade
from truckee.frontends.web.words import counted

# Deeper is no page of ours but an error.
_DEEPEST = 100


@frozen
class Health:
    """How the node and its grid are."""

    connected: int  # servers; of directories, those that take shares too
    known: int
    problems: int = 0
    stores: bool = False  # it is a storage server for others
    helps: bool = False  # it is a helper for others
    own: bool = False  # the grid is its own: directories in the place of servers

    @property
    def place(self) -> str:
        """What there are shares on, as people call it."""
        return "directory" if self.own else "server"


@frozen
class Frame:
    """What is around one page."""

    root: str = ""  # the relative way from the page to the first one: "", "../", …
    health: Health | None = None


# Around the first page of a node of which nothing is known.
ALONE = Frame()


@define(eq=False)
class Frames:
    """Makes the frame of each page."""

    _health: Callable[[], Health | None] = lambda: None
    _kept: Remade[Health | None] = field(factory=lambda: Remade(monotonic), init=False)

    def of(self, request: Request) -> Frame:
        """
        Return what is around the page at the address of *request*.

        All ways are relative, so that they are right behind a proxy that has us under a
        prefix.
        """
        depth = request.path.count(b"/") - 1
        return Frame("../" * min(max(depth, 0), _DEEPEST), self._kept.get("", self._health))


def header(frame: Frame, here: str) -> Tag:
    """Return the head of a page; *here* is its place in the navigation."""
    return tags.header(
        tags.a("Skip to the content", href="#main", class_="skip"),
        tags.div(
            tags.a("truckee", href=frame.root or ".", class_="brand"),
            _navigation(frame, here),
            "" if frame.health is None else _health(frame.root, frame.health),
            class_="bar",
        ),
    )


def _navigation(frame: Frame, here: str) -> Tag:
    health = frame.health
    pages = [("", "Files"), ("status", "Status")]
    if health is not None and health.stores:
        pages.append(("storage", "Storage"))
    if health is not None and health.helps:
        pages.append(("helper_status", "Helper"))
    pages.append(("statistics", "Statistics"))
    links: list[Flattenable] = []
    for path, name in pages:
        current = {"aria-current": "page"} if path == here else {}
        href = frame.root + path or "."
        links.append(tags.li(tags.a(name, href=href, **current)))
    return tags.nav(tags.ul(links), **{"aria-label": "Pages"})


def _health(root: str, health: Health) -> Tag:
    grid = f"{health.connected} of {counted(health.known, health.place)}"
    if not health.known:
        state, grid = "bad", "No servers yet"
    elif health.connected == health.known:
        state = "good"
    else:
        state = "fair" if health.connected else "bad"
    told: list[Flattenable] = [tags.a(grid, href=f"{root}./#grid", class_=state)]
    if health.problems:
        count = counted(health.problems, "problem")
        told.append(tags.a(count, href=f"{root}status#problems", class_="bad"))
    label = {"aria-label": "Health of the grid"}
    return tags.div(told, id="health", role="group", **label)
