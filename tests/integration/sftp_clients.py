"""A node with SFTP, and clients that were written elsewhere."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import paramiko
from attrs import frozen

from tests.processes import GridProcess, ask
from truckee.accounts.files import AccountFiles

CONFIG = "\n[sftpd]\nenabled = true\nport = tcp:0:interface=127.0.0.1\n"


@frozen
class Account:
    """Somebody who can log in with a key."""

    name: str
    root: str  # a cap
    key: Path
    port: int

    @property
    def options(self) -> list[str]:
        """Options of OpenSSH, as ``-o`` takes them."""
        return [
            f"IdentityFile={self.key}",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ]


def port_of(grid: GridProcess) -> int:
    """Return where SFTP listens."""
    port = urlsplit((grid.directory / "sftp.url").read_text().strip()).port
    assert port is not None
    return port


def new_account(
    grid: GridProcess, place: Path, name: str, root: str = "", kind: str = "ed25519"
) -> Account:
    """Return an account with an empty directory, or with the one of a cap."""
    key = place / f"key-{name}"
    command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(key)]
    subprocess.run(command, check=True)
    root = root or ask("-X", "POST", f"{grid.url}uri?t=mkdir").text
    algorithm, blob, *_ = key.with_suffix(".pub").read_text().split()
    files = AccountFiles.at(grid.directory / "private" / "accounts")
    with files.stock.open("a") as file:
        file.write(f"{name} {algorithm} {blob} {root}\n")
    files.stock.chmod(0o600)
    return Account(name, root, key, port_of(grid))


def sftp(account: Account, *lines: str, check: bool = True) -> str:
    """Return what OpenSSH's client says when it is given *lines*."""
    command = ["sftp", "-q", "-b", "-", "-P", str(account.port)]
    for option in account.options:
        command += ["-o", option]
    done = subprocess.run(
        [*command, f"{account.name}@127.0.0.1"],
        input="\n".join(lines) + "\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(done.stdout)
    return done.stdout


@contextmanager
def connected(account: Account) -> Iterator[paramiko.Transport]:
    """Give a connection of paramiko's that is logged in."""
    key = paramiko.Ed25519Key.from_private_key_file(str(account.key))
    transport = paramiko.Transport(("127.0.0.1", account.port))
    try:
        transport.connect(username=account.name, pkey=key)
        yield transport
    finally:
        transport.close()


@contextmanager
def logged_in(account: Account) -> Iterator[paramiko.SFTPClient]:
    """Give a client of paramiko's."""
    with connected(account) as transport:
        client = paramiko.SFTPClient.from_transport(transport)
        assert client is not None
        yield client
