"""Gateways that reach their servers over one transport alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import yaml

from tests.integration.stock_grid import NodeProcess
from truckee.storage.gbs_schema import nurls_of
from truckee.storage.gbs_server import certificate_hash

Transport = Literal["foolscap", "https"]


def write_servers(
    gateway: NodeProcess, servers: Sequence[NodeProcess], transport: Transport
) -> None:
    """
    Have a gateway, of any program, know *servers* over *transport* from its next start on.

    What an introducer says of them counts no more.
    """
    announcements = {}
    for server in servers:
        tub, _, place = server.furl.partition("@")
        announcement: dict[str, object] = {"anonymous-storage-FURL": server.furl}
        if transport == "https":
            pem = (server.directory / "private" / "node.pem").read_bytes()
            nurls = nurls_of(server.furl, certificate_hash(pem))
            swissnum = place.rpartition("/")[2]
            announcement = {
                "anonymous-storage-FURL": f"{tub}@/{swissnum}",
                "anonymous-storage-NURLs": [nurl.text for nurl in nurls],
            }
        # Gateways that hear of it otherwise look for its shares in the same order.
        seed = (server.directory / "permutation-seed").read_text().strip()
        announcement["permutation-seed-base32"] = seed
        announcements[server.directory.name] = {"ann": announcement}
    path = gateway.directory / "private" / "servers.yaml"
    path.write_text(yaml.safe_dump({"storage": announcements}))
