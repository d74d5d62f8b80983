"""``truckee create-grid``."""

from __future__ import annotations

import stat
from configparser import ConfigParser

from tests.cli.making import MakingCase, run_here
from tests.processes import Done


class _Case(MakingCase):
    def create(self, *options: str, umask: int = -1) -> Done:
        return run_here("create-grid", *options, str(self.node), umask=umask)

    def written(self) -> ConfigParser:
        parser = ConfigParser()
        parser.read_string((self.node / "tahoe.cfg").read_text("utf-8"))
        return parser


class MakingTests(_Case):
    def test_defaults(self) -> None:
        """Without options it is a 2-of-3 grid on loopback with three directories."""
        done = self.create()
        self.assertEqual((done.code, done.errors), (0, ""))
        self.assertEqual(
            done.output,
            f"Made a 2-of-3 grid in {self.node}\nStart it with: truckee run {self.node}\n",
        )
        config = self.written()
        self.assertEqual(config["node"]["nickname"], "truckee")
        self.assertEqual(config["node"]["web.port"], "tcp:3456:interface=127.0.0.1")
        shares = [
            config["client"][f"shares.{name}"] for name in ("needed", "happy", "total")
        ]
        self.assertEqual(shares, ["2", "2", "3"])
        self.assertEqual(
            config["grid"]["storage_dirs"].split(), ["storage/0", "storage/1", "storage/2"]
        )
        self.assertFalse(config["storage"].getboolean("enabled"))

    def test_options(self) -> None:
        """Every option ends up in tahoe.cfg as it was given."""
        done = self.create(
            "--webport=tcp:0:interface=127.0.0.1",
            "--storage-dirs=5",
            "--shares-needed=3",
            "--shares-happy=4",
            "--shares-total=9",
            "--nickname=50% für alle %(x)s",
        )
        self.assertEqual((done.code, done.errors), (0, ""))
        config = self.written()
        self.assertEqual(config["node"]["nickname"], "50% für alle %(x)s")
        self.assertEqual(config["node"]["web.port"], "tcp:0:interface=127.0.0.1")
        shares = [
            config["client"][f"shares.{name}"] for name in ("needed", "happy", "total")
        ]
        self.assertEqual(shares, ["3", "4", "9"])
        self.assertEqual(len(config["grid"]["storage_dirs"].split()), 5)
        self.assertEqual(
            sorted(path.name for path in (self.node / "storage").iterdir()), list("01234")
        )

    def test_modes(self) -> None:
        """What is private is its owner's alone, even where the umask forbids nothing."""
        for umask in (0o000, 0o022, 0o077):
            self.node = self.room / f"{umask:o}"
            self.assertEqual(self.create(umask=umask).code, 0)
            private = self.node / "private"
            self.assertEqual(stat.S_IMODE(private.stat().st_mode), 0o700)
            names = set()
            for path in private.iterdir():
                self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path.name)
                names.add(path.name)
            self.assertEqual(names, {"convergence", "secret", "node.pem"})

    def test_nothing_secret_elsewhere(self) -> None:
        """Neither the output nor a file outside private/ has a secret."""
        done = self.create()
        secrets = [
            (self.node / "private" / name).read_bytes().strip()
            for name in ("convergence", "secret")
        ]
        others = [
            path.read_bytes()
            for path in self.node.rglob("*")
            if path.is_file() and "private" not in path.parts
        ]
        for text in [done.output.encode(), *others]:
            self.assertFalse([secret for secret in secrets if secret in text])

    def test_no_draft_stays(self) -> None:
        """Files are written whole or not at all, and no draft of one is left."""
        self.create()
        self.assertEqual(list(self.node.rglob("*.new")), [])

    def test_empty_directory(self) -> None:
        """An empty directory is taken, with its parents made where they are missing."""
        self.node = self.room / "a" / "b" / "node"
        self.assertEqual(self.create().code, 0)
        self.node = self.room / "empty"
        self.node.mkdir()
        self.assertEqual(self.create().code, 0)

    def test_help(self) -> None:
        """The help names every option."""
        done = run_here("create-grid", "--help")
        self.assertEqual(done.code, 0)
        for name in ("webport", "storage-dirs", "nickname"):
            self.assertIn(f"--{name}", done.output)
        for name in ("needed", "happy", "total"):
            self.assertIn(f"--shares-{name}", done.output)


class RefusalTests(_Case):
    def refused(self, code: int, text: str, *options: str) -> None:
        """Check that these options make nothing and give one sentence."""
        done = self.create(*options)
        self.assertEqual(done.code, code, done.errors)
        self.assertIn(text, done.errors)
        errors = [line for line in done.errors.splitlines() if line.startswith("Error: ")]
        self.assertEqual(len(errors), 1, done.errors)
        self.assertNotIn("Traceback", done.errors)
        self.assertEqual(done.output, "")
        self.assertFalse((self.node / "tahoe.cfg").exists())

    def test_shapes(self) -> None:
        """Shares that cannot be are refused before anything is made."""
        for text, options in (
            ("shares", ("--shares-needed=0",)),
            ("shares", ("--shares-needed=4",)),
            ("shares", ("--shares-total=257", "--storage-dirs=256")),
            ("shares.happy", ("--shares-happy=0",)),
            ("shares.happy", ("--shares-happy=4",)),
            ("--storage-dirs", ("--storage-dirs=1",)),
            ("--storage-dirs", ("--storage-dirs=0",)),
            ("--storage-dirs", ("--storage-dirs=257",)),
            ("'x' is not a valid integer", ("--shares-total=x",)),
        ):
            self.refused(2, text, *options)
            self.assertFalse(self.node.exists())

    def test_unknown_option(self) -> None:
        """An option that does not exist is named."""
        self.refused(2, "--shares", "--shares=3")

    def test_no_directory(self) -> None:
        """The directory must be named."""
        done = run_here("create-grid")
        self.assertEqual(done.code, 2)
        self.assertIn("NODEDIR", done.errors)

    def test_not_empty(self) -> None:
        """A directory in which something is, is left alone."""
        self.node.mkdir()
        (self.node / "letter").write_text("dear")
        self.refused(1, "exists and is not empty")
        self.assertEqual([path.name for path in self.node.iterdir()], ["letter"])

    def test_twice(self) -> None:
        """A node is never made over another one."""
        self.create()
        before = (self.node / "tahoe.cfg").read_bytes()
        secret = (self.node / "private" / "secret").read_bytes()
        done = self.create("--shares-total=7")
        self.assertEqual(done.code, 1)
        self.assertIn("exists and is not empty", done.errors)
        self.assertEqual((self.node / "tahoe.cfg").read_bytes(), before)
        self.assertEqual((self.node / "private" / "secret").read_bytes(), secret)

    def test_file(self) -> None:
        """A file in the way is named, wherever on the path it is."""
        self.node.write_text("")
        self.refused(2, "is a file")
        self.node = self.node / "below"
        self.refused(1, "Not a directory")

    def test_more_than_one_line(self) -> None:
        """A name or an endpoint cannot bring lines of its own into tahoe.cfg."""
        for option in ("--nickname=a\nweb.port = tcp:1", "--webport=tcp:0\r[grid]"):
            self.refused(2, option.partition("=")[0], option)
            self.assertFalse(self.node.exists())
