"""The grid behind a gateway: what commands ask of it for files and directories."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

from attrs import define

from truckee.cli.finding import NO_GATEWAY, is_cap, problem_of
from truckee.cli.grid_nodes import GridNode, node_of
from truckee.cli.grid_path import GridPath
from truckee.cli.problems import NOT_FOUND, Problem

_MOST = 1 << 30  # bytes of an answer: a million children

_MANY = {"t": "set_children", "replace": "only-files"}

# What is linked: a type, and its caps and metadata.
Child = tuple[str, Mapping[str, Any]]
Children = Mapping[str, Child]


class Exchanges(Protocol):
    """A gateway, of which small things are asked."""

    async def exchange(
        self, method: str, place: str, body: bytes | None, most: int
    ) -> tuple[int, bytes]:
        """Return the status and at most so many bytes of the answer."""


@define(eq=False)
class Grid:
    """Files and directories, by their paths and caps."""

    _gateway: Exchanges

    async def look(self, path: GridPath) -> GridNode | None:
        """Return what is at *path*; None: nothing.  :raises Problem:"""
        code, body = await self.ask("GET", f"{path.url}?t=json")
        if code == 404:
            return None
        if code != 200:
            raise problem_at(path.shown, code, body)
        return node_of(body.decode("utf-8", "replace"))

    async def find(self, path: GridPath) -> GridNode:
        """Return what is at *path*.  :raises Problem: when there is nothing."""
        found = await self.look(path)
        if found is None:
            raise Problem(f"{path.shown}: there is no such file or directory", NOT_FOUND)
        return found

    async def read_directory(self, path: GridPath) -> GridNode:
        """Return the directory at *path*.  :raises Problem: when there is none."""
        found = await self.find(path)
        if not found.is_directory:
            raise Problem(f"{path.shown} is no directory")
        return found

    async def change(
        self,
        shown: str,
        method: str,
        place: str,
        args: Mapping[str, str],
        body: bytes | None = None,
    ) -> str:
        """Do what a request asks for; return the answer.  :raises Problem:"""
        query = urlencode(args)
        code, answer = await self.ask(method, f"{place}?{query}" if query else place, body)
        if code not in (200, 201):
            raise problem_at(shown, code, answer)
        return answer.decode("utf-8", "replace").strip()

    async def make_directory(self, children: Children, kind: str, shown: str) -> str:
        """Return the cap of a new directory that nobody has linked yet."""
        cap = await self.change(shown, "POST", "uri", {"t": kind}, packed(children))
        return checked_cap(cap)

    async def link_many(self, cap: str, children: Children, shown: str) -> None:
        """Link all *children* in one write of the directory of *cap*."""
        place = GridPath(cap, (), shown).url
        await self.change(shown, "POST", place, _MANY, packed(children))

    async def link(self, path: GridPath, cap: str, replace: str = "only-files") -> None:
        """Let *path* lead to *cap*; *replace* is as in the web API.  :raises Problem:"""
        args = {"t": "uri", "replace": replace}
        await self.change(path.shown, "PUT", path.url, args, cap.encode())

    async def ask(
        self, method: str, place: str, body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the body of the answer.  :raises Unreachable:"""
        return await self._gateway.exchange(method, place, body, _MOST)


def packed(children: Children) -> bytes:
    """Return the body that links *children*."""
    return json.dumps(children, separators=(",", ":")).encode()


def checked_cap(text: str) -> str:
    """Return *text*, which is a cap.  :raises Problem: when it is none."""
    if not is_cap(text):
        raise Problem(NO_GATEWAY)
    return text


def problem_at(shown: str, status: int, body: bytes) -> Problem:
    """Return what an answer that is no good one means for what is at a path."""
    problem = problem_of(status, body)
    return Problem(f"{shown}: {problem.message}", problem.exit_code)
