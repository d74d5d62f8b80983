"""``twistd truckee``: the services of ``truckee run`` under Twisted's own launcher."""

from __future__ import annotations

from twisted.application.service import IService, IServiceMaker
from twisted.plugin import IPlugin
from twisted.python.usage import Options
from zope.interface import implementer

from truckee.errors import TruckeeError
from truckee.node.build import Node
from truckee.node.layout import NodeDirectory
from truckee.node.process import (
    give_memory_back,
    make_private,
    spare_what_is_loaded,
    use_monotonic_clock,
)
from truckee.node.service import NodeService


class TruckeeOptions(Options):
    """Run the node in a node directory, as made by ``truckee create-grid``."""

    optParameters = [["basedir", "C", "truckee-node", "The node directory."]]


@implementer(IServiceMaker, IPlugin)
class TruckeeServiceMaker:
    """Makes the service of one node."""

    tapname = "truckee"
    description = "The streaming edge of a Tahoe-LAFS grid."
    options = TruckeeOptions

    def makeService(self, options: TruckeeOptions) -> IService:
        from twisted.internet import reactor  # noqa: PLC0415

        make_private()
        give_memory_back()
        use_monotonic_clock(reactor)
        try:
            node = Node(NodeDirectory(options["basedir"]), reactor)
        except TruckeeError as error:
            # A UsageError would be a traceback here: twistd has read its options.
            raise SystemExit(f"Error: {error}") from None
        spare_what_is_loaded()
        return NodeService(node)
