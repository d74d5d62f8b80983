"""``truckee create-helper`` and ``create-client --helper``, and what they made, running."""

from __future__ import annotations

import stat

from tests.cli.making import ODD, MakingCase, run_here
from tests.integration.stock_grid import NodeProcess
from tests.ports import free_port
from tests.processes import Done, run
from truckee.helper.server.limits import HelperLimits
from truckee.node.config import GridShape
from truckee.node.peers import check_furl, load_introducers

# Nobody is there, and a node does not mind.
INTRODUCER = "pb://" + "a" * 32 + "@tcp:127.0.0.1:1/" + "s" * 32
HELPER = "pb://" + "b" * 32 + "@tcp:helper.example:8098/" + "h" * 32
REACHED = ("--port=tcp:8098", "--location=tcp:helper.example:8098")

BAD_FURLS = ("", "x", "http://x/", f"pb://{'b' * 32}", "pb://short@tcp:a:1/s")


class _Case(MakingCase):
    def create_helper(self, *options: str, furl: str = INTRODUCER, umask: int = -1) -> Done:
        given = (f"--introducer={furl}", *(options or REACHED), str(self.node))
        return run_here("create-helper", *given, umask=umask)

    def create_client(self, *options: str, umask: int = -1) -> Done:
        given = (f"--introducer={INTRODUCER}", *options, str(self.node))
        return run_here("create-client", *given, umask=umask)


class HelperTests(_Case):
    def test_defaults(self) -> None:
        """It is a helper with the usual bounds, no web API and no storage server."""
        done = self.create_helper()
        self.assertEqual((done.code, done.errors), (0, ""))
        self.assertEqual(
            done.output,
            f"Made a helper in {self.node}\n"
            f"Start it with: truckee run {self.node}\n"
            f"Gateways need what is then in {self.node}/private/helper.furl\n",
        )
        config = self.config()
        self.assertEqual(config.nickname, "truckee helper")
        self.assertEqual(config.tub_port, "tcp:8098")
        self.assertEqual(config.tub_location, "tcp:helper.example:8098")
        self.assertEqual(config.helper, HelperLimits())
        self.assertEqual(config.shape, GridShape(3, 7, 10))
        self.assertEqual((config.web_port, config.storage), (None, None))
        self.assertEqual(config.storage_dirs, [])
        self.assertEqual(config.unsupported, [])
        introducers = load_introducers(self.node / "private" / "introducers.yaml")
        self.assertEqual(introducers, {"introducer": INTRODUCER})

    def test_options(self) -> None:
        """Every option is read back as it was given."""
        port = "tcp:1:interface=127.0.0.1,tcp6:1:interface=\\:\\:1"
        done = self.create_helper(
            f"--port={port}",
            "--location=AUTO,tcp:100%.example:1",
            "--webport=tcp:0:interface=127.0.0.1",
            "--shares-needed=2",
            "--shares-happy=2",
            "--shares-total=256",
            f"--nickname={ODD}",
        )
        self.assertEqual((done.code, done.errors), (0, ""))
        config = self.config()
        self.assertEqual(config.nickname, ODD)
        self.assertEqual(config.tub_port, port)
        self.assertEqual(config.tub_location, "AUTO,tcp:100%.example:1")
        self.assertEqual(config.web_port, "tcp:0:interface=127.0.0.1")
        self.assertEqual(config.shape, GridShape(2, 2, 256))

    def test_files(self) -> None:
        """What is private is its owner's alone, even where the umask forbids nothing."""
        for umask in (0o000, 0o077):
            self.node = self.room / f"{umask:o}"
            self.assertEqual(self.create_helper(umask=umask).code, 0)
            modes = self.modes()
            self.assertEqual(modes.pop("private"), 0o700)
            del modes["tahoe.cfg"]
            names = ("convergence", "secret", "node.pem", "introducers.yaml")
            self.assertEqual(modes, {f"private/{name}": 0o600 for name in names})

    def test_furl_is_private(self) -> None:
        """The introducer's furl is the right to join: it stands in private/ only."""
        done = self.create_helper()
        self.assertNotIn(INTRODUCER, done.output + (self.node / "tahoe.cfg").read_text())

    def test_bounds_can_be_found(self) -> None:
        """The file that is made names every bound that a helper has."""
        self.create_helper()
        text = (self.node / "tahoe.cfg").read_text()
        for key in ("spool-limit", "max-size", "max-uploads", "expire-after"):
            self.assertIn(f"#{key} = ", text)

    def test_help(self) -> None:
        """The help tells what a helper is for, where its furl is, and every option."""
        done = run_here("create-helper", "--help")
        self.assertEqual((done.code, done.errors), (0, ""))
        text = " ".join(done.output.split())
        for words in ("thin line", "private/helper.furl", "create-client --helper FURL"):
            self.assertIn(words, text)
        for option, default in (
            ("--introducer FURL", "[required]"),
            ("--port STRPORT", "[required]"),
            ("--location HINT", "[required]"),
            ("--webport STRPORT", "[default: nowhere]"),
            ("--shares-needed K", "[default: 3]"),
            ("--shares-happy H", "[default: 7]"),
            ("--shares-total N", "[default: 10]"),
            ("--nickname S", "[default: truckee helper]"),
        ):
            _, found, rest = text.partition(option)
            self.assertTrue(found, option)
            self.assertIn(default, rest.partition(" --")[0])
        self.assertIn("create-helper", run_here("--help").output)

    def test_reach_is_required(self) -> None:
        """A helper that gateways cannot reach is none."""
        for missing, given in zip(("--location", "--port"), REACHED, strict=True):
            self.check_refused(self.create_helper(given), 2, missing)
            for nowhere in ("", "disabled", "None"):
                done = self.create_helper(*REACHED, f"{missing}={nowhere}")
                self.check_refused(done, 2, missing)
            self.assertFalse(self.node.exists())
        for changing in ("0", "tcp:0", "tcp:3457,tcp:port=0"):
            done = self.create_helper(*REACHED, f"--port={changing}")
            self.check_refused(done, 2, "--port", "port 0")

    def test_refused(self) -> None:
        """What cannot be is refused with its option before anything is made."""
        for furl in BAD_FURLS:
            done = self.create_helper(furl=furl)
            self.check_refused(done, 1, "--introducer", "furl")
        for option, text in (
            ("--shares-needed=11", "shares"),
            ("--shares-happy=11", "shares.happy"),
            ("--nickname=a\nb", "--nickname"),
            ("--webport=a\rb", "--webport"),
            ("--location=a\u2028b", "--location"),
        ):
            self.check_refused(self.create_helper(*REACHED, option), 2, text)
        self.assertFalse(self.node.exists())

    def test_not_empty(self) -> None:
        """A directory in which something is, is left alone."""
        self.node.mkdir()
        (self.node / "letter").write_text("dear")
        self.check_refused(self.create_helper(), 1, "exists and is not empty")
        self.assertEqual([path.name for path in self.node.iterdir()], ["letter"])


class ClientTests(_Case):
    def test_helper(self) -> None:
        """A gateway that is made with a helper's furl uses that helper."""
        done = self.create_client(f"--helper={HELPER}")
        self.assertEqual((done.code, done.errors), (0, ""))
        config = self.config()
        self.assertEqual(config.helper_furl, HELPER)
        self.assertIsNone(config.helper)
        self.assertEqual(config.unsupported, [])

    def test_furl_is_private(self) -> None:
        """A helper's furl is the right to use it: only the owner can read where it is."""
        for umask in (0o000, 0o077):
            self.node = self.room / f"{umask:o}"
            done = self.create_client(f"--helper={HELPER}", umask=umask)
            self.assertNotIn(HELPER, done.output)
            self.assertEqual(self.modes()["tahoe.cfg"], 0o600)

    def test_bad_furls(self) -> None:
        """What is no furl is refused with the option and what one looks like."""
        for furl in BAD_FURLS:
            done = self.create_client(f"--helper={furl}")
            self.check_refused(done, 1, "--helper", "furl")
        done = self.create_client("--helper=x")
        self.check_refused(done, 1, "pb://TUBID@tcp:HOST:PORT/SWISSNUM")
        done = self.create_client(f"--helper={HELPER}\nx")
        self.check_refused(done, 2, "--helper")
        self.assertFalse(self.node.exists())

    def test_help(self) -> None:
        """The help says what a helper does, and where its furl is."""
        text = " ".join(run_here("create-client", "--help").output.split())
        self.assertIn("--helper FURL", text)
        self.assertIn("private/helper.furl", text)


class RunTests(_Case):
    def started(self) -> NodeProcess:
        """Return a helper that was made by the command, running until the test ends."""
        port = free_port()
        done = self.create_helper(
            f"--port=tcp:{port}:interface=127.0.0.1", f"--location=tcp:127.0.0.1:{port}"
        )
        self.assertEqual(done.code, 0, done.errors)
        node = NodeProcess(self.node, port)
        self.addCleanup(node.stop)
        self.start(node)
        return node

    def start(self, node: NodeProcess) -> None:
        """Run *node* until it says that it does."""
        said = node.log().count("It is a helper")
        node.spawn("ours")
        node.wait_until(node.listens)
        node.wait_until(lambda: node.log().count("It is a helper") > said)

    def test_made_helper(self) -> None:
        """
        A helper that was made runs, says where its furl is, and has the same furl after
        a restart; a gateway takes it as it stands there.
        """
        node = self.started()
        path = self.node / "private" / "helper.furl"
        furl = path.read_text().strip()
        check_furl(path, "furl", furl)
        self.assertIn(f"@tcp:127.0.0.1:{node.port}/", furl)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertIn(f"gateways need what is in {path}\n", node.log())
        self.assertNotIn(furl, node.log())
        for name in ("CHK_incoming", "CHK_encoding"):
            mode = stat.S_IMODE((self.node / "helper" / name).stat().st_mode)
            self.assertEqual(mode, 0o700)
        self.assertEqual(node.stop(), 0)
        self.start(node)
        self.assertEqual(path.read_text().strip(), furl)
        self.node = self.room / "gateway"
        self.assertEqual(self.create_client(f"--helper={furl}").code, 0)
        self.assertNotIn("Traceback", node.log())

    def test_bad_furl_in_file(self) -> None:
        """A helper's furl that is none is named with its file and its key at the start."""
        self.create_client(f"--helper={HELPER}", "--webport=tcp:0:interface=127.0.0.1")
        config = self.node / "tahoe.cfg"
        config.write_text(config.read_text().replace(HELPER, "pb://nobody"))
        done = run("run", str(self.node))
        self.assertEqual(done.code, 1)
        self.assertIn(f"{config}: [client] helper.furl: ", done.errors)
        self.assertIn("pb://TUBID@tcp:HOST:PORT/SWISSNUM", done.errors)
        self.assertNotIn("Traceback", done.errors)

    def test_unreachable(self) -> None:
        """A helper without a port is told what to set, and does not run."""
        self.create_helper()
        config = self.node / "tahoe.cfg"
        config.write_text(
            config.read_text().replace("tub.port = ", "tub.port = disabled #")
        )
        done = run("run", str(self.node))
        self.assertEqual(done.code, 1)
        self.assertIn("tub.port", done.errors)
        self.assertIn(str(config), done.errors)
        self.assertNotIn("Traceback", done.errors)
