"""``tahoe.cfg``."""

from __future__ import annotations

import re
import tempfile
from configparser import ConfigParser
from pathlib import Path

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.codec.geometry import DEFAULT_SEGMENT_SIZE
from truckee.codec.lease_expiry import ExpiryPolicy, ShareKind
from truckee.errors import Misuse
from truckee.grid.transports import StorageTransport
from truckee.helper.server.limits import HelperLimits
from truckee.immutable.download.cache import CacheLimits
from truckee.node.config import (
    DEFAULT_MEMORY_LIMIT,
    GridShape,
    NodeConfig,
    load_config,
)
from truckee.node.config_file import BadConfig
from truckee.node.layout import NodeDirectory
from truckee.node.templates import client_config, grid_config, helper_config

FURL = "pb://" + "a" * 32 + "@tcp:helper.example:8098/" + "s" * 32


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.node = NodeDirectory(room.name)

    def load(self, text: str | bytes) -> NodeConfig:
        data = text.encode("utf-8") if isinstance(text, str) else text
        self.node.config.write_bytes(data)
        return load_config(self.node)

    def bad(self, text: str | bytes, *parts: str) -> BadConfig:
        """Return the error of a file, which names the file and *parts*."""
        error = self.assertRaises(BadConfig, self.load, text)
        assert isinstance(error, BadConfig)
        for part in (str(self.node.config), *parts):
            self.assertIn(part, str(error))
        return error


class DefaultTests(_Case):
    def test_stock_defaults(self) -> None:
        """An empty file has the defaults of a stock node: 3-of-10, no web port."""
        config = self.load("")
        self.assertEqual(config.shape, GridShape(3, 7, 10))
        self.assertEqual(config.encoding.max_segment_size, DEFAULT_SEGMENT_SIZE)
        self.assertEqual((config.encoding.needed, config.encoding.total), (3, 10))
        self.assertEqual(config.nickname, "<unspecified>")
        self.assertIsNone(config.web_port)
        self.assertEqual(config.memory_limit, DEFAULT_MEMORY_LIMIT)
        self.assertEqual(config.storage_dirs, [])
        self.assertEqual(config.reserved_space, 0)

    def test_empty_values(self) -> None:
        """A key without a value is as if it were not there."""
        config = self.load("[node]\nweb.port =\nnickname =  \n[client]\nshares.needed =\n")
        self.assertEqual(config, self.load(""))

    def test_unknown(self) -> None:
        """Sections, keys and interpolations that are not known are named, and harmless."""
        text = "[client]\nhelpers = pb://x\n[tor]\nx = %(y)s\n[node]\ncolour = 5%\n"
        config = self.load(text)
        self.assertEqual([each.line for each in config.mistakes], [2, 4, 6])
        self.assertEqual(evolve(config, mistakes=[]), self.load(""))

    def test_unsupported(self) -> None:
        """What is set and does nothing here is named; what changes nothing is not."""
        config = self.load("[ftpd]\nenabled = true\n[tor]\nenabled = false\n")
        self.assertEqual(config.unsupported, ["[ftpd] enabled = true"])

    def test_expiry(self) -> None:
        """Leases expire as stock servers are told."""
        for lines, expected in (
            ("", None),
            ("enabled = false\nmode = foo", None),
            ("enabled = true\nmode = age", ExpiryPolicy()),
            (
                "enabled = true\nmode = age\noverride_lease_duration = 60 days\n"
                "mutable = false",
                ExpiryPolicy(60 * 86400, None, frozenset([ShareKind.IMMUTABLE])),
            ),
            (
                "enabled = yes\nmode = cutoff-date\ncutoff_date = 2009-01-16\n"
                "immutable = 0",
                ExpiryPolicy(None, 1_232_064_000, frozenset([ShareKind.MUTABLE])),
            ),
        ):
            keys = "".join(f"expire.{line}\n" for line in lines.splitlines())
            storage = self.load(f"[storage]\n{keys}").storage
            assert storage is not None
            self.assertEqual(storage.expiry, expected)

    def test_bad_expiry(self) -> None:
        """A rule that is wrong, or is missing, is named: it would delete."""
        for key, lines in (
            ("enabled", "enabled = maybe"),
            ("mode", "enabled = true"),
            ("mode", "enabled = true\nmode = foo"),
            ("cutoff_date", "enabled = true\nmode = cutoff-date"),
            ("cutoff_date", "enabled = true\nmode = cutoff-date\ncutoff_date = 2009-13-40"),
            (
                "override_lease_duration",
                "enabled = true\nmode = age\noverride_lease_duration = 0 days",
            ),
            ("mutable", "enabled = true\nmode = age\nmutable = some"),
        ):
            text = "".join(f"expire.{line}\n" for line in lines.splitlines())
            with self.assertRaises(BadConfig) as caught:
                self.load(f"[storage]\n{text}")
            self.assertEqual(caught.exception.where, f"[storage] expire.{key}")

    def test_no_expiry_in_a_grid(self) -> None:
        """In a grid of its own nothing expires, and the setting is named."""
        text = "[grid]\nstorage_dirs =\n    a\n[storage]\nenabled = false\n"
        config = self.load(f"{text}expire.enabled = true\nexpire.mode = age\n")
        self.assertEqual(config.unsupported, ["[storage] expire.enabled"])

    def test_storage(self) -> None:
        """A node offers storage unless it says that it does not."""
        self.assertEqual(self.load("[storage]\nenabled = false\n").storage, None)
        storage = self.load("[storage]\nreadonly = yes\nreserved_space = 5G\n").storage
        assert storage is not None
        self.assertEqual((storage.readonly, storage.reserved_space), (True, 5 * 10**9))
        self.assertEqual(storage.directory.name, "storage")

    def test_incomplete(self) -> None:
        """Shares in progress are kept for some days, or not at all, in a grid too."""
        for text, days in (
            ("", 3.0),
            ("incomplete.keep = 0.5 days", 0.5),
            ("incomplete.keep = 14", 14.0),
            ("incomplete.keep = 0 days", 0.0),
            ("incomplete.keep = 0", 0.0),
        ):
            for rest in ("", "enabled = false\n[grid]\nstorage_dirs = a\n"):
                config = self.load(f"[storage]\n{text}\n{rest}")
                self.assertEqual(config.keep_incomplete, days * 86400)
                self.assertNotIn("incomplete", f"{config.mistakes}{config.unsupported}")


class HelperTests(_Case):
    def test_defaults(self) -> None:
        """A node is no helper and uses none unless it says so; then it has bounds."""
        config = self.load("")
        self.assertEqual((config.helper, config.helper_furl), (None, None))
        config = self.load("[helper]\nenabled = true\n")
        self.assertEqual(config.helper, HelperLimits())

    def test_limits(self) -> None:
        """Each bound of a helper is read."""
        config = self.load(
            "[helper]\nenabled = yes\nspool-limit = 5G\nmax-size = 1Gi\n"
            "max-uploads = 3\nexpire-after = 2.5 days\n"
        )
        limits = HelperLimits(5 * 10**9, 1 << 30, 3, 2.5 * 86400)
        self.assertEqual(config.helper, limits)
        alone = limits.for_strangers()
        self.assertEqual(alone.most_of_client, (25 * 10**8, 2))
        config = self.load(
            "[helper]\nenabled = yes\nspool-limit = 5G\nclient-spool-limit = 4G\n"
            "client-max-uploads = 7\n"
        )
        assert config.helper is not None
        self.assertEqual(config.helper.for_strangers().most_of_client, (4 * 10**9, 7))

    def test_verify(self) -> None:
        """What a helper says is checked unless the operator says otherwise."""
        self.assertTrue(self.load("").helper_verify)
        self.assertFalse(self.load("[client]\nhelper.verify = false\n").helper_verify)

    def test_days(self) -> None:
        """Days are a number, with or without their name."""
        for text, days in (("1", 1), ("14 days", 14), ("1 day", 1), ("0.25days", 0.25)):
            config = self.load(f"[helper]\nenabled = true\nexpire-after = {text}\n")
            assert config.helper is not None
            self.assertEqual(config.helper.expire_after, days * 86400)

    def test_disabled(self) -> None:
        """What is switched off has no effect, whatever else stands there."""
        config = self.load("[helper]\nenabled = false\nmax-uploads = many\n")
        self.assertIsNone(config.helper)
        config = self.load(f"[client]\nhelper.furl = {FURL}\nhelper.enabled = false\n")
        self.assertIsNone(config.helper_furl)

    def test_furl(self) -> None:
        """The helper that is used has a furl; none, and the words for none, are none."""
        self.assertEqual(self.load(f"[client]\nhelper.furl = {FURL}\n").helper_furl, FURL)
        config = self.load(f"[client]\nhelper.furl = {FURL}\nhelper.enabled = true\n")
        self.assertEqual(config.helper_furl, FURL)
        for text in ("", "None", "disabled"):
            self.assertIsNone(self.load(f"[client]\nhelper.furl = {text}\n").helper_furl)

    def test_furl_is_secret(self) -> None:
        """The furl is the right to use the helper: it is in no text for logs."""
        config = self.load(f"[client]\nhelper.furl = {FURL}\n")
        self.assertNotIn(FURL, repr(config))

    def test_no_longer_unsupported(self) -> None:
        """What has an effect is not called without one."""
        config = self.load(f"[helper]\nenabled = true\n[client]\nhelper.furl = {FURL}\n")
        self.assertEqual(config.unsupported, [])

    def test_in_a_grid(self) -> None:
        """A grid of its own connects to nobody: there both are named as without effect."""
        config = self.load(
            f"[helper]\nenabled = true\n[client]\nhelper.furl = {FURL}\n"
            "[grid]\nstorage_dirs = a\n"
        )
        self.assertEqual(config.unsupported, ["[helper] enabled", "[client] helper.furl"])

    def test_bad(self) -> None:
        """A value that is wrong is named with its file, section and key."""
        for section, line in (
            ("helper", "enabled = perhaps"),
            ("helper", "spool-limit = much"),
            ("helper", "max-size = -1"),
            ("helper", "max-uploads = 0"),
            ("helper", "max-uploads = -1"),
            ("helper", "max-uploads = 1.5"),
            ("helper", "expire-after = never"),
            ("helper", "expire-after = 0"),
            ("helper", "expire-after = -1 days"),
            ("helper", "expire-after = nan"),
            ("helper", "expire-after = 36500 days"),
            ("helper", "expire-after = 2 weeks"),
            ("helper", "expire-after = 1 2 days"),
            ("storage", "incomplete.keep = -1 days"),
            ("storage", "incomplete.keep = 3 hours"),
            ("storage", "incomplete.keep = 00 days"),
            ("client", "helper.enabled = 2"),
            ("client", "cache.limit = all"),
            ("client", "cache.expire-after = 1 week"),
            ("client", "cache.check-interval = 0 s"),
            ("client", "download.memory-limit = 0"),
            ("client", "helper.furl = %(x)s"),
        ):
            enabled = "enabled = true\n" if not line.startswith("enabled") else ""
            text = f"[{section}]\n{enabled if section == 'helper' else ''}{line}\n"
            self.bad(text, f"[{section}] {line.partition(' ')[0]}")


class ValueTests(_Case):
    def test_all(self) -> None:
        """Each key that is known is read."""
        config = self.load(
            "[node]\nnickname = 5%% ü\nweb.port = tcp:1\n"
            "[client]\nshares.needed = 2\nshares.happy = 3\nshares.total = 4\n"
            "shares._max_immutable_segment_size_for_testing = 1024\n"
            "upload.memory-limit = 64MiB\nupload.max-size = 5G\nupload.spool-limit = 1K\n"
            "upload.expire-after = 0.5 days\ndownload.memory-limit = 10M\n"
            "cache.limit = 5Gi\ncache.expire-after = 2 h\ncache.check-interval = 90 s\n"
            "[grid]\nstorage_dirs =\n  a\n  /b c\n\n  d\nreserved_space = 1G\n"
        )
        self.assertEqual(config.nickname, "5% ü")
        self.assertEqual(config.web_port, "tcp:1")
        self.assertEqual(config.shape, GridShape(2, 3, 4))
        self.assertEqual(config.encoding.max_segment_size, 1024)
        self.assertEqual(config.memory_limit, 64 << 20)
        self.assertEqual(config.limits.max_size, 5 * 10**9)
        self.assertEqual(config.limits.spool, 1000)
        self.assertEqual(config.open_uploads.expire_after, 43200)
        self.assertEqual(config.download_memory, 10**7)
        self.assertEqual(config.cache, CacheLimits(5 << 30, 7200, 90))
        self.assertEqual(config.reserved_space, 10**9)
        here = self.node.path
        self.assertEqual(list(config.storage_dirs), [here / "a", Path("/b c"), here / "d"])

    def test_cache_of_a_grid(self) -> None:
        """A gateway keeps ciphertext that came from elsewhere; a grid of its own none."""
        self.assertEqual(self.load("").cache, CacheLimits(1 << 30, 3600, 3600))
        self.assertEqual(self.load("[grid]\nstorage_dirs = a\n").cache.size, 0)

    def test_forms_of_the_file(self) -> None:
        """A byte order mark, other line ends and repeated keys are taken, as stock does."""
        text = "[node]\r\nnickname = a\r\nnickname = b\r\n[node]\r\nweb.port = tcp:1\r\n"
        config = self.load(b"\xef\xbb\xbf" + text.encode())
        self.assertEqual((config.nickname, config.web_port), ("b", "tcp:1"))

    def test_comments(self) -> None:
        """Lines that begin with # or ; are comments."""
        config = self.load("# x\n[node]\n; y\n#nickname = a\nnickname = b # c\n")
        self.assertEqual(config.nickname, "b # c")


class BadTests(_Case):
    def test_values(self) -> None:
        """A value that is wrong is named with its section and key."""
        for section, line in (
            ("client", "shares.needed = two"),
            ("client", "shares.total = 1.5"),
            ("client", "upload.max-size = -1"),
            ("client", "upload.expire-after = 0"),
            ("client", "upload.expire-after = 24 hours"),
            ("client", "upload.memory-limit = much"),
            ("grid", "reserved_space = 1 X"),
            ("node", "nickname = 5%"),
            ("node", "web.port = %(other)s"),
        ):
            key = line.partition(" ")[0]
            more = "storage_dirs = a\n" if section == "grid" else ""
            self.bad(f"[{section}]\n{more}{line}\n", f"[{section}] {key}")

    def test_shapes(self) -> None:
        """Numbers of shares that may give no readable file are refused, with their line."""
        for needed, happy, total, key in (
            (0, 1, 3, "shares.*"),
            (4, 1, 3, "shares.needed"),
            (2, 0, 3, "shares.happy"),
            (2, 4, 3, "shares.happy"),
            (1, 1, 257, "shares.*"),
        ):
            self.bad(
                f"[client]\nshares.needed = {needed}\nshares.happy = {happy}\n"
                f"shares.total = {total}\n",
                f"[client] {key}",
            )

    def test_announced_addresses(self) -> None:
        """Which addresses announcements may name is one of some words."""
        self.bad(
            "[connections]\nannounced-addresses = 10.0.0.0/8\n",
            "[connections] announced-addresses",
        )

    def test_storage_transport(self) -> None:
        """It is one of three words, and says nothing else than stock's key for it."""
        auto, foolscap = StorageTransport.AUTO, StorageTransport.FOOLSCAP
        for lines, transport in (
            ("", auto),
            ("storage.transport = auto\n", auto),
            ("storage.transport = foolscap\n", foolscap),
            ("storage.transport = https\n", StorageTransport.HTTPS),
            ("force_foolscap = true\n", foolscap),
            ("storage.transport = auto\nforce_foolscap = true\n", foolscap),
            ("storage.transport = https\nforce_foolscap = false\n", StorageTransport.HTTPS),
        ):
            config = self.load(f"[client]\n{lines}")
            self.assertIs(config.transport, transport, lines)
        where = "[client] storage.transport"
        error = self.bad("[client]\nstorage.transport = http\n", where)
        self.assertIn("'http' is none of auto, foolscap, https", str(error))
        both = "[client]\nstorage.transport = https\nforce_foolscap = true\n"
        self.assertIn("contradicts force_foolscap", str(self.bad(both, where)))

    def test_segment_size(self) -> None:
        """A segment has at least one byte."""
        for size in (0, -1):
            key = "shares._max_immutable_segment_size_for_testing"
            self.bad(f"[client]\n{key} = {size}\n")

    def test_public_segment_size(self) -> None:
        """It has units and bounds, and contradicts nothing else."""
        key = "shares.segment-size"
        for text, size in (("16KiB", 16 << 10), ("131072", 128 << 10), ("16Mi", 16 << 20)):
            config = self.load(f"[client]\n{key} = {text}\nshares.total = 20\n")
            self.assertEqual(config.encoding.max_segment_size, size)
        where = f"[client] {key}"
        for text in ("16383", "17MiB", "0", "-1", "1.5MiB", "large", "1 MiB 2"):
            self.assertIn(repr(text), str(self.bad(f"[client]\n{key} = {text}\n", where)))
        stock = "shares._max_immutable_segment_size_for_testing"
        both = f"[client]\n{key} = 64KiB\n{stock} = "
        self.assertEqual(self.load(f"{both}65536\n").encoding.max_segment_size, 64 << 10)
        self.assertIn(
            f"contradicts {stock} = 65537", str(self.bad(f"{both}65537\n", where))
        )

    def test_segment_in_memory(self) -> None:
        """One that is asked for fits into the memory of uploads and of downloads."""
        size = "[client]\nshares.segment-size = 3MiB\n"
        for line, enough, short in (
            ("upload.memory-limit", 13 << 20, (13 << 20) - 1),
            ("download.memory-limit", 6 << 20, (6 << 20) - 1),
        ):
            self.load(f"{size}{line} = {enough}\n")
            error = self.bad(f"{size}{line} = {short}\n", "[client] shares.segment-size")
            self.assertIn(f"{enough} bytes, more than {line} ({short})", str(error))
            # As before, for who did not ask for any.
            self.load(f"[client]\n{line} = 1000\n")

    def test_memory_limit(self) -> None:
        """Memory for not even one byte of file data is refused."""
        self.bad("[client]\nupload.memory-limit = 0\n", "[client] upload.memory-limit")

    def test_files(self) -> None:
        """What is no such file at all is named."""
        for data in (b"[node\n", b"no section = 1\n", b"\xff\xfe", b"[a]\n=\n", b"\x00"):
            self.bad(data)
        self.node.config.unlink()
        self.assertRaises(BadConfig, load_config, self.node)

    def test_one_sentence(self) -> None:
        """The error is a sentence for the operator, and it is the operator's move."""
        error = self.bad("[grid]\nstorage_dirs = a\nreserved_space = lots\n")
        self.assertIsInstance(error, Misuse)
        self.assertNotIn("\n", str(error))


class RenderTests(_Case):
    # It writes a file for each.
    @given(
        st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1),
        st.integers(1, 20),
        st.integers(0, 20),
    )
    def test_round_trip(self, nickname: str, happy: int, more: int) -> None:
        """What is rendered is read again as it was."""
        shape = GridShape(1, happy, happy + more)
        config = self.load(grid_config(nickname, "tcp:1%", shape, ["a", "b"]))
        self.assertEqual(config.nickname, nickname)
        self.assertEqual(config.web_port, "tcp:1%")
        self.assertEqual(config.shape, shape)
        self.assertEqual([path.name for path in config.storage_dirs], ["a", "b"])
        self.assertEqual(config.reserved_space, 10**9)

    def test_no_stock_services(self) -> None:
        """A stock node that is started on it by mistake listens nowhere, stores nothing."""
        parser = ConfigParser()
        parser.read_string(grid_config("n", "tcp:1", GridShape(), ["a", "b"]))
        self.assertEqual(parser["node"]["tub.port"], "disabled")
        self.assertEqual(parser["node"]["tub.location"], "disabled")
        self.assertEqual(parser["storage"]["enabled"], "false")

    def test_commented_defaults(self) -> None:
        """The values in comments are read like any others."""
        text = grid_config("n", "tcp:1", GridShape(), ["a", "b"])
        config = self.load(text.replace("\n#upload.", "\nupload."))
        self.assertEqual(config.memory_limit, DEFAULT_MEMORY_LIMIT)
        self.assertEqual(config.limits.max_size, 10**12)
        self.assertEqual(config.limits.spool, 64 << 30)

    def test_helper(self) -> None:
        """A helper that is made is one, with the bounds that stand there as comments."""
        shape = GridShape(3, 7, 10)
        for web_port in (None, "tcp:1%"):
            text = helper_config("n", web_port, "tcp:8098", "tcp:h%:8098", shape)
            for config in (
                self.load(text),
                self.load(re.sub("\n#(?=[a-z.-]+ = )", "\n", text)),
            ):
                self.assertEqual(config.web_port, web_port)
                self.assertEqual(config.shape, shape)
                self.assertEqual(config.tub_location, "tcp:h%:8098")
                self.assertIsNone(config.storage)
                self.assertEqual(config.unsupported, [])
                assert config.helper is not None
                limits = HelperLimits().for_strangers()
                self.assertEqual(config.helper.for_strangers(), limits)

    def test_client_of_a_helper(self) -> None:
        """A gateway that is made for a helper uses it, and can be told not to."""
        text = client_config("n", "tcp:1", GridShape(), FURL + "%")
        self.assertEqual(self.load(text).helper_furl, FURL + "%")
        text = text.replace("#helper.enabled", "helper.enabled")
        self.assertIsNone(self.load(text).helper_furl)
        self.assertIsNone(self.load(client_config("n", "tcp:1", GridShape())).helper_furl)


class WebHostsTests(_Case):
    def test_names(self) -> None:
        """The names of the web API are those given, and the interface listened on."""
        config = self.load(
            "[node]\nweb.port = tcp:80:interface=nas.lan\n"
            "web.allowed-hosts = a.example, https://b.example\n"
        )
        self.assertEqual(
            [(each.name.host, each.scheme) for each in config.web_hosts.names],
            [("a.example", None), ("b.example", "https"), ("nas.lan", None)],
        )
        self.assertFalse(config.web_hosts.any_host)
        self.assertTrue(self.load("[node]\nweb.port = unix:/x\n").web_hosts.any_host)
        self.assertEqual(self.load("").web_hosts.names, [])

    def test_wrong(self) -> None:
        """What is no name is an error that says where."""
        self.bad("[node]\nweb.allowed-hosts = *\n", "[node] web.allowed-hosts", "'*'")
        self.bad("[node]\nweb.base-url = a.example\n", "[node] web.base-url", "'a.example'")
        self.bad("[node]\nweb.trusted-proxies = x\n", "[node] web.trusted-proxies", "'x'")

    def test_proxy(self) -> None:
        """What is in front is known only if it is said, but for this machine."""
        hosts = self.load("[node]\nweb.base-url = https://a.example/t/\n").web_hosts
        self.assertEqual(str(hosts.base), "https://a.example/t")
        self.assertTrue(hosts.strict and hosts.proxies.trusts("127.0.0.1"))
        hosts = self.load("[node]\nweb.trusted-proxies = 10.0.0.1\n").web_hosts
        self.assertTrue(hosts.strict and not hosts.proxies.trusts("127.0.0.1"))
        self.assertFalse(self.load("").web_hosts.strict)
