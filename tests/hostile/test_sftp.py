"""Clients of SFTP that send nonsense, take nothing, or vanish."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from random import Random

import paramiko
from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from tests.integration.sftp_clients import CONFIG, connected, logged_in, new_account
from tests.processes import SharedNode, ask, eventually, opened
from truckee.frontends.sftp.wire import Splitter, string, u32, u64

room = SharedNode(happy=3, total=3, config=CONFIG)
MIB = 1 << 20


def tearDownModule() -> None:
    """End the node."""
    room.close()


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.grid = room()
        self.place = new_directory(self)
        name = f"h-{self.id().rpartition('.')[2]}"
        self.account = new_account(self.grid, self.place, name)

    def check(self) -> None:
        """See that nothing is in progress, nothing was logged, and the node serves."""

        def uploads() -> int:
            found = json.loads(ask(f"{self.grid.url}status?t=json").body)
            return sum(each["type"] == "upload" for each in found["active"])

        def scratch() -> int:
            files = opened(self.grid.process.pid)
            return sum("deleted" in what for _, what in files)

        eventually(lambda: not uploads() and not scratch(), 30)
        log = self.grid.log()
        for bad in ("Traceback", "A request of SFTP failed", "A subsystem of SSH failed"):
            self.assertNotIn(bad, log)
        with logged_in(self.account) as client:
            with client.open("/check", "wb") as file:
                file.write(b"there")
            with client.open("/check", "rb") as file:
                self.assertEqual(file.read(), b"there")

    def raw(self, transport: paramiko.Transport) -> paramiko.Channel:
        """Return a session of SFTP, begun."""
        channel = transport.open_session()
        channel.settimeout(20)
        channel.invoke_subsystem("sftp")
        channel.sendall(string(b"\1" + u32(3)))
        return channel

    def open(self, channel: paramiko.Channel, path: bytes, flags: int) -> bytes:
        """Return a handle."""
        channel.sendall(string(b"\3" + u32(1) + string(path) + u32(flags) + u32(0)))
        splitter = Splitter()
        while True:
            for packet in splitter.feed(channel.recv(65536)):
                if packet[0] == 102:
                    return packet[9:]
                self.assertEqual(packet[0], 2)


class PacketTests(_Case):
    def test_random_packets(self) -> None:
        """Whatever 10,000 packets have in them, each is answered or ends its session."""
        random = Random(1)
        with connected(self.account) as transport:
            channel = self.raw(transport)
            number = 0
            while number < 10_000:
                parts = []
                for _ in range(100):
                    number += 1
                    body = bytes([random.randrange(3, 21)]) + u32(number)
                    for _ in range(random.randrange(4)):
                        body += random.choice(
                            (
                                u32(random.getrandbits(32)),
                                u32(random.randrange(8)),
                                u64(random.getrandbits(64)),
                                string(u32(random.randrange(1, 9))),
                                string(b"/" + random.randbytes(random.randrange(3))),
                                string(random.choice((b"/a", b"/a/b", b"/", b"..", b"/c"))),
                                random.randbytes(random.randrange(20)),
                            )
                        )
                    parts.append(string(body))
                channel.sendall(b"".join(parts) + string(b"\x10" + u32(0) + string(b".")))
                got = b""
                while bytes([104]) + u32(0) not in got[-65536:]:
                    more = channel.recv(65536)
                    if not more:
                        break
                    got += more
                self.assertTrue(more, "a packet ended the session")
        self.check()

    def test_lengths(self) -> None:
        """Lengths that cannot be end the session, and only that."""
        with connected(self.account) as transport:
            other = self.raw(transport)
            for bad in (u32(0), u32(0xFFFFFFFF), u32(300_000), string(b"\5")):
                channel = self.raw(transport)
                channel.sendall(bad)
                while channel.recv(65536):
                    pass
                channel.close()
            self.open(other, b"/f", 26)
        self.check()


class TakingTests(_Case):
    def test_all_is_asked_for_and_nothing_taken(self) -> None:
        """Whoever asks for 100 MB and more and takes nothing fills no memory."""
        content = os.urandom(20 * MIB)
        ask("-T", "-", f"{self.grid.url}uri/{self.account.root}/f", data=content)
        before, _ = self.grid.memory()
        for window in (1 << 15, (1 << 31) - 1):
            with connected(self.account) as transport:
                transport.default_window_size = window
                channel = self.raw(transport)
                handle = self.open(channel, b"/f", 1)
                reads = [
                    string(b"\5" + u32(n) + string(handle) + u64(n * 32768) + u32(32768))
                    for n in range(3200)
                ]
                with contextlib.suppress(TimeoutError):
                    channel.settimeout(2)
                    channel.sendall(b"".join(reads))
                now, _ = self.grid.memory()
                self.assertLess(now - before, 48 * MIB)
        self.check()

    def test_vanishing(self) -> None:
        """Whoever vanishes amid anything leaves nothing."""
        data = os.urandom(200_000)
        write = u64(0) + string(data)
        for number, act in enumerate(("open", "part", "write", "list", "remove")):
            with connected(self.account) as transport:
                channel = self.raw(transport)
                handle = self.open(channel, b"/f%d" % number, 26)
                packets = {
                    "open": b"",
                    "part": string(b"\6" + u32(3) + string(handle) + write)[:5000],
                    "write": string(b"\6" + u32(3) + string(handle) + write),
                    "list": string(b"\x0b" + u32(4) + string(b"/")),
                    "remove": string(b"\x0d" + u32(5) + string(b"/f%d" % number)),
                }
                channel.sendall(packets[act])
                linger = struct.pack("ii", 1, 0)
                transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                transport.sock.close()
        self.check()
        with logged_in(self.account) as client:
            self.assertEqual(client.listdir("/"), ["check"])


class StrangerTests(_Case):
    def test_flood(self) -> None:
        """Strangers are few at a time, and keep nobody out who has logged in."""
        address = ("127.0.0.1", self.account.port)
        with logged_in(self.account) as client:
            strangers = [socket.create_connection(address, 10) for _ in range(60)]
            self.assertEqual(client.listdir("/"), [])
            alive = 0
            for each in strangers:
                each.settimeout(10)
                with contextlib.suppress(ConnectionError):
                    alive += each.recv(4).startswith(b"SSH")
            self.assertLessEqual(alive, 15)
            for each in strangers:
                with contextlib.closing(each), contextlib.suppress(OSError):
                    each.sendall(b"SSH-2.0-x\r\n" + os.urandom(1000))
        self.check()


class SecretTests(_Case):
    def test_nothing_readable(self) -> None:
        """What is written is nowhere readable, open or closed; no name is in the log."""
        marker = b"Lake Tahoe is 501 meters deep. "
        text = marker * 20_000
        with logged_in(self.account) as client:
            file = client.open("/a-secret-name", "w+b")
            file.write(text)
            file.seek(100)
            file.write(text[:5000])  # again, so that it waits in the scratch file
            file.seek(0)
            self.assertEqual(file.read(31), marker)
            self.check_disk(marker, scratch=True)
            file.close()
            self.check_disk(marker, scratch=False)
            client.rename("/a-secret-name", "/another-secret-name")
        log = self.grid.log()
        for secret in ("secret-name", self.account.name, self.account.root, "Tahoe is"):
            self.assertNotIn(secret, log)

    def check_disk(self, marker: bytes, scratch: bool) -> None:
        """See that *marker* is in no file, those without a name among them."""
        nameless = [
            link for link, what in opened(self.grid.process.pid) if "deleted" in what
        ]
        self.assertEqual(bool(nameless), scratch)
        files = [path for path in self.grid.directory.rglob("*") if path.is_file()]
        for path in (*nameless, *files):
            with contextlib.suppress(FileNotFoundError):
                self.assertNotIn(marker, path.read_bytes(), path)

    def test_modes(self) -> None:
        """Only the node's user can read the host key."""
        private = self.grid.directory / "private"
        mode = (private / "ssh_host_ed25519_key").stat().st_mode
        self.assertEqual(mode & 0o777, 0o600)
