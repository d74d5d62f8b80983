"""What the commands for files and directories in the grid have in common."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import define, field

from truckee.cli.aliases import Aliases
from truckee.cli.blocking import BlockingGateway, complete
from truckee.cli.finding import checked_url, find_gateway, node_directory, node_url
from truckee.cli.grid import Grid
from truckee.cli.grid_path import GridPath, parse_path
from truckee.cli.problems import FAILED, Problem, reason_within, tell
from truckee.node.aliases import DEFAULT

if TYPE_CHECKING:
    from truckee.cli.gateway import Gateway

_AT_ONCE, _MOST_AT_ONCE = 8, 64  # requests in flight
_LONGEST_CAP = 64 * 1024  # characters

root = click.option(
    "--root",
    metavar="FILE|-",
    default=None,
    help="A file, or standard input, with the cap of the directory that tahoe: is then.",
)
jobs = click.option(
    "-j",
    "--jobs",
    metavar="N",
    type=click.IntRange(1, _MOST_AT_ONCE),
    default=_AT_ONCE,
    show_default=True,
    help="How many requests are in flight at once.",
)


@define(eq=False)
class Session:
    """One command's gateway and aliases."""

    _url: str | None
    _nodedir: str | None
    _root: str | None  # a file, or -
    aliases: Aliases
    tell: Callable[[str], None] = tell  # writes a line for people
    failures: int = field(default=0, init=False)
    _given: str = field(default="", init=False, repr=False)

    def path(self, text: str) -> GridPath:
        """Return what is meant by *text*.  :raises Problem:"""
        return parse_path(text, self._cap_of, DEFAULT)

    def directories(self, texts: Sequence[str]) -> list[GridPath]:
        """Return what is meant by each text; without any, the default alias."""
        return [self.path(text) for text in texts or (f"{DEFAULT}:",)]

    def _cap_of(self, alias: str) -> str:
        if self._root is None or alias != DEFAULT:
            return self.aliases.cap_of(alias)
        if not self._given:
            self._given = cap_in(self._root)
        return self._given

    @property
    def reads_input(self) -> bool:
        """Whether a cap comes on standard input."""
        return self._root == "-"

    @property
    def has_root(self) -> bool:
        """Whether a cap is given for the default alias."""
        return self._root is not None

    @property
    def options(self) -> list[str]:
        """What gives this session to another command."""
        given = {"--root": self._root, "-u": self._url, "-d": self._nodedir}
        return [part for name, value in given.items() if value for part in (name, value)]

    def gateway_url(self) -> str:
        """Return the address of the gateway.  :raises Problem:"""
        return find_gateway(self._url, self._nodedir)

    def gateways(self, more: Sequence[str]) -> list[str]:
        """
        Return the addresses of the gateway and of *more*.

        With these the usual one does not count.  :raises Problem:
        """
        urls = [checked_url(each.strip(), "--gateway") for each in more]
        if not urls or self._url is not None or self._nodedir is not None:
            urls.insert(0, self.gateway_url())
        return list(dict.fromkeys(urls))

    def run(self, work: Callable[[Grid], Coroutine[Any, Any, None]]) -> None:
        """
        Do *work* with the grid, one request after the other.

        :raises Problem: what ended it.
        :raises SystemExit: when it went on, but something failed.
        """
        gateway = BlockingGateway(self.gateway_url())
        try:
            complete(work(Grid(gateway)))
        finally:
            gateway.close()
        self._check()

    def run_many(
        self,
        work: Callable[[Grid, Gateway], Coroutine[Any, Any, None]],
        last_words: Callable[[], str] = str,
    ) -> None:
        """Do *work* in the reactor, with many requests in flight; as above."""
        # Twisted takes longer to load than a small command needs in all.
        from truckee.cli.gateway import Gateway  # noqa: PLC0415
        from truckee.cli.reacting import run  # noqa: PLC0415

        url = self.gateway_url()

        async def many(reactor: Any) -> None:
            gateway = Gateway(url, reactor, _MOST_AT_ONCE)
            await work(Grid(gateway), gateway)

        run(many, last_words=last_words)
        self._check()

    def _check(self) -> None:
        if self.failures:
            raise SystemExit(FAILED)

    def failed(self, problem: Exception | str) -> None:
        """Tell of what failed while the rest goes on."""
        self.failures += 1
        text = problem.message if isinstance(problem, Problem) else str(problem)
        self.tell(f"Error: {text}")

    @property
    def grid_name(self) -> str:
        """What tells grids apart, in a file that a node directory has for several."""
        return self._url or ""


def with_session(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command its session, and the options that say which one."""

    @root
    @node_url
    @node_directory
    @functools.wraps(command)
    def given(
        *args: Any,
        root: str | None,
        node_url: str | None,
        node_directory: str | None,
        **options: Any,
    ) -> None:
        aliases = Aliases.of(node_directory)
        session = Session(node_url, node_directory, root, aliases)
        command(session, *args, **options)

    return given


def cap_in(name: str) -> str:
    """Return the cap in a file, or on standard input for ``-``.  :raises Problem:"""
    try:
        if name != "-":
            with Path(name).open(encoding="ascii", errors="replace") as file:
                text = file.readline(_LONGEST_CAP + 1)
        elif sys.stdin is None:
            raise Problem("standard input is closed: no cap can be read from it")
        else:
            text = sys.stdin.readline(_LONGEST_CAP + 1)
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        where = "standard input" if name == "-" else name
        raise Problem(f"cannot read a cap from {where}: {reason_within(error)}") from None
    text = text.strip()
    if not (text.startswith("URI:") and text.isascii() and text.isprintable()):
        raise Problem(f"there is no cap in {'standard input' if name == '-' else name}")
    return text
