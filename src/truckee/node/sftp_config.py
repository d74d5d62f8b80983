"""What ``[sftpd]`` says.  Its keys and their meanings are those of stock Tahoe-LAFS."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from attrs import frozen

from truckee.node.config_file import BadConfig, ConfigFile
from truckee.node.config_values import parse_boolean, parse_path
from truckee.node.layout import NodeDirectory

# For this machine alone, as the web port; stock nodes listen on all addresses here.
_PORT = "tcp:8022:interface=127.0.0.1"


@frozen
class SftpConfig:
    """Where SFTP listens, and as whom."""

    port: str  # an endpoint string
    host_key: Path  # a private key of OpenSSH's form
    makes_key: bool  # whether it is made if it is not there


def sftp_config(node: NodeDirectory, file: ConfigFile) -> SftpConfig | None:
    """Return what is said of SFTP; None: it is not wanted.  :raises BadConfig:"""
    if not file.get("sftpd", "enabled", False, parse_boolean):
        return None
    if file.text("sftpd", "accounts.url"):
        reason = "accounts are in a file here: see accounts.file, and truckee account"
        raise BadConfig(node.config, "[sftpd] accounts.url", reason)
    path = partial(parse_path, node.path)
    named = file.text("sftpd", "host_privkey_file")
    usual = node.private / "ssh_host_ed25519_key"
    host_key = file.get("sftpd", "host_privkey_file", usual, path)
    return SftpConfig(file.get("sftpd", "port", _PORT, str), host_key, not named)
