"""
Configurations as they are written for Tahoe-LAFS: by its commands, in images, by hand.

Each runs as a stock node runs it, or is refused because it protects somebody.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.grid_managers import Manager
from tests.grids import new_directory
from truckee.grid.transports import StorageTransport
from truckee.node.config import NodeConfig, load_config
from truckee.node.config_file import BadConfig
from truckee.node.layout import NodeDirectory

FURL = "pb://" + "a" * 32 + "@tcp:grid.example:3458/introducer"

# As ``tahoe create-client`` and ``create-node`` write them.
CREATED = """\
# -*- mode: conf; coding: utf-8 -*-

# This file controls the configuration of the Tahoe node that
# lives in this directory. It is only read at node startup.
# For details about the keys that can be set here, please
# read the 'docs/configuration.rst' file that came with your
# Tahoe installation.


[node]
nickname = {name}
reveal-IP-address = {reveal}
web.port = {web}
web.static = public_html
{tub}

[client]
helper.furl = {helper}

# Encoding parameters this client will use for newly-uploaded files
shares.needed = 3
shares.happy = 7
shares.total = 10

{more}"""


def created(
    web: str = "tcp:3456:interface=127.0.0.1",
    tub: str = "tub.port = disabled\ntub.location = disabled",
    more: str = "[storage]\nenabled = false\n[helper]\nenabled = false\n",
    name: str = "name",
    reveal: str = "true",
    helper: str = "None",
) -> str:
    return CREATED.format(
        web=web, tub=tub, more=more, name=name, reveal=reveal, helper=helper
    )


SERVED = "tub.port = tcp:3457\ntub.location = tcp:192.0.2.7:3457"
Check = Callable[[NodeConfig, Path], object]


def gateway(config: NodeConfig, _: Path) -> bool:
    return config.web_port is not None and config.storage is None and not config.tub_port


def server(config: NodeConfig, node: Path) -> bool:
    return config.storage is not None and config.storage.directory == node / "storage"


RUN: dict[str, tuple[str, Check]] = {
    "create-client": (created(), gateway),
    "create-client --helper": (
        created(helper=FURL),
        lambda c, _: c.helper_furl == FURL,
    ),
    "create-client --nickname": (created(name="Ünïcode 100%%"), gateway),
    "create-client --webport none": (
        created(web=""),
        lambda c, _: c.web_port is None,
    ),
    "create-node --hostname": (
        created(tub=SERVED, more="[storage]\nenabled = true\nreserved_space = 1G\n"),
        lambda c, n: server(c, n) and c.tub_location == "tcp:192.0.2.7:3457",
    ),
    "create-node --port --location": (
        created(
            tub="tub.port = tcp:3457:interface=0.0.0.0\ntub.location = tcp:a.example:1",
            more="[storage]\nenabled = true\n#readonly =\nreserved_space = 5GiB\n",
        ),
        lambda c, _: c.storage and c.storage.reserved_space == 5 << 30,
    ),
    "web.port without tcp": (
        created(web="3456:interface=127.0.0.1"),
        lambda c, _: c.web_port == "3456:interface=127.0.0.1",
    ),
    "web.port, a number": (created(web="3456"), gateway),
    "web.port, IPv6": (created(web=r"tcp:3456:interface=\:\:1"), gateway),
    "web.port, a Unix socket": (
        created(web="unix:/run/tahoe/web.sock:mode=660"),
        lambda c, _: c.web_hosts.any_host,
    ),
    "web.port, TLS": (
        created(web="ssl:3456:privateKey=k.pem:certKey=c.pem"),
        gateway,
    ),
    "an image: listens on all interfaces": (
        created(
            web="tcp:3456:interface=0.0.0.0",
            tub="tub.port = tcp:34567\ntub.location = AUTO",
            more="[storage]\nenabled = true\nstorage_dir = /data\n",
        ),
        lambda c, _: c.storage and c.storage.directory == Path("/data"),
    ),
    "a role: no tub.location": (
        created(tub="tub.port = 34567", more="[storage]\nenabled = true\n"),
        lambda c, n: server(c, n) and c.tub_location == "AUTO",
    ),
    "a role: neither tub.port nor tub.location": (
        created(tub="", more="[storage]\nenabled = true\n"),
        lambda c, n: server(c, n) and c.tub_port_chosen and c.tub_location == "AUTO",
    ),
    "an empty file is a storage server": (
        "",
        lambda c, n: server(c, n) and c.tub_port_chosen,
    ),
    "a gateway by hand, no tub": (
        "[node]\nweb.port = tcp:3456\n[storage]\nenabled = no\n",
        lambda c, _: c.tub_port is None and not c.tub_port_chosen,
    ),
    "several endpoints": (
        created(
            tub="tub.port = tcp:3457,tcp:3458:interface=127.0.0.1\n"
            "tub.location = tcp:a.example:3457,AUTO",
            more="[storage]\nenabled = true\n",
        ),
        lambda c, _: c.tub_location == "tcp:a.example:3457,AUTO",
    ),
    "a module of a distribution": (
        "[node]\nnickname=alpha\ntub.port=3457\ntub.location=a.example:3457\n"
        "web.port=tcp:3456\n[client]\nhelper.furl=\nshares.happy=1\nshares.needed=1\n"
        "shares.total=1\n[storage]\nenabled=1\nreserved_space=1G\n[helper]\nenabled=0\n"
        "[sftpd]\nenabled=0\n",
        lambda c, n: server(c, n) and c.shape.total == 1,
    ),
    "a home directory": (
        created(tub=SERVED, more="[storage]\nstorage_dir = ~/shares\n"),
        lambda c, _: c.storage and c.storage.directory == Path("/home/alice/shares"),
    ),
    "a disk elsewhere": (
        created(tub=SERVED, more="[storage]\nstorage_dir = /mnt/disk 1/tahoe\n"),
        lambda c, _: c.storage and c.storage.directory == Path("/mnt/disk 1/tahoe"),
    ),
    "a desktop application's": (
        "[node]\nnickname = alice@laptop\nweb.port = tcp:0:interface=127.0.0.1\n"
        "tub.port = disabled\ntub.location = disabled\n[client]\n"
        f"shares.happy = 1\nshares.needed = 1\nshares.total = 1\nintroducer.furl = {FURL}\n"
        "[connections]\ntcp = tcp\n[storage]\nenabled = False\n[helper]\nenabled = False\n",
        lambda c, _: c.introducer_furl == FURL and c.dials_tcp,
    ),
    "a plugin's test: client": (
        created(
            more="storage.plugins = zkapauthz-v2\n[storageclient.plugins.zkapauthz-v2]\n"
            "ristretto-issuer-root-url = https://example.com/\n"
            "default-token-count = 50000\n[storage]\nenabled = false\n"
        ),
        lambda c, _: c.unsupported == ["[client] storage.plugins = zkapauthz-v2"],
    ),
    "an introducer's node section": (
        "[node]\nnickname = x\nweb.port =\ntub.port = tcp:5\ntub.location = tcp:h:5\n"
        "[storage]\nenabled = false\n",
        lambda c, _: c.web_port is None,
    ),
    "a client of a grid manager": (
        created(
            more="[storage]\nenabled = false\n[grid_managers]\nalice = pub-v0-"
            + "a" * 52
            + "\n"
        ),
        lambda c, _: len(c.grid_managers) == 1,
    ),
    "a server with certificates": (
        created(
            tub=SERVED,
            more="[storage]\nenabled = true\ngrid_management = True\n"
            "[grid_manager_certificates]\ndefault = gridmanager.cert\n",
        ),
        lambda c, _: c.storage and len(c.storage.certificates) == 1,
    ),
    "leases that expire": (
        created(
            tub=SERVED,
            more="[storage]\nexpire.enabled = true\nexpire.mode = age\n"
            "expire.override_lease_duration = 2 months\n",
        ),
        lambda c, _: c.storage and c.storage.expiry,
    ),
    "an SFTP frontend that is off": (
        created(
            more="[storage]\nenabled = false\n[sftpd]\nenabled = false\n"
            "port = tcp:8022:interface=127.0.0.1\nhost_pubkey_file = private/k.pub\n"
            "host_privkey_file = private/k\naccounts.file = private/accounts\n"
        ),
        lambda c, _: not c.unsupported and not c.mistakes,
    ),
    "an SFTP frontend": (
        created(more="[storage]\nenabled = false\n[sftpd]\nenabled = true\n"),
        lambda c, n: c.sftp and c.sftp.host_key == n / "private/ssh_host_ed25519_key",
    ),
    "timeouts": (
        created(
            tub="tub.port = disabled\ntub.location = disabled\n"
            "timeout.keepalive = 240\ntimeout.disconnect = 1800\n"
        ),
        lambda c, _: len(c.unsupported) == 2 and not c.mistakes,
    ),
    "colons, capitals and repeated sections": (
        "[node]\nNickname: x\nWEB.PORT: tcp:1\n[storage]\nEnabled: OFF\n[node]\n",
        lambda c, _: c.web_port == "tcp:1" and c.storage is None,
    ),
    "interpolation": (
        "[DEFAULT]\nroot = /srv/tahoe\n[storage]\nstorage_dir = %(root)s/shares\n",
        lambda c, _: c.storage and c.storage.directory == Path("/srv/tahoe/shares"),
    ),
    "Tor for onion hints only": (
        created(more="[tor]\nsocks.port = tcp:127.0.0.1:9050\n[storage]\nenabled = 0\n"),
        lambda c, _: c.dials_tcp and not c.mistakes,
    ),
    "create-client --hide-ip": (
        created(
            reveal="false",
            more="[storage]\nenabled = false\n[connections]\ntcp = tor\n",
        ),
        lambda c, _: c.tor and c.tor.all_tcp and not c.dials_tcp,
    ),
    "foolscap only": (
        created(more="force_foolscap = true\n[storage]\nenabled = false\n"),
        lambda c, _: c.transport is StorageTransport.FOOLSCAP,
    ),
}

REFUSED: dict[str, tuple[str, str]] = {
    "--hide-ip with a Tor that is off": (
        created(
            reveal="false",
            more="[storage]\nenabled = false\n[connections]\ntcp = tor\n"
            "[tor]\nenabled = false\n",
        ),
        "[connections] tcp",
    ),
    "--hide-ip without Tor": (created(reveal="false"), "[node] reveal-IP-address"),
    "create-node --listen=tor": (
        created(
            tub="tub.port = tcp:4123:interface=127.0.0.1\ntub.location = tor:a.onion:3457",
            more="[storage]\nenabled = true\n[tor]\nonion = true\nonion.local_port = 4123\n"
            "onion.external_port = 3457\nonion.private_key_file = private/tor.privkey\n",
        ),
        "[tor] onion",
    ),
    "create-node --listen=i2p": (
        created(
            tub="tub.port = listen:i2p\ntub.location = i2p:a.b32.i2p:3457",
            more="[i2p]\ndest = true\n",
        ),
        "[i2p] dest",
    ),
    "a plugin's test: server": (
        created(
            tub=SERVED,
            more="[storage]\nenabled = true\nplugins = zkapauthz-v2\n"
            "[storageserver.plugins.zkapauthz-v2]\nristretto-issuer-root-url = https://x/\n",
        ),
        "[storage] plugins",
    ),
    "a server for members only": (
        created(tub=SERVED, more="[storage]\nenabled = true\nanonymous = false\n"),
        "[storage] anonymous",
    ),
    "an old guide's reveal": (
        "[node]\nreveal-ip-adress = false\n",
        "line 2",
    ),
    "a port that changes": (
        created(tub="tub.port = tcp:0:interface=127.0.0.1\ntub.location = tcp:h:0"),
        "[node] tub.port",
    ),
    "one of two ports that changes": (
        created(tub="tub.port = 3457, tcp:port=0\ntub.location = AUTO"),
        "[node] tub.port",
    ),
    "nobody's home": (
        "[storage]\nstorage_dir = ~nobody-of-this-name/shares\n",
        "[storage] storage_dir",
    ),
}


class WildTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = NodeDirectory(new_directory(self))
        certificate = json.dumps(Manager().sign("v0-a", "2099-01-01T00:00:00+00:00"))
        (self.node.path / "gridmanager.cert").write_text(certificate)
        self.patch(os, "environ", {**os.environ, "HOME": "/home/alice"})

    def load(self, text: str) -> NodeConfig:
        self.node.config.write_text(text, "utf-8")
        return load_config(self.node)

    def test_run(self) -> None:
        """They are read as stock nodes read them, without a mistake."""
        for name, (text, check) in RUN.items():
            config = self.load(text)
            self.assertTrue(check(config, self.node.path), f"{name}: {config}")
            self.assertEqual(config.mistakes, [], name)

    def test_refused(self) -> None:
        """What cannot be kept and protects somebody stops the start."""
        for name, (text, where) in REFUSED.items():
            error = self.assertRaises(BadConfig, self.load, text)
            self.assertIn(where, str(error), name)

    def test_client_port(self) -> None:
        """A port that was chosen before is used again."""
        self.node.client_port.write_text("tcp:40001\n")
        config = self.load("")
        self.assertEqual((config.tub_port, config.tub_port_chosen), ("tcp:40001", False))

    def test_forty(self) -> None:
        """There are forty of them."""
        self.assertGreaterEqual(len(RUN) + len(REFUSED), 40)
