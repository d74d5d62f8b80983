"""``truckee create-client`` and ``truckee create-storage``."""

from __future__ import annotations

import stat

from tests.cli.making import ODD, MakingCase, run_here
from tests.processes import Done
from truckee.node.config import GridShape

FURL = "pb://" + "a" * 32 + "@tcp:introducer.example:3458/" + "s" * 32
REACHED = ("--port=tcp:8099", "--location=tcp:storage.example:8099")
DEFAULT_WEB_PORT = "tcp:3456:interface=127.0.0.1"


class _Case(MakingCase):
    def create_client(self, *options: str, furl: str = FURL, umask: int = -1) -> Done:
        given = (f"--introducer={furl}", *options, str(self.node))
        return run_here("create-client", *given, umask=umask)

    def create_storage(self, *options: str, furl: str = FURL, umask: int = -1) -> Done:
        given = (f"--introducer={furl}", *(options or REACHED), str(self.node))
        return run_here("create-storage", *given, umask=umask)

    def check_files(self) -> None:
        """Check which files there are, and who can read them."""
        private = self.node / "private"
        self.assertEqual(
            {path.name for path in self.node.iterdir()}, {"tahoe.cfg", "private"}
        )
        self.assertEqual(
            {path.name for path in private.iterdir()},
            {"convergence", "secret", "node.pem", "introducers.yaml"},
        )
        self.assertEqual(stat.S_IMODE(private.stat().st_mode), 0o700)
        for path in private.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path.name)


class ClientTests(_Case):
    def test_defaults(self) -> None:
        """Without options it is a 3-of-10 gateway on loopback that nobody connects to."""
        done = self.create_client()
        self.assertEqual((done.code, done.errors), (0, ""))
        self.assertEqual(
            done.output,
            f"Made a 3-of-10 gateway in {self.node}\n"
            f"Start it with: truckee run {self.node}\n",
        )
        config = self.config()
        self.assertEqual(config.nickname, "truckee")
        self.assertEqual(config.web_port, DEFAULT_WEB_PORT)
        self.assertEqual(config.shape, GridShape(3, 7, 10))
        self.assertEqual((config.tub_port, config.tub_location), (None, None))
        self.assertIsNone(config.storage)
        self.assertEqual(config.storage_dirs, [])
        self.assertEqual(config.unsupported, [])
        self.assertEqual(self.introducers(), {"introducer": FURL})

    def test_options(self) -> None:
        """Every option is read back as it was given."""
        done = self.create_client(
            "--webport=tcp:0:interface=127.0.0.1",
            "--shares-needed=2",
            "--shares-happy=2",
            "--shares-total=256",
            f"--nickname={ODD}",
        )
        self.assertEqual((done.code, done.errors), (0, ""))
        config = self.config()
        self.assertEqual(config.nickname, ODD)
        self.assertEqual(config.web_port, "tcp:0:interface=127.0.0.1")
        self.assertEqual(config.shape, GridShape(2, 2, 256))

    def test_files(self) -> None:
        """What is private is its owner's alone, even where the umask forbids nothing."""
        for umask in (0o000, 0o077):
            self.node = self.room / f"{umask:o}"
            self.assertEqual(self.create_client(umask=umask).code, 0)
            self.check_files()

    def test_furl_is_private(self) -> None:
        """The introducer's furl is the right to join: it stands in private/ only."""
        done = self.create_client()
        self.assertNotIn(FURL, done.output + (self.node / "tahoe.cfg").read_text())

    def test_shapes(self) -> None:
        """Shares that cannot be are refused before anything is made."""
        for text, option in (
            ("shares", "--shares-needed=0"),
            ("shares", "--shares-needed=11"),
            ("shares", "--shares-total=257"),
            ("shares.happy", "--shares-happy=0"),
            ("shares.happy", "--shares-happy=11"),
            ("'x' is not a valid integer", "--shares-total=x"),
        ):
            self.check_refused(self.create_client(option), 2, text)
            self.assertFalse(self.node.exists())

    def test_help(self) -> None:
        """The help names every option and its default."""
        done = run_here("create-client", "--help")
        self.assertEqual((done.code, done.errors), (0, ""))
        text = " ".join(done.output.split())
        for option, default in (
            ("--introducer FURL", "[required]"),
            ("--webport STRPORT", f"[default: {DEFAULT_WEB_PORT}]"),
            ("--shares-needed K", "[default: 3]"),
            ("--shares-happy H", "[default: 7]"),
            ("--shares-total N", "[default: 10]"),
            ("--nickname S", "[default: truckee]"),
        ):
            _, found, rest = text.partition(option)
            self.assertTrue(found, option)
            self.assertIn(default, rest.partition(" --")[0].replace("] [", "]["))


class StorageTests(_Case):
    def test_defaults(self) -> None:
        """It offers NODEDIR/storage but for a gigabyte, and has no web API."""
        done = self.create_storage()
        self.assertEqual((done.code, done.errors), (0, ""))
        self.assertEqual(
            done.output,
            f"Made a storage server in {self.node}\n"
            f"Start it with: truckee run {self.node}\n",
        )
        config = self.config()
        self.assertEqual(config.nickname, "truckee")
        self.assertEqual(config.tub_port, "tcp:8099")
        self.assertEqual(config.tub_location, "tcp:storage.example:8099")
        self.assertIsNone(config.web_port)
        assert config.storage is not None
        self.assertEqual(config.storage.directory, self.node / "storage")
        self.assertEqual(config.storage.reserved_space, 10**9)
        self.assertFalse(config.storage.readonly)
        self.assertEqual(config.storage_dirs, [])
        self.assertEqual(config.unsupported, [])
        self.assertEqual(self.introducers(), {"introducer": FURL})

    def test_options(self) -> None:
        """Every option is read back as it was given."""
        port = "tcp:8098:interface=127.0.0.1,tcp6:8098:interface=\\:\\:1"
        done = self.create_storage(
            f"--port={port}",
            "--location=AUTO,tcp:100%.example:1",
            "--reserved-space=512MiB",
            f"--nickname={ODD}",
        )
        self.assertEqual((done.code, done.errors), (0, ""))
        config = self.config()
        self.assertEqual(config.nickname, ODD)
        self.assertEqual(config.tub_port, port)
        self.assertEqual(config.tub_location, "AUTO,tcp:100%.example:1")
        assert config.storage is not None
        self.assertEqual(config.storage.reserved_space, 512 << 20)

    def test_files(self) -> None:
        """What is private is its owner's alone, even where the umask forbids nothing."""
        for umask in (0o000, 0o077):
            self.node = self.room / f"{umask:o}"
            self.assertEqual(self.create_storage(umask=umask).code, 0)
            self.check_files()

    def test_sizes(self) -> None:
        """A size that is none is named, and nothing is made."""
        for size in ("much", "-1", "", "1.5G", "5 apples", "٣", "50%"):
            done = self.create_storage(*REACHED, f"--reserved-space={size}")
            self.check_refused(done, 2, "--reserved-space", "is not a size")
            self.assertFalse(self.node.exists())

    def test_reach_is_required(self) -> None:
        """A server that others cannot reach is none."""
        for missing, given in zip(("--location", "--port"), REACHED, strict=True):
            self.check_refused(self.create_storage(given), 2, missing)
            for nowhere in ("", " ", "disabled", "None"):
                done = self.create_storage(*REACHED, f"{missing}={nowhere}")
                self.check_refused(done, 2, missing)
            self.assertFalse(self.node.exists())

    def test_help(self) -> None:
        """The help names every option and its default."""
        done = run_here("create-storage", "--help")
        self.assertEqual((done.code, done.errors), (0, ""))
        text = " ".join(done.output.split())
        for option, default in (
            ("--introducer FURL", "[required]"),
            ("--port STRPORT", "[required]"),
            ("--location HINT", "[required]"),
            ("--reserved-space SIZE", "[default: 1G]"),
            ("--nickname S", "[default: truckee]"),
        ):
            _, found, rest = text.partition(option)
            self.assertTrue(found, option)
            self.assertIn(default, rest.partition(" --")[0])


class RefusalTests(_Case):
    """What both commands refuse."""

    def test_furls(self) -> None:
        """What is no furl is refused with what one looks like, and nothing is made."""
        tub = "a" * 32
        for furl in ("", "x", "http://x/", f"pb://{tub}", "pb://short@tcp:a:1/s"):
            for create in (self.create_client, self.create_storage):
                done = create(furl=furl)
                self.check_refused(done, 1, "--introducer")
                self.assertFalse(self.node.exists())

    def test_introducer_is_required(self) -> None:
        """Without an introducer there is no grid to join."""
        self.check_refused(run_here("create-client", str(self.node)), 2, "--introducer")
        done = run_here("create-storage", *REACHED, str(self.node))
        self.check_refused(done, 2, "--introducer")

    def test_more_than_one_line(self) -> None:
        """No value can bring lines of its own into tahoe.cfg."""
        for lines in ("1\nG", "a\r[grid]", "a\x85b", "a\u2028b"):
            for option in ("--nickname", "--webport"):
                done = self.create_client(f"{option}={lines}")
                self.check_refused(done, 2, option)
            for option in ("--nickname", "--port", "--location", "--reserved-space"):
                done = self.create_storage(*REACHED, f"{option}={lines}")
                self.check_refused(done, 2, option)
        for create in (self.create_client, self.create_storage):
            self.check_refused(create(furl=f"{FURL}\nx"), 2, "--introducer")
        self.assertFalse(self.node.exists())

    def test_not_empty(self) -> None:
        """A directory in which something is, is left alone."""
        self.node.mkdir()
        (self.node / "letter").write_text("dear")
        for create in (self.create_client, self.create_storage):
            self.check_refused(create(), 1, "exists and is not empty")
            self.assertEqual([path.name for path in self.node.iterdir()], ["letter"])

    def test_twice(self) -> None:
        """A node is never made over another one."""
        self.create_client()
        names = ("tahoe.cfg", "private/secret", "private/introducers.yaml")
        before = [(self.node / name).read_bytes() for name in names]
        for create in (self.create_client, self.create_storage):
            done = create()
            self.assertEqual((done.code, done.output), (1, ""))
            self.assertIn("exists and is not empty", done.errors)
        self.assertEqual([(self.node / name).read_bytes() for name in names], before)

    def test_file(self) -> None:
        """A file in the way is named, wherever on the path it is."""
        self.node.write_text("")
        for create in (self.create_client, self.create_storage):
            self.check_refused(create(), 2, "is a file")
        self.node = self.node / "below"
        for create in (self.create_client, self.create_storage):
            self.check_refused(create(), 1, "Not a directory")

    def test_no_directory(self) -> None:
        """The directory must be named."""
        for command in ("create-client", "create-storage"):
            done = run_here(command, f"--introducer={FURL}")
            self.assertEqual(done.code, 2)
            self.assertNotIn("Traceback", done.errors)
