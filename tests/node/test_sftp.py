"""What SFTP stands on in a node: what is configured, its key, and its port."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from twisted.conch.ssh.keys import Key
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.protocol import ServerFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.grids import REACTOR, new_directory
from truckee.node.config import load_config
from truckee.node.config_file import BadConfig
from truckee.node.layout import NodeDirectory
from truckee.node.sftp import Sftp, SftpPortTaken, _host_key, _listen
from truckee.node.sftp_config import SftpConfig


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = NodeDirectory(new_directory(self))
        self.node.private.mkdir()

    def load(self, text: str) -> SftpConfig | None:
        """Return what a file says in [sftpd]."""
        self.node.config.write_text(f"[sftpd]\n{text}\n")
        return load_config(self.node).sftp

    def enabled(self, text: str = "") -> SftpConfig:
        """Return what it says when SFTP is wanted."""
        config = self.load(f"enabled = true\n{text}")
        assert config is not None
        return config


class ConfigTests(_Case):
    def test_off(self) -> None:
        """Nobody gets SFTP who has not asked for it."""
        for text in ("", "enabled = false", "port = tcp:22\nhost_privkey_file = k"):
            self.assertIsNone(self.load(text))

    def test_usual(self) -> None:
        """It is for this machine alone, with a key of its own in the private directory."""
        usual = self.node.private / "ssh_host_ed25519_key"
        wanted = SftpConfig("tcp:8022:interface=127.0.0.1", usual, True)
        self.assertEqual(self.enabled(), wanted)

    def test_named(self) -> None:
        """A key that is named is taken from the node directory, and never made."""
        found = self.enabled("port = tcp:22\nhost_privkey_file = private/k")
        self.assertEqual(found, SftpConfig("tcp:22", self.node.path / "private/k", False))
        found = self.enabled("host_privkey_file = /etc/k")
        self.assertEqual(found.host_key, Path("/etc/k"))

    def test_accounts_url(self) -> None:
        """Who set up what is not done here is told, instead of being without accounts."""
        error = self.assertRaises(BadConfig, self.enabled, "accounts.url = http://x/")
        self.assertIn("truckee account", str(error))


class HostKeyTests(_Case):
    def key(self, config: SftpConfig) -> Key:
        """Return the key that clients see."""
        return _host_key(self.node, config)

    def assertBad(self, config: SftpConfig, part: str) -> None:
        """Fail unless the key stops the start, with *part* in the error."""
        error = self.assertRaises(BadConfig, self.key, config)
        self.assertIn("host_privkey_file", str(error))
        self.assertIn(part, str(error))

    def test_made(self) -> None:
        """It is made once, for its owner's eyes; its public half is beside it."""
        config = self.enabled()
        first = self.key(config)
        self.assertEqual(config.host_key.stat().st_mode & 0o777, 0o600)
        public = config.host_key.with_name("ssh_host_ed25519_key.pub")
        self.assertEqual(Key.fromString(public.read_bytes()), first.public())
        self.assertEqual(self.key(config), first)

    def test_missing(self) -> None:
        """A key that was named and is not there is not made: clients know another one."""
        config = self.enabled("host_privkey_file = private/k")
        self.assertBad(config, "cannot be read")
        self.assertFalse(config.host_key.exists())

    def test_unusable(self) -> None:
        """One that is no key, or has a passphrase, is named with what to do."""
        config = self.enabled("host_privkey_file = private/k")
        config.host_key.write_text("no key\n")
        self.assertBad(config, "no private key of OpenSSH")
        config.host_key.unlink()
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f"]
        subprocess.run([*command, str(config.host_key)], check=True)
        self.assertBad(config, "ssh-keygen -p -f k")


class PortTests(TestCase):
    timeout = 20

    def setUp(self) -> None:
        self.node = NodeDirectory(new_directory(self))

    async def listen(self, strport: str) -> Any:
        """Return a port that listens."""
        server: Any = ServerFactory()
        return await _listen(REACTOR, self.node, strport, server)

    async def test_taken(self) -> None:
        """A port that another program has is named."""
        port = await self.listen("tcp:0:interface=127.0.0.1")
        self.addCleanup(port.stopListening)
        taken = f"tcp:{port.getHost().port}:interface=127.0.0.1"
        with self.assertRaises(SftpPortTaken) as caught:
            await self.listen(taken)
        self.assertIn(taken, str(caught.exception))

    async def test_no_endpoint(self) -> None:
        """What is no endpoint is a mistake in the configuration, of any kind."""
        for text in ("nonsense:1", "tcp:x", "tcp:1:no=thing"):
            with self.assertRaises(BadConfig) as caught:
                await self.listen(text)
            self.assertIn("[sftpd] port", str(caught.exception))

    def test_url(self) -> None:
        """Clients are told an address that they can reach; a path has none."""
        for address, url in (
            (IPv4Address("TCP", "192.0.2.1", 22), "sftp://192.0.2.1:22/"),
            (IPv4Address("TCP", "0.0.0.0", 8022), "sftp://127.0.0.1:8022/"),
            (IPv6Address("TCP", "::", 8022), "sftp://[::1]:8022/"),
            (UNIXAddress("/tmp/s"), ""),
        ):
            port: Any = _Port(address)
            nobody: Any = None
            self.assertEqual(Sftp(nobody, nobody, port).url, url)


class _Port:
    def __init__(self, address: object) -> None:
        self.address = address

    def getHost(self) -> object:
        """Return where it is."""
        return self.address
