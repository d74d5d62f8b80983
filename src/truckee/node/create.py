"""Making a new node directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import yaml
from attrs import define

from truckee.errors import Misuse
from truckee.flow.durable import make_directories, write_durably
from truckee.node.config import DEFAULT_STORAGE_DIRS, DEFAULT_WEB_PORT, GridShape
from truckee.node.directory_record import DirectoryRecord
from truckee.node.identity import SERVER_ID, SERVER_ID_SIZE, write_identity
from truckee.node.keys import create_keys
from truckee.node.layout import NodeDirectory
from truckee.node.peers import check_furl
from truckee.node.templates import grid_config


@define
class NotEmpty(Misuse):
    """{path} exists and is not empty. Name a new directory."""

    path: Path


def create_node(
    node: NodeDirectory,
    config: str,
    introducer: str | None = None,
    storage_dirs: tuple[str, ...] = (),
    random: Callable[[int], bytes] = os.urandom,
) -> None:
    """
    Make a node with the text *config* for its ``tahoe.cfg``, which is written last: a
    directory without it is no node yet.  Only its owner can read any of it.

    :raises NotEmpty: when something is there already.
    :raises BadPeers: when the furl of the *introducer* is none.
    """
    if node.path.exists() and any(node.path.iterdir()):
        raise NotEmpty(node.path)
    if introducer is not None:
        introducer = check_furl(node.path, "--introducer", introducer)
    make_directories(node.path)
    create_keys(node.private, random)
    if introducer is not None:
        entry = {"introducers": {"introducer": {"furl": introducer}}}
        write_durably(node.private / "introducers.yaml", yaml.safe_dump(entry).encode())
    for name in storage_dirs:
        directory = node.path / name
        make_directories(directory)
        # It tells this directory from an empty mount point, and stays with its shares
        # when they move to another disk.
        identity = random(SERVER_ID_SIZE)
        write_identity(directory / SERVER_ID, identity)
        DirectoryRecord(node.path).see(identity, directory)
    write_durably(node.config, config.encode("utf-8"))


def create_grid(
    node: NodeDirectory,
    shape: GridShape,
    web_port: str = DEFAULT_WEB_PORT,
    storage_dirs: int = DEFAULT_STORAGE_DIRS,
    nickname: str = "truckee",
    random: Callable[[int], bytes] = os.urandom,
) -> None:
    """Make a grid of *storage_dirs* directories in one node directory."""
    names = tuple(f"storage/{number}" for number in range(storage_dirs))
    config = grid_config(nickname, web_port, shape, names)
    create_node(node, config, storage_dirs=names, random=random)
