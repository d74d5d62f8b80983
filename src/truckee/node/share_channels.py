"""
Share channels of a node that offers storage, or helps others to store.

Source: ``docs/formats/share-channel.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.logger import Logger

from truckee.helper.server.push_service import Helper
from truckee.net.blocking_tls import fingerprint_of, server_context
from truckee.net.port_sharing import SharedEndpoint
from truckee.storage.channel_client import Seats
from truckee.storage.channel_frames import GREETING
from truckee.storage.channel_server import ShareChannels
from truckee.storage.foolscap_server import FoolscapStorage
from truckee.storage.interfaces import IStorageServer

log = Logger()


@define(eq=False)
class NodeChannels:
    """
    Those of one node: to other servers, while it has *seats*, and of its own.

    The key and certificate of the node are in the file *pem*.
    """

    seats: Seats | None  # None: it has no channels
    _pem: Path
    _ports: Iterable[SharedEndpoint]
    _reactor: Any
    _random: Callable[[int], bytes]
    # Called with the transport of each client that had a ticket.
    _proved: Callable[[Any], None]
    served: ShareChannels | None = field(default=None, init=False)

    def serve(self, served: FoolscapStorage, storage: IStorageServer) -> None:
        """Let clients of *served* send and fetch the bytes of shares beside foolscap."""
        served.channels = self._channels()
        if served.channels is not None:
            served.channels.storage = storage
            served.channels.sinks.append(served.sink)

    def serve_helper(self, helper: Helper) -> None:
        """Let clients of *helper* push ciphertext beside foolscap."""
        handles = helper.handles
        handles.channels = self._channels()
        if handles.channels is not None:
            handles.channels.sinks.append(handles.sink)

    def _channels(self) -> ShareChannels | None:
        """Return those of clients; None: there are none."""
        if self.seats is None or self.served is not None:
            return self.served
        try:
            context = server_context(self._pem)
            fingerprint = fingerprint_of(self._pem.read_bytes())
        except (OSError, ValueError) as error:
            # Very old keys, for instance, which OpenSSL refuses by now.
            log.warn("There are no share channels: {error}", error=str(error))
            return None
        self.served = ShareChannels(
            context, fingerprint, self._reactor, self._random, self._proved
        )
        for port in self._ports:
            port.others[GREETING] = self.served.factory()
        return self.served

    def stop(self) -> None:
        """End those of clients."""
        if self.served is not None:
            self.served.stop()
