"""What all parts of a node stand on."""

from __future__ import annotations

import os
from typing import Any

from attrs import field, frozen

from truckee.flow.cpu import Workers
from truckee.flow.limits import Budget
from truckee.node.config import NodeConfig, load_config
from truckee.node.disks import NodeDisks
from truckee.node.layout import NodeDirectory

# Disks are waited for, not computed on: enough for each of ten directories and a few
# readers to have a call under way.
DISK_THREADS = 16


@frozen(eq=False)
class Foundation:
    """The directory, what its configuration says, threads, memory and disks."""

    directory: NodeDirectory
    reactor: Any
    boot: bytes  # which start of the machine this is
    config: NodeConfig
    budget: Budget  # bytes of files of all uploads
    cpu: Workers
    disk: Workers
    disks: NodeDisks = field(repr=False)

    @classmethod
    def of(cls, directory: NodeDirectory, reactor: Any, boot: bytes) -> Foundation:
        """
        Read the configuration; nothing is started.

        :raises NoNodeDirectory: :raises BadConfig: with a text for the operator.
        """
        directory.check()
        config = load_config(directory)
        cpu = Workers(reactor, os.cpu_count() or 1, "cpu")
        disk = Workers(reactor, DISK_THREADS, "disk")
        disks = NodeDisks(directory, config, disk, reactor)
        budget = Budget(config.memory_limit)
        return cls(directory, reactor, boot, config, budget, cpu, disk, disks)

    @property
    def is_grid(self) -> bool:
        """Whether it has a grid of its own, and needs no other node."""
        return bool(self.config.storage_dirs)
