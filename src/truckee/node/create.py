"""Making a new node directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from attrs import define

from truckee.codec import base32
from truckee.errors import Misuse
from truckee.node.config import (
    DEFAULT_STORAGE_DIRS,
    DEFAULT_WEB_PORT,
    GridShape,
    render_config,
)
from truckee.node.keys import create_keys
from truckee.node.layout import NodeDirectory

SERVER_ID = "server-id"
SERVER_ID_SIZE = 20  # bytes


@define
class NotEmpty(Misuse):
    """{path} exists and is not empty. Name a new directory."""

    path: Path


def create_grid(
    node: NodeDirectory,
    shape: GridShape,
    web_port: str = DEFAULT_WEB_PORT,
    storage_dirs: int = DEFAULT_STORAGE_DIRS,
    nickname: str = "truckee",
    random: Callable[[int], bytes] = os.urandom,
) -> None:
    """
    Make a grid of *storage_dirs* directories in one node directory.

    ``tahoe.cfg`` is written last: a directory without it is no node yet.

    :raises NotEmpty: when something is there already.
    """
    if node.path.exists() and any(node.path.iterdir()):
        raise NotEmpty(node.path)
    node.path.mkdir(parents=True, exist_ok=True)
    create_keys(node.private, random)
    names = [f"storage/{number}" for number in range(storage_dirs)]
    for name in names:
        directory = node.path / name
        directory.mkdir(parents=True)
        # It tells this directory from an empty mount point, and stays with its shares
        # when they move to another disk.
        identity = base32.encode(random(SERVER_ID_SIZE))
        (directory / SERVER_ID).write_text(identity + "\n", "ascii")
    text = render_config(nickname, web_port, shape, names)
    draft = node.config.with_suffix(".new")
    draft.write_text(text, "utf-8")
    draft.rename(node.config)
