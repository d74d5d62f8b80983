"""Where the accounts of a node are."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from truckee.node.config_file import ConfigFile
from truckee.node.config_values import parse_path
from truckee.node.layout import NodeDirectory


def accounts_path(node: NodeDirectory, file: ConfigFile) -> Path:
    """
    Return the file of accounts that stock Tahoe-LAFS reads, too.

    :raises BadConfig: when the node's configuration names none that can be.
    """
    usual = node.private / "accounts"
    return file.get("sftpd", "accounts.file", usual, partial(parse_path, node.path))
