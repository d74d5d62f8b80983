"""SFTP, put together: its keys, its port, and what it does with files."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from attrs import define
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.keys import BadKeyError, EncryptedKeyError, Key
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort

from truckee.errors import Unavailable
from truckee.flow.backlog import let_wait
from truckee.flow.durable import write_durably
from truckee.frontends.sftp.service import SftpService
from truckee.immutable.upload.keys import parse_key_choice
from truckee.net.ssh.server import SshServer
from truckee.node.config_file import BadConfig
from truckee.node.config_values import endpoint_text
from truckee.node.file_parts import FileParts
from truckee.node.layout import NodeDirectory
from truckee.node.sftp_config import SftpConfig
from truckee.uploads.written_files import WrittenFiles


@define
class SftpPortTaken(Unavailable):
    """
    {port} cannot be listened on: {reason}. Stop the program that uses it, or change
    [sftpd] port in tahoe.cfg.
    """

    port: str
    reason: str


@define(eq=False)
class Sftp:
    """SFTP that listens."""

    written: WrittenFiles
    _server: SshServer
    port: IListeningPort

    @property
    def url(self) -> str:
        """Where it is, for people and programs; empty: it has no such address."""
        address = self.port.getHost()
        if not isinstance(address, IPv4Address | IPv6Address):
            return ""
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        host = everywhere.get(address.host, address.host)
        host = f"[{host}]" if ":" in host else host
        return f"sftp://{host}:{address.port}/"

    async def stop(self) -> None:
        """Listen no more; what was not stored is given up."""
        await maybeDeferred(self.port.stopListening)
        self._server.end()
        await self.written.stop()


async def start_sftp(
    reactor: Any, node: NodeDirectory, config: SftpConfig, parts: FileParts
) -> Sftp:
    """
    Listen.

    :raises SftpPortTaken: :raises BadConfig: with a text for the operator.
    """
    parts.accounts.look()
    key = await parts.disk.run(_host_key, node, config)
    written = WrittenFiles(
        parts.uploader,
        parts.disk,
        str(node.spool),
        reactor,
        parts.tasks,
        parse_key_choice(parts.default_key),
    )
    service = SftpService(
        parts.directories,
        parts.mutable,
        parts.downloader,
        written,
        parts.accounts,
        parts.quota,
        (os.getuid(), os.getgid()),
        time.time,
        reactor,
    )
    server = SshServer({key.sshType(): key}, parts.accounts, service.begin, reactor)
    return Sftp(written, server, await _listen(reactor, node, config.port, server))


async def _listen(
    reactor: Any, node: NodeDirectory, strport: str, server: SshServer
) -> IListeningPort:
    description = endpoint_text(strport)
    try:
        port: IListeningPort = await serverFromString(reactor, description).listen(server)
    except CannotListenError as error:
        raise SftpPortTaken(strport, str(error.socketError)) from None
    except Exception as error:
        # Each kind of endpoint has errors of its own for what it does not understand.
        reason = f"{strport!r} is not an endpoint: {error}"
        raise BadConfig(node.config, "[sftpd] port", reason) from None
    let_wait(port, description)
    return port


def _host_key(node: NodeDirectory, config: SftpConfig) -> Key:
    """Return the key by which clients know this server again; it is made when it must."""
    path = config.host_key
    if config.makes_key and not path.exists():
        _make_key(path)
    try:
        key: Key = Key.fromString(path.read_bytes())
        return key
    except EncryptedKeyError:
        reason = f"{path.name} has a passphrase; remove it: ssh-keygen -p -f {path.name}"
    except (BadKeyError, ValueError) as error:
        reason = f"{path.name} is no private key of OpenSSH: {error}"
    except OSError as error:
        reason = f"{path.name} cannot be read: {error.strerror}"
    raise BadConfig(node.config, "[sftpd] host_privkey_file", reason)


def _make_key(path: Path) -> None:
    key = Key(Ed25519PrivateKey.generate())
    write_durably(path, key.toString("openssh"))
    public = key.public().toString("openssh")
    write_durably(path.with_name(f"{path.name}.pub"), public + b"\n")
