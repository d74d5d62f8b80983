"""
What a stock node makes of node directories: a program that reads them with stock's code.

    python -m tests.node.stock_config ROOM OTHER

ROOM has a directory for each; OTHER takes what they would keep elsewhere.  The
nodes are made as stock makes them before it starts them, but for what listens: it notes
where that would be.  One JSON object goes to standard
output: by the name of each directory what was derived from it, or the error.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from allmydata import client, node
from allmydata.util import iputil
from foolscap.pb import Tub
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

# In the place of the addresses of this machine, and of a free port.
ADDRESS, PORT = "192.0.2.1", 45678


class _Quiet(client._Client):  # type: ignore[misc]
    """A client that opens no port."""

    told_web: str | None = None

    def init_web(self, webport: str) -> None:
        self.told_web = webport

    def create_log_tub(self) -> None:
        # A key of its own would take half a second to make.
        self.log_tub = Tub(certFile=self.config.get_private_path("node.pem"))

    def init_sftp_server(self) -> None:
        if self.config.get_config("sftpd", "enabled", False, boolean=True):
            self.config.get_config("sftpd", "host_pubkey_file")
            self.config.get_config("sftpd", "host_privkey_file")


class _Storage(client.StorageServer):  # type: ignore[misc]
    """A storage server that makes no directories where it is told to."""

    def __init__(self, storedir: str, *given: Any, **named: Any) -> None:
        self.told = storedir
        super().__init__(tempfile.mkdtemp(dir=sys.argv[2]), *given, **named)


class _Listening:
    """Notes where tubs would listen."""

    def __init__(self) -> None:
        self.place: list[str] | None = None

    def __call__(self, i2p: Any, tor: Any, tub: Any, port: str, location: bytes) -> None:
        self.place = [port, location.decode()]
        tub.setLocation(location)
        tub.listeners = [self]  # it only asks whether there is one


def _derived(made: Any, place: list[str] | None) -> dict[str, Any]:
    config, shape = made.config, made.encoding_params
    broker = made.storage_broker
    handlers = broker._default_connection_handlers
    furl = made.getServiceNamed("uploader")._helper_furl
    found: dict[str, Any] = {
        "nickname": made.nickname,
        "web": made.told_web,
        "tub": place,
        "shares": [shape["k"], shape["happy"], shape["n"]],
        "introducers": {
            name: furl for name, (furl, _) in config.get_introducer_configuration().items()
        },
        "servers": {
            name.decode(): {
                key: found.announcement.get(key)
                for key in ("nickname", "anonymous-storage-FURL")
            }
            for name, found in broker.servers.items()
        },
        "tcp": handlers["tcp"],
        "helper": made.helper is not None,
        "helper_furl": furl.decode() if isinstance(furl, bytes) else furl,
        "managers": len(broker.storage_client_config.grid_manager_keys),
        "storage": None,
    }
    if client.storage_enabled(config):
        server = made.getServiceNamed("storage")
        crawler = server.lease_checker
        expires = crawler.expiration_enabled
        found["storage"] = {
            "directory": server.told,
            "reserved": server.reserved_space,
            "readonly": server.readonly_storage,
            "expires": crawler.mode if expires else None,
            "duration": crawler.override_lease_duration if expires else None,
            "anonymous": client.anonymous_storage_enabled(config),
        }
    return found


def read(path: Path) -> dict[str, Any]:
    """Return what is derived from one directory, or the error."""
    listening = _Listening()
    node.tub_listen_on = listening
    done: list[Any] = []
    try:
        config = client.read_config(str(path), "client.port")
        made: Deferred[Any] = client.create_client_from_config(config, _Quiet)
        made.addBoth(done.append)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    if not done or isinstance(done[0], Failure):
        why = done[0].value if done else TimeoutError()
        return {"error": f"{type(why).__name__}: {why}"}
    return _derived(done[0], listening.place)


def main() -> None:
    """Read all of them; a key is made for the first one, and is used by all."""
    iputil.get_local_addresses_sync = lambda: [ADDRESS]
    iputil.allocate_tcp_port = lambda: PORT
    client.StorageServer = _Storage
    found, key = {}, None
    for path in sorted(Path(sys.argv[1]).iterdir()):
        pem = path / "private" / "node.pem"
        if key is not None:
            shutil.copyfile(key, pem)
        found[path.name] = read(path)
        if key is None and pem.exists():
            key = pem
    print(json.dumps(found))


if __name__ == "__main__":
    main()
