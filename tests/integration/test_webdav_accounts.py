"""WebDAV with names and passwords in place of caps, at one real node."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from unittest import SkipTest
from urllib.parse import quote, unquote, urlsplit
from xml.etree.ElementTree import fromstring

from twisted.trial.unittest import SynchronousTestCase

from tests.accounts.examples import write_accounts
from tests.grids import new_directory
from tests.hostile.test_other_names_and_sites import DAV, FOREIGN
from tests.integration.proxies import make_certificate
from tests.integration.test_webdav import LOCK, program
from tests.processes import GridProcess, Reply, SharedNode, Wire, ask, eventually, running
from truckee.accounts.files import AccountFiles
from truckee.accounts.passwords import hash_password
from truckee.codec.caps import DirectoryCap, parse_cap

HASH = hash_password("secret")
PATCH = (
    b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><a>b</a></D:prop></D:set>'
    b"</D:propertyupdate>"
)
WRITES = ("PUT", "MKCOL", "DELETE", "COPY", "MOVE", "LOCK", "UNLOCK", "PROPPATCH")

room = SharedNode(happy=3, total=3)


def tearDownModule() -> None:
    """End the node."""
    room.close()


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.grid = room()
        self.files = AccountFiles.at(self.grid.directory / "private" / "accounts")
        self.addCleanup(self.files.beside.unlink, missing_ok=True)
        self.root = ask("-X", "POST", f"{self.grid.url}uri?t=mkdir").text
        # Failures of one test count for its own account.
        self.name = f"alice-{self.id().rpartition('.')[2]}"
        self.accounts(f"{self.name} {HASH} {self.root}")

    def accounts(self, *lines: str) -> None:
        """Let these be the accounts."""
        write_accounts(self.files.beside, *lines)

    def at(self, *names: str) -> str:
        """Return the address of something in the account's directory."""
        return f"{self.grid.url}dav/{'/'.join(quote(name, safe='') for name in names)}"

    def ask(
        self, method: str, *names: str, user: str | None = None, data: bytes | None = None,
        url: str = "", **more: str,
    ) -> Reply:  # fmt: skip
        """Return the answer to a request with the password; *more* are headers."""
        options = ["--head"] if method == "HEAD" else ["-X", method]
        user = f"{self.name}:secret" if user is None else user
        if user:
            options += ["-u", user]
        for name, value in more.items():
            options += ["-H", f"{name.replace('_', '-')}: {value}"]
        if data is not None:
            options += ["--data-binary", "@-", "-H", "Content-Type: application/xml"]
        return ask(*options, url or self.at(*names), data=data)

    def check(self, status: int, method: str, *names: str, **more: Any) -> Reply:
        """Return the answer, which has that status and no cap in it."""
        reply = self.ask(method, *names, **more)
        self.assertEqual(reply.status, status, (method, names, reply.body))
        head = " ".join(reply.headers.values())
        self.assertNotIn("URI:DIR2", unquote(head + reply.body.decode("latin-1")))
        self.assertNotIn(self.root.split(":")[2], head + reply.body.decode("latin-1"))
        return reply

    def names(self, *names: str) -> list[str]:
        """Return the paths that a PROPFIND tells."""
        reply = self.check(207, "PROPFIND", *names, Depth="1")
        hrefs = [each.findtext("{DAV:}href", "") for each in fromstring(reply.body)]
        return [unquote(each) for each in hrefs]

    def basic(self, password: str = "secret") -> str:
        """Return the header with the password."""
        both = f"{self.name}:{password}".encode()
        return f"Authorization: Basic {base64.b64encode(both).decode()}"


class LoginTests(_Case):
    def test_challenge(self) -> None:
        """Without a password, and with a wrong one, it is asked for, by every method."""
        for method in ("GET", "HEAD", "PROPFIND", *WRITES):
            for user in ("", f"nobody-{method}:secret"):
                reply = self.check(401, method, "a", user=user, Depth="0")
                self.assertEqual(
                    reply.headers["www-authenticate"],
                    'Basic realm="truckee", charset="UTF-8"',
                )
        for path in ("", "a", "a/b", "hello"):
            self.check(401, "PROPFIND", path, user="", Depth="0")
        self.assertEqual(self.check(200, "OPTIONS", user="").headers["dav"], "1, 2")

    def test_without_accounts(self) -> None:
        """Without accounts it says what there is; who sends a password is refused, and
        does not find an empty directory."""
        self.files.beside.unlink()
        reply = self.check(404, "GET", user="")
        self.assertIn(b"There are no accounts on this gateway.", reply.body)
        self.check(207, "PROPFIND", user="", Depth="1")
        self.assertEqual(self.ask("PROPFIND", "hello", user="", Depth="1").status, 400)
        self.check(401, "PROPFIND", Depth="1")

    def test_problems(self) -> None:
        """What is wrong with the file is on the status page, and nothing of what it says;
        an address without a slash at its end is the same directory."""
        good = f"{self.name} {HASH} {self.root}"
        self.accounts(good, f"{self.name} s3cret {self.root} more")
        for url in (f"{self.grid.url}dav", f"{self.grid.url}dav/"):
            reply = self.check(207, "PROPFIND", url=url, Depth="0")
            self.assertIn(b"<D:href>/dav/</D:href>", reply.body)
        status = ask(f"{self.grid.url}status?t=json").text
        problem = "accounts.passwords, line 2 is not used: its last word is no cap"
        self.assertIn(problem, status)
        self.assertNotIn("s3cret", status + self.grid.log())
        self.accounts(good)
        self.check(207, "PROPFIND", Depth="0")
        self.assertNotIn("line 2", ask(f"{self.grid.url}status?t=json").text)

    def test_problems_at_start(self) -> None:
        """A broken line is reported when the node starts, before anybody logs in."""
        place = Path(self.enterContext(tempfile.TemporaryDirectory()))
        grid = GridProcess.create(
            place / "node", needed=1, happy=1, total=1, storage_dirs=1
        )
        write_accounts(grid.directory / "private" / "accounts", "broken")
        with running(grid):
            status = ask(f"{grid.url}status?t=json").text
            self.assertIn("accounts, line 1 is not used", status)
            self.assertIn("accounts, line 1 is not used", grid.log())

    def test_caps_as_before(self) -> None:
        """A directory of a cap is there with and without a password, and others' caps are
        no names of an account."""
        self.check(201, "PUT", "a", data=b"x")
        by_cap = f"{self.grid.url}dav/{self.root}/a"
        for user in ("", f"{self.name}:wrong", f"{self.name}:secret"):
            self.assertEqual(self.ask("GET", url=by_cap, user=user).body, b"x")
        self.assertEqual(self.ask("GET", "URI:DIR2:x", user="").status, 400)
        other = ask("-X", "POST", f"{self.grid.url}uri?t=mkdir").text
        ask(
            *("-X", "PUT", "--data-binary", "@-"),
            f"{self.grid.url}uri/{self.root}/{quote(other)}?t=uri",
            data=other.encode(),
        )
        self.assertEqual(self.names(), ["/dav/", "/dav/a"])

    def test_no_caps(self) -> None:
        """Addresses have no cap: in listings, destinations, locks and conditions."""
        self.check(201, "MKCOL", "d")
        self.check(201, "PUT", "d", "f", data=b"x")
        self.assertEqual(self.names(), ["/dav/", "/dav/d/"])
        self.assertEqual(self.names("d"), ["/dav/d/", "/dav/d/f"])
        self.check(201, "COPY", "d", "f", Destination=self.at("d", "g"))
        self.check(201, "MOVE", "d", "g", Destination="/dav/e")
        self.assertEqual(self.check(200, "GET", "e").body, b"x")
        for cap in (self.root, self.root.replace(":", "_")):
            target = f"{self.grid.url}dav/{cap}/x"
            self.assertEqual(self.ask("MOVE", "e", Destination=target).status, 502)
        target = self.at("x")
        by_cap = f"{self.grid.url}dav/{self.root}/e"
        reply = self.ask("COPY", url=by_cap, user="", Destination=target)
        self.assertEqual(reply.status, 400)
        reply = self.check(200, "LOCK", "d", data=LOCK)
        self.assertIn(b"<D:lockroot><D:href>/dav/d/</D:href></D:lockroot>", reply.body)
        token = reply.headers["lock-token"]
        reply = self.check(423, "PUT", "d", "f", data=b"y")
        self.assertIn(b"<D:href>/dav/d/</D:href>", reply.body)
        tagged = f"<{self.at('d')}/> ({token})"
        self.check(204, "PUT", "d", "f", data=b"y", If=tagged)
        self.check(204, "UNLOCK", "d", Lock_Token=token)
        reply = self.check(207, "PROPPATCH", "d", data=PATCH)
        self.assertIn(b"<D:href>/dav/d/</D:href>", reply.body)
        self.check(200, "GET", "d")
        self.check(200, "GET")
        self.check(404, "GET", "no")
        self.check(403, "DELETE")

    def test_read_only(self) -> None:
        """An account that only reads is refused by all that writes, before the body."""
        self.check(201, "PUT", "f", data=b"x")
        cap = parse_cap(self.root)
        assert isinstance(cap, DirectoryCap)
        self.accounts(f"{self.name} {HASH} {cap.read_cap()}")
        self.assertEqual(self.names(), ["/dav/", "/dav/f"])
        self.assertEqual(self.check(200, "GET", "f").body, b"x")
        for method in WRITES:
            for names in ((), ("f",), ("new",)):
                reply = self.check(403, method, *names, Destination=self.at("g"))
                self.assertIn(b"This account may only read.", reply.body)
        with Wire(self.grid.url) as wire:
            wire.request(
                "PUT /dav/new", self.basic(), "Content-Length: 9", "Expect: 100-continue"
            )
            self.assertEqual(wire.head()[0], 403)
        self.assertEqual(self.names(), ["/dav/", "/dav/f"])

    def test_body_waits_for_the_password(self) -> None:
        """No body is asked for before the password is right; then it streams."""
        for password, status in (("wrong", 401), ("secret", 100)):
            with Wire(self.grid.url) as wire:
                wire.request(
                    "PUT /dav/f",
                    self.basic(password),
                    "Transfer-Encoding: chunked",
                    "Expect: 100-continue",
                )
                self.assertEqual(wire.head()[0], status)
                if status == 100:
                    data = os.urandom(3 << 20)
                    wire.chunk(data)
                    eventually(self.grid.incoming)
                    wire.send(b"0\r\n\r\n")
                    self.assertEqual(wire.reply().status, 201)
        self.assertEqual(self.check(200, "GET", "f").body, data)

    def test_removed_while_connected(self) -> None:
        """Whoever is connected is refused from the request on after their account goes."""
        with Wire(self.grid.url) as wire:
            for status in (207, 401, 207, 401):
                wire.request("PROPFIND /dav/", self.basic(), "Depth: 0")
                self.assertEqual(wire.reply().status, status)
                if status == 207:
                    self.files.beside.unlink()
                else:
                    self.accounts(f"{self.name} {HASH} {self.root}")

    def test_too_many_failures(self) -> None:
        """After ten wrong passwords one has to wait, and is told for how long; who has
        logged in is not kept out."""
        self.check(207, "PROPFIND", Depth="0")
        for _ in range(10):
            self.check(401, "PROPFIND", user=f"{self.name}:guess", Depth="0")
        reply = self.check(429, "PROPFIND", user=f"{self.name}:guess", Depth="0")
        self.assertIn(int(reply.headers["retry-after"]), range(1, 31))
        self.assertIn(b"Too many log-ins have failed.", reply.body)
        self.check(207, "PROPFIND", Depth="0")


class NetworkTests(_Case):
    def test_plain_http(self) -> None:
        """Over plain HTTP from elsewhere nobody is asked for a password, or let in."""
        for user in ("", f"{self.name}:secret"):
            for more in (
                {"X_Forwarded_Proto": "http"},
                {"X_Forwarded_For": "192.0.2.1"},
                {"Via": "1.1 proxy"},
            ):
                reply = self.check(403, "PROPFIND", user=user, Depth="0", **more)
                self.assertIn(b"Use https://", reply.body)
                self.assertNotIn("www-authenticate", reply.headers)
        self.check(207, "PROPFIND", Depth="0", X_Forwarded_Proto="https")
        self.check(401, "PROPFIND", user="", Depth="0", X_Forwarded_Proto="https")

    def test_other_machines(self) -> None:
        """By an address of the network a password is taken over TLS, and not without."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))
                address = probe.getsockname()[0]
            except OSError:
                raise SkipTest("this machine is on no network") from None
        place = Path(self.enterContext(tempfile.TemporaryDirectory()))
        certificate = make_certificate(place)
        key = certificate.with_suffix(".key")
        secure = f"ssl:0:privateKey={key}:certKey={certificate}"
        for port, status, asked in (("tcp:0", 403, 403), (secure, 207, 401)):
            grid = GridProcess.create(
                place / port[:3], needed=1, happy=1, total=1, storage_dirs=1, web_port=port
            )
            with running(grid):
                root = ask("-k", "-X", "POST", f"{grid.url}uri?t=mkdir").text
                write_accounts(
                    grid.directory / "private" / "accounts.passwords",
                    f"{self.name} {HASH} {root}",
                )
                parts = urlsplit(grid.url)
                url = f"{parts.scheme}://{address}:{parts.port}/dav/"
                for user, expected in ((f"{self.name}:secret", status), ("", asked)):
                    more = ("-k", "-X", "PROPFIND", "-H", "Depth: 0")
                    found = ask(*more, *(("-u", user) if user else ()), url).status
                    self.assertEqual(found, expected, (port, user))

    def test_other_sites(self) -> None:
        """A page elsewhere can use a password that the browser remembers for nothing."""
        self.check(201, "PUT", "f", data=b"x")
        visit = (
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"
            "Sec-Fetch-Dest: document"
        )
        frame = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Dest: iframe"
        film = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: video"
        for header in (*FOREIGN, visit, frame, film):
            for method in ("GET", "HEAD", "PUT", "POST", "DELETE", *DAV):
                with Wire(self.grid.url) as wire:
                    more = (header, "Content-Length: 0", "Connection: close")
                    wire.request(f"{method} /dav/f", self.basic(), *more)
                    self.assertEqual(wire.head()[0], 403, (method, header))
        self.assertEqual(self.check(200, "GET", "f").body, b"x")

    def test_log(self) -> None:
        """No name, password, hash or cap is in the log."""
        self.check(207, "PROPFIND", Depth="0")
        self.check(401, "PROPFIND", user=f"{self.name}:guess", Depth="0")
        log = self.grid.log()
        for secret in (self.name, "secret", HASH, self.root.split(":")[2]):
            self.assertNotIn(secret, log)


class ClientTests(_Case):
    """Programs that people use."""

    def run_client(self, *command: str, **more: Any) -> str:
        """Return what a client prints; an error is one."""
        done = subprocess.run(
            [program(command[0]), *command[1:]],
            check=False,
            capture_output=True,
            timeout=300,
            **more,
        )
        output: str = (done.stdout + done.stderr).decode("utf-8", "replace")
        self.assertEqual(done.returncode, 0, output)
        return output

    def test_litmus(self) -> None:
        """All of litmus 0.13, which logs in."""
        place = new_directory(self)
        output = self.run_client("litmus", self.at(), self.name, "secret", cwd=place)
        self.assertEqual(output.count(", 0 failed"), 5, output)
        self.assertNotIn("WARNING", output)

    def test_rclone(self) -> None:
        """A tree is copied and compared, times and all, and copied back."""
        source, back = new_directory(self), new_directory(self)
        (source / "sub").mkdir()
        (source / "large").write_bytes(os.urandom(2_000_000))
        (source / "sub" / "\u00fc & <b> 'x'.txt").write_text("hello")
        os.utime(source / "large", (0, 981173106))
        hidden = self.run_client("rclone", "obscure", "secret").strip()
        remote = (
            f":webdav,vendor=owncloud,url='{self.at()}',user={self.name},pass={hidden}:tree"
        )

        def rclone(*arguments: str, **more: Any) -> str:
            options = ("--config", os.devnull, "--retries", "1", "--checkers", "8")
            return self.run_client("rclone", *options, *arguments, **more)

        rclone("sync", str(source), remote)
        rclone("check", str(source), remote)
        self.assertNotIn("Copied", rclone("sync", "-v", str(source), remote))
        rclone("rcat", f"{remote}/piped", input=b"from a pipe")
        rclone("copy", remote, str(back))
        self.assertEqual((back / "piped").read_bytes(), b"from a pipe")
        self.assertEqual((back / "large").read_bytes(), (source / "large").read_bytes())
        self.assertEqual((back / "large").stat().st_mtime, 981173106)

    def test_cadaver(self) -> None:
        """A session of one that has the password in ~/.netrc, and locks."""
        place = new_directory(self)
        (place / "file").write_bytes(b"x" * 100_000)
        host = urlsplit(self.grid.url).hostname
        netrc = Path(place / ".netrc")
        netrc.write_text(f"machine {host} login {self.name} password secret\n")
        netrc.chmod(0o600)
        output = self.run_client(
            "cadaver",
            self.at(),
            input=b"mkcol c\ncd c\nput file\nlock file\nget file back\nunlock file\nquit\n",
            cwd=place,
            env={**os.environ, "HOME": str(place)},
        )
        self.assertNotIn("failed", output)
        self.assertEqual((place / "back").read_bytes(), b"x" * 100_000)
