"""SFTP: files and directories at one real node, by clients that were written elsewhere."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from contextlib import closing

import paramiko
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from tests.integration.sftp_clients import CONFIG, connected, logged_in, new_account, sftp
from tests.processes import SharedNode, ask, eventually

room = SharedNode(happy=3, total=3, config=CONFIG)


def tearDownModule() -> None:
    """End the node."""
    room.close()


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.grid = room()
        self.place = new_directory(self)
        name = f"a-{self.id().rpartition('.')[2]}"
        self.account = new_account(self.grid, self.place, name)

    def read(self, *names: str) -> bytes:
        """Return what the web API reads at a path."""
        path = "/".join((self.account.root, *names))
        return ask(f"{self.grid.url}uri/{path}").body

    def status(self, *names: str) -> int:
        """Return the status of a path in the web API."""
        path = "/".join((self.account.root, *names))
        return ask(f"{self.grid.url}uri/{path}").status


class OpenSshTests(_Case):
    def test_all_commands(self) -> None:
        """Files and directories come, go and move, and others see them."""
        content = os.urandom(3_000_000)
        (self.place / "big").write_bytes(content)
        (self.place / "small").write_bytes(b"hello")
        sftp(
            self.account,
            f"lcd {self.place}",
            "put big",
            "put small",
            "mkdir d",
            "put small d/\u00fc",
            "rename small d/moved",
            "mkdir d/e",
            "get big back",
        )
        self.assertEqual((self.place / "back").read_bytes(), content)
        self.assertEqual(self.read("big"), content)
        self.assertEqual(self.read("d", "moved"), b"hello")
        self.assertEqual(self.status("small"), 404)
        listed = sftp(self.account, "ls -la d")
        self.assertIn("\u00fc", listed)
        self.assertIn("-rw-r--r--", listed)
        sftp(self.account, "rm d/moved", "rm d/\u00fc", "rmdir d/e", "rmdir d")
        self.assertEqual(self.status("d"), 404)

    def test_resumed(self) -> None:
        """``reput`` goes on where a file ends, ``reget`` too."""
        content = os.urandom(2_000_000)
        part = self.place / "f"
        part.write_bytes(content[:1_200_000])
        sftp(self.account, f"lcd {self.place}", "put f")
        part.write_bytes(content)
        sftp(self.account, f"lcd {self.place}", "reput f")
        self.assertEqual(self.read("f"), content)
        (self.place / "g").write_bytes(content[:100_000])
        sftp(self.account, f"lcd {self.place}", "reget f g")
        self.assertEqual((self.place / "g").read_bytes(), content)

    def test_scp(self) -> None:
        """scp, which speaks SFTP too, and looks at how the server ended, is content."""
        path, back = self.place / "f", self.place / "back"
        path.write_bytes(os.urandom(300_000))
        scp = ["scp", "-q", "-P", str(self.account.port)]
        for option in self.account.options:
            scp += ["-o", option]
        there = f"{self.account.name}@127.0.0.1:/f"
        for source, target in ((path, there), (there, back)):
            done = subprocess.run([*scp, source, target], check=False, timeout=60)
            self.assertEqual(done.returncode, 0)
        self.assertEqual(back.read_bytes(), path.read_bytes())

    def test_times(self) -> None:
        """``put -p`` keeps the time of a file."""
        path = self.place / "old"
        path.write_bytes(b"x" * 100)
        os.utime(path, (1_000_000_000, 1_000_000_000))
        sftp(self.account, f"lcd {self.place}", "put -p old")
        with logged_in(self.account) as client:
            self.assertEqual(client.stat("/old").st_mtime, 1_000_000_000)


class SemanticsTests(_Case):
    def test_written_anywhere(self) -> None:
        """A file can be written at any place, read meanwhile, cut and appended to."""
        with logged_in(self.account) as client:
            with client.open("/f", "w+b") as file:
                file.seek(200_000)
                file.write(b"later")
                file.seek(0)
                file.write(b"first")
                file.seek(200_000)
                self.assertEqual(file.read(5), b"later")
                self.assertEqual(file.stat().st_size, 200_005)
                self.assertEqual(client.stat("/f").st_size, 200_005)
                self.assertIn("f", client.listdir("/"))
                file.truncate(200_003)
            with client.open("/f", "ab") as file:
                file.write(b"END")
            with client.open("/f", "r+b") as file:
                file.seek(2)
                file.write(b"XX")
        expected = b"fiXXt" + bytes(199_995) + b"latEND"
        self.assertEqual(self.read("f"), expected)

    def test_nothing_of_what_was_not_closed(self) -> None:
        """A client that goes amid a file leaves what was there, or nothing."""
        with logged_in(self.account) as client:
            client.open("/old", "wb").close()
            with client.open("/old", "wb") as file:
                file.write(b"before")
        files = []  # paramiko closes what nobody has any more
        with logged_in(self.account) as client:
            for name in ("/old", "/new"):
                file = client.open(name, "wb")
                file.write(os.urandom(2_000_000))
                file.flush()
                files.append(file)
        self.assertEqual(self.read("old"), b"before")
        self.assertEqual(self.status("new"), 404)
        eventually(lambda: self.active() == 0)

    def active(self) -> int:
        """Return how many uploads go on."""
        found = json.loads(ask(f"{self.grid.url}status?t=json").body)
        return sum(each["type"] == "upload" for each in found["active"])

    def test_rename_while_it_is_written(self) -> None:
        """A file that is written is linked where it was moved to."""
        with logged_in(self.account) as client:
            client.mkdir("/d")
            file = client.open("/part", "wb")
            file.write(b"x" * 300_000)
            client.rename("/part", "/d/whole")
            self.assertEqual(client.stat("/d/whole").st_size, 300_000)
            self.assertRaises(FileNotFoundError, client.stat, "/part")
            file.write(b"y")
            file.close()
        self.assertEqual(self.read("d", "whole"), b"x" * 300_000 + b"y")
        self.assertEqual(self.status("part"), 404)

    def test_renames(self) -> None:
        """RENAME replaces nothing; posix-rename replaces a file and an empty directory."""
        with logged_in(self.account) as client:
            for name in ("/a", "/b"):
                with client.open(name, "wb") as file:
                    file.write(name.encode())
            client.mkdir("/d")
            client.mkdir("/e")
            client.mkdir("/e/inner")
            self.assertRaises(OSError, client.rename, "/a", "/b")
            self.assertRaises(OSError, client.posix_rename, "/a", "/d")
            self.assertRaises(OSError, client.posix_rename, "/d", "/e")
            self.assertRaises(OSError, client.posix_rename, "/e", "/e/inner/x")
            self.assertRaises(OSError, client.posix_rename, "/d", "/b")
            self.assertRaises(FileNotFoundError, client.posix_rename, "/no", "/x")
            client.posix_rename("/a", "/b")
            client.posix_rename("/e", "/d")
            self.assertEqual(sorted(client.listdir("/")), ["b", "d"])
            self.assertEqual(client.listdir("/d"), ["inner"])
        self.assertEqual(self.read("b"), b"/a")

    def test_removed_while_it_is_written(self) -> None:
        """A removed file can still be read by who has it, and is linked nowhere."""
        with logged_in(self.account) as client:
            file = client.open("/gone", "w+b")
            file.write(b"x" * 1000)
            client.remove("/gone")
            self.assertRaises(FileNotFoundError, client.stat, "/gone")
            file.seek(0)
            self.assertEqual(file.read(), b"x" * 1000)
            file.close()
            self.assertEqual(client.listdir("/"), [])

    def test_exclusive(self) -> None:
        """With EXCL a file must not be there."""
        with logged_in(self.account) as client:
            client.open("/x", "wx").close()
            self.assertRaises(OSError, client.open, "/x", "wx")

    def test_errors(self) -> None:
        """What cannot be done is said, and nothing changes."""
        with logged_in(self.account) as client:
            client.mkdir("/d")
            client.open("/d/f", "wb").close()
            self.assertRaises(FileNotFoundError, client.open, "/no", "rb")
            self.assertRaises(FileNotFoundError, client.open, "/no/f", "wb")
            self.assertRaises(FileNotFoundError, client.remove, "/no")
            self.assertRaises(FileNotFoundError, client.listdir, "/no")
            self.assertRaises(OSError, client.open, "/d", "rb")
            self.assertRaises(OSError, client.open, "/d", "wb")
            self.assertRaises(OSError, client.remove, "/d")
            self.assertRaises(OSError, client.rmdir, "/d")
            self.assertRaises(OSError, client.rmdir, "/d/f")
            self.assertRaises(OSError, client.mkdir, "/d")
            self.assertRaises(OSError, client.mkdir, "/d/f/g")
            self.assertRaises(OSError, client.rmdir, "/")
            self.assertRaises(OSError, client.symlink, "/d", "/e")
            self.assertRaises(OSError, client.readlink, "/d")
            self.assertEqual(client.normalize("/d/./../d//f"), "/d/f")
            self.assertEqual(client.normalize("."), "/")

    def test_read_only(self) -> None:
        """Who has the cap that only reads changes nothing."""
        with logged_in(self.account) as client, client.open("/f", "wb") as file:
            file.write(b"there")
        cap = json.loads(ask(f"{self.grid.url}uri/{self.account.root}?t=json").body)[1][
            "ro_uri"
        ]
        reader = new_account(self.grid, self.place, f"{self.account.name}-ro", cap)
        with logged_in(reader) as client:
            with client.open("/f", "rb") as file:
                self.assertEqual(file.read(), b"there")
            mode = client.stat("/f").st_mode
            assert mode is not None
            self.assertEqual(stat.S_IMODE(mode), 0o444)
            for act in (
                lambda: client.open("/f", "wb"),
                lambda: client.open("/g", "wb"),
                lambda: client.mkdir("/d"),
                lambda: client.remove("/f"),
                lambda: client.rename("/f", "/g"),
                lambda: client.utime("/f", (1, 1)),
            ):
                self.assertRaises(PermissionError, act)

    def test_mutable_file(self) -> None:
        """A mutable file gets another content, and stays the same one."""
        cap = ask("-T", "-", f"{self.grid.url}uri?format=SDMF", data=b"first content").text
        url = f"{self.grid.url}uri/{self.account.root}/m?t=uri"
        ask("-X", "PUT", "--data-binary", cap, url)
        with logged_in(self.account) as client:
            self.assertEqual(client.stat("/m").st_size, 13)
            with client.open("/m", "r+b") as file:
                file.write(b"FIRST")
            self.assertEqual(client.stat("/m").st_size, 13)
        self.assertEqual(ask(f"{self.grid.url}uri/{cap}").body, b"FIRST content")
        found = json.loads(ask(f"{self.grid.url}uri/{self.account.root}/m?t=json").body)
        self.assertEqual(found[1]["rw_uri"], cap)

    def test_many_entries(self) -> None:
        """A directory of any size is listed whole, in pieces."""
        names = {f"file {number:04}": "URI:LIT:" for number in range(1500)}
        children = {
            name: ["filenode", {"ro_uri": cap, "metadata": {}}]
            for name, cap in names.items()
        }
        url = f"{self.grid.url}uri/{self.account.root}?t=set_children"
        ask("-X", "POST", "--data-binary", "@-", url, data=json.dumps(children).encode())
        with logged_in(self.account) as client:
            self.assertEqual(set(client.listdir("/")), set(names))

    def test_sync(self) -> None:
        """fsync stores and links what was written so far."""
        with logged_in(self.account) as client, client.open("/f", "wb") as file:
            file.write(b"a" * 200_000)
            sock = file.sftp
            sock._request(200, "fsync@openssh.com", file.handle)
            self.assertEqual(self.read("f"), b"a" * 200_000)
            file.write(b"b")
        self.assertEqual(self.read("f"), b"a" * 200_000 + b"b")

    def test_looked_at_while_it_is_written(self) -> None:
        """Whoever asks for a size learns it as of all that was written before."""
        with logged_in(self.account) as client, client.open("/f", "wb") as file:
            file.set_pipelined(True)
            for number in range(1, 41):
                for _ in range(10):
                    file.write(b"x" * 30_000)
                looks = (
                    lambda: client.lstat("/f").st_size,
                    lambda: client.listdir_attr("/")[0].st_size,
                    lambda: file.stat().st_size,
                )
                self.assertEqual(looks[number % 3](), 300_000 * number)
                # paramiko drops the answers to them that come before that one, and would
                # wait for those.
                file._reqs.clear()

    def test_several_connections(self) -> None:
        """What one connection changes, or the web API, the others see at once."""
        with logged_in(self.account) as one, logged_in(self.account) as other:
            for number in range(5):
                name = f"/d{number}"
                for client in (one, other):
                    self.assertRaises(FileNotFoundError, client.stat, name)
                one.mkdir(name)
                self.assertTrue(stat.S_ISDIR(other.stat(name).st_mode or 0))
                with other.open(f"{name}/f", "wb") as file:
                    file.write(b"x" * number)
                self.assertEqual(one.stat(f"{name}/f").st_size, number)
                url = f"{self.grid.url}uri/{self.account.root}{name}/f"
                ask("-T", "-", url, data=b"from the web")
                for client in (one, other):
                    self.assertEqual(client.stat(f"{name}/f").st_size, 12)

    def test_two_handles(self) -> None:
        """Two handles of one path are of one file; each close stores it."""
        with logged_in(self.account) as client:
            one = client.open("/f", "wb")
            one.write(b"one")
            two = client.open("/f", "r+b")
            two.seek(3)
            two.write(b"two")
            one.close()
            self.assertEqual(self.read("f"), b"onetwo")
            two.write(b"!")
            two.close()
        self.assertEqual(self.read("f"), b"onetwo!")


class ReadingTests(_Case):
    def test_all_at_once(self) -> None:
        """Whoever asks for all of a file at once gets it, and not all is in memory."""
        content = os.urandom(20_000_000)
        url = f"{self.grid.url}uri/{self.account.root}/f"
        ask("-T", "-", url, data=content)
        with logged_in(self.account) as client:
            with client.open("/f", "rb") as file:
                file.prefetch(len(content))
                self.assertEqual(file.read(), content)
            target = self.place / "got"
            client.get("/f", str(target))
            self.assertEqual(target.read_bytes(), content)

    def test_here_and_there(self) -> None:
        """Any range of a file is read, also many at a time."""
        content = os.urandom(3_500_000)
        ask("-T", "-", f"{self.grid.url}uri/{self.account.root}/f", data=content)
        with logged_in(self.account) as client, client.open("/f", "rb") as file:
            ranges = [(3_000_000, 100_000), (0, 10), (3_499_999, 1), (1_000_000, 30_000)]
            found = list(file.readv(ranges))
            expected = [content[start : start + size] for start, size in ranges]
            self.assertEqual(found, expected)
            file.seek(len(content))
            self.assertEqual(file.read(10), b"")


class AccountTests(_Case):
    def test_no_shell_and_no_ports(self) -> None:
        """There is nothing but SFTP."""
        with connected(self.account) as transport:
            channel = transport.open_session()
            self.assertRaises(paramiko.SSHException, channel.exec_command, "id")
            channel = transport.open_session()
            self.assertRaises(paramiko.SSHException, channel.invoke_shell)
            port = self.account.port
            for kind in ("direct-tcpip", "forwarded-tcpip"):
                self.assertRaises(
                    paramiko.ChannelException,
                    transport.open_channel,
                    kind,
                    ("127.0.0.1", port),
                    ("127.0.0.1", 1),
                )
            with self.assertRaises(paramiko.SSHException):
                transport.request_port_forward("127.0.0.1", 0)

    def test_other_key(self) -> None:
        """Neither a key of somebody else nor a name of somebody else is let in."""
        other = new_account(self.grid, self.place, f"{self.account.name}-2")
        swapped = evolve(self.account, key=other.key)
        unknown = evolve(self.account, name="nobody")
        for each in (swapped, unknown):
            refused = self.assertRaises(paramiko.AuthenticationException)
            with refused, connected(each):
                pass

    def test_kinds_of_keys(self) -> None:
        """Keys of all usual kinds log in; the host key says nothing of those of clients."""
        for kind in ("rsa", "ecdsa"):
            account = new_account(
                self.grid, self.place, f"{self.account.name}-{kind}", "", kind
            )
            self.assertIn("/", sftp(account, "pwd"))

    def test_password(self) -> None:
        """A password logs in, a wrong one does not, and neither is in the log."""
        name = f"{self.account.name}-p"
        private = self.grid.directory / "private"
        with (private / "accounts").open("a") as file:
            file.write(f"{name} correct-horse {self.account.root}\n")
        transport = paramiko.Transport(("127.0.0.1", self.account.port))
        with closing(transport):
            transport.start_client()
            with self.assertRaises(paramiko.AuthenticationException):
                transport.auth_password(name, "wrong-battery")
            transport.auth_password(name, "correct-horse")
            client = paramiko.SFTPClient.from_transport(transport)
            assert client is not None
            self.assertEqual(client.listdir("/"), [])
        log = (self.grid.directory / "log").read_text()
        for secret in ("wrong-battery", "correct-horse", self.account.root):
            self.assertNotIn(secret, log)

    def test_removed_while_connected(self) -> None:
        """Whoever loses his account while he is connected does nothing more."""
        with logged_in(self.account) as client:
            client.mkdir("/d")
            path = self.grid.directory / "private" / "accounts"
            lines = path.read_text().splitlines(keepends=True)
            kept = [each for each in lines if not each.startswith(self.account.name + " ")]
            path.write_text("".join(kept))
            with self.assertRaises((OSError, EOFError, paramiko.SSHException)):
                client.listdir("/")
