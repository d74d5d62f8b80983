"""
Configurations as they are written for Tahoe-LAFS, read by stock's own code too.

What both derive is the same; or this program refuses what would protect somebody.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.grid_managers import Manager
from tests.grids import new_directory
from tests.node.test_config_stock import FURL, REFUSED, RUN, SERVED, created
from truckee.errors import TruckeeError
from truckee.node.config import NodeConfig, load_config
from truckee.node.config_values import endpoint_text
from truckee.node.layout import NodeDirectory
from truckee.node.peers import BadPeers, load_introducers, load_static_servers

# What ``tests.node.stock_config`` has in the place of this machine's.
ADDRESS, PORT = "192.0.2.1", 45678

OTHER_FURL = FURL.replace("a" * 32, "b" * 32)
SERVER = "v0-" + "c" * 51 + "a"
STORAGE_FURL = "pb://" + "d" * 32 + "@tcp:server.example:3457/" + "e" * 32
GATEWAY = created()

# Other files of the node directory beside ``tahoe.cfg``.
FILES: dict[str, Mapping[str, str]] = {
    "introducers.yaml": {
        "tahoe.cfg": GATEWAY,
        "private/introducers.yaml": (
            f"introducers:\n  one:\n    furl: {FURL}\n  two:\n    furl: {OTHER_FURL}\n"
        ),
    },
    "introducers.yaml in one line": {
        "tahoe.cfg": GATEWAY,
        "private/introducers.yaml": f'{{"introducers": {{"a b": {{"furl": "{FURL}"}}}}}}',
    },
    "introducers.yaml of nobody": {
        "tahoe.cfg": GATEWAY,
        "private/introducers.yaml": "introducers: {}\n",
    },
    "introducers.yaml and introducer.furl": {
        "tahoe.cfg": created(more=f"introducer.furl = {FURL}\n[storage]\nenabled = no\n"),
        "private/introducers.yaml": f"introducers:\n  two:\n    furl: {OTHER_FURL}\n",
    },
    "two introducers of one name": {
        "tahoe.cfg": created(more=f"introducer.furl = {FURL}\n[storage]\nenabled = no\n"),
        "private/introducers.yaml": f"introducers:\n  default:\n    furl: {OTHER_FURL}\n",
    },
    "introducers.yaml without anything": {
        "tahoe.cfg": GATEWAY,
        "private/introducers.yaml": "# none yet\n",
    },
    "introducers.yaml, half": {
        "tahoe.cfg": GATEWAY,
        "private/introducers.yaml": "introducers:\n",
    },
    "servers.yaml without anything": {"tahoe.cfg": GATEWAY, "private/servers.yaml": ""},
    "introducer.furl of nobody": {
        "tahoe.cfg": created(more="introducer.furl = None\n[storage]\nenabled = no\n"),
    },
    "a helper and no port": {
        "tahoe.cfg": created(more="[storage]\nenabled = no\n[helper]\nenabled = yes\n"),
    },
    "a port that is empty": {
        "tahoe.cfg": created(tub="tub.port =\ntub.location = AUTO"),
    },
    "one of port and location": {
        "tahoe.cfg": created(tub="tub.port = disabled\ntub.location = AUTO"),
    },
    "a port of nobody": {
        "tahoe.cfg": created(tub="tub.port = tcp:0\ntub.location = AUTO"),
    },
    "hosts with an old hint": {
        "tahoe.cfg": created(
            tub="tub.port = 3457\ntub.location = a.example:3457,192.0.2.9:3457",
            more="[storage]\nenabled = on\nreserved_space =\n",
        ),
    },
    "introducer.furl": {
        "tahoe.cfg": created(more=f"introducer.furl = {FURL}\n[storage]\nenabled = no\n"),
    },
    "servers.yaml": {
        "tahoe.cfg": GATEWAY,
        "private/servers.yaml": (
            f"storage:\n  {SERVER}:\n    ann:\n      nickname: storage one\n"
            f"      anonymous-storage-FURL: {STORAGE_FURL}\n"
            f"      permutation-seed-base32: {'f' * 51}a\n"
        ),
    },
    "servers.yaml of a desktop application": {
        "tahoe.cfg": GATEWAY,
        "private/servers.yaml": (
            f"storage:\n  {SERVER}:\n    ann:\n"
            f"      anonymous-storage-FURL: {STORAGE_FURL}\n      nickname: Ünïcode\n"
        ),
    },
    "servers.yaml of nobody": {
        "tahoe.cfg": GATEWAY,
        "private/servers.yaml": "storage: {}\n",
    },
    "a server with all keys": {
        "tahoe.cfg": created(
            tub=SERVED,
            more="[storage]\nenabled = true\nreadonly = yes\nreserved_space = 10GB\n"
            "storage_dir = store\nexpire.enabled = true\nexpire.mode = cutoff-date\n"
            "expire.cutoff_date = 2020-01-02\nexpire.mutable = false\n[helper]\n"
            "enabled = true\n",
        ),
    },
    "sizes": {
        "tahoe.cfg": created(
            tub=SERVED, more="[storage]\nenabled = true\nreserved_space = 1.5G\n"
        ),
    },
    "sizes without a unit": {
        "tahoe.cfg": created(
            tub=SERVED, more="[storage]\nenabled = true\nreserved_space = 1000000\n"
        ),
    },
    "a home directory that stock made": {
        "tahoe.cfg": created(tub=SERVED, more="[storage]\nstorage_dir = ~/shares\n"),
        "~/shares/shares/note": "",
    },
    "a home directory of nobody that stock made": {
        "tahoe.cfg": created(tub=SERVED, more="[storage]\nstorage_dir = ~nobody1/x\n"),
        "~nobody1/x/shares/note": "",
    },
    "a byte order mark": {"tahoe.cfg": "\ufeff" + GATEWAY},
    "no tahoe.cfg keys at all": {"tahoe.cfg": "[node]\n[client]\n[storage]\nenabled=0\n"},
}

# Where stock does not start and this program does, and why nobody is hurt.
STOCK_REFUSES = {
    "two introducers of one name": "here it is refused when it looks for servers",
    "introducers.yaml without anything": "it names none",
    "introducers.yaml, half": "it names none",
    "servers.yaml without anything": "it names none",
    "introducer.furl of nobody": "it means none",
    "a helper and no port": "here it is refused when it would be offered",
    "a port that is empty": "it means none, and nothing is offered to others",
    "one of port and location": "it means none, and nothing is offered to others",
    "several endpoints": "it cannot tell the port for AUTO from two of them",
    "a plugin's test: client": "the plugin is not installed; here there are none",
    "an SFTP frontend": "it has no keys; here there is no such frontend, which is told",
    "interpolation": "each of its sections has the key, which nobody knows there",
}
# What is not the same, and why nobody is hurt.
OTHERWISE = {
    "a home directory": "stock makes one called ~, which is used here if it is there",
}


def ours(node: NodeDirectory) -> dict[str, Any]:
    """Return what this program derives, in the words of ``tests.node.stock_config``."""
    config = load_config(node)
    introducers = load_introducers(node.private / "introducers.yaml")
    if config.introducer_furl is not None:
        introducers["default"] = config.introducer_furl
    servers = load_static_servers(node.private / "servers.yaml", tor=config.tor is not None)
    stored = None
    if config.storage is not None:
        expiry = config.storage.expiry
        mode = None
        if expiry is not None:
            mode = "age" if expiry.cutoff is None else "cutoff-date"
        stored = {
            "directory": str(config.storage.directory),
            "reserved": config.storage.reserved_space,
            "readonly": config.storage.readonly,
            "expires": mode,
            "duration": None if expiry is None else expiry.duration,
            "anonymous": True,
        }
    over_tor = config.tor is not None and config.tor.all_tcp
    other = "tor" if over_tor else None
    return {
        "nickname": config.nickname,
        "web": config.web_port,
        "tub": _tub(config),
        "shares": [config.shape.needed, config.shape.happy, config.shape.total],
        "introducers": introducers,
        "servers": {
            each.server_id: {
                key: each.fields.get(key) for key in ("nickname", "anonymous-storage-FURL")
            }
            for each in servers
        },
        "tcp": "tcp" if config.dials_tcp else other,
        "helper": config.helper is not None,
        "helper_furl": config.helper_furl,
        "managers": len(config.grid_managers),
        "storage": stored,
    }


def _tub(config: NodeConfig) -> list[str] | None:
    """Return where it listens, with the address and the port of the other program."""
    port = f"tcp:{PORT}" if config.tub_port_chosen else config.tub_port
    if port is None or config.tub_location is None:
        return None
    port = ",".join(map(endpoint_text, port.split(",")))
    automatic = f"tcp:{ADDRESS}:{port.split(':')[1].partition(',')[0]}"
    hints = config.tub_location.split(",")
    return [port, ",".join(automatic if hint == "AUTO" else hint for hint in hints)]


def differences(told: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return what stock *told* that is not *found* here."""
    wrong = []
    for key, value in told.items():
        here = found[key]
        if key == "tub" and here is None and not (told["storage"] or told["helper"]):
            # A node that has nothing for others: stock listens all the same.
            continue
        if here != value:
            wrong.append(f"{key}: stock has {value!r}, here it is {here!r}")
    return wrong


class SameTests(SynchronousTestCase):
    def setUp(self) -> None:
        if find_spec("allmydata") is None:
            raise SkipTest("tahoe-lafs is not installed")
        self.room = new_directory(self)
        self.nodes: dict[str, NodeDirectory] = {}
        # Paths of homes are looked up by both.
        self.patch(os, "environ", {**os.environ, "HOME": "/home/alice"})

    def write(self, name: str, files: Mapping[str, str]) -> None:
        """Write a node directory."""
        node = NodeDirectory(self.room / f"{len(self.nodes):03}")
        node.private.mkdir(parents=True)
        certificate = Manager().sign("v0-a", "2099-01-01T00:00:00+00:00")
        (node.path / "gridmanager.cert").write_text(json.dumps(certificate))
        for path, text in files.items():
            (node.path / path).parent.mkdir(parents=True, exist_ok=True)
            (node.path / path).write_text(text, "utf-8")
        self.nodes[name] = node

    def stock(self) -> dict[str, dict[str, Any]]:
        """Return what stock derives from each."""
        other = str(new_directory(self))
        program = ("-m", "tests.node.stock_config", str(self.room), other)
        command = [sys.executable, *program]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parents[2]
        )
        found = json.loads(done.stdout.splitlines()[-1])
        return {name: found[node.path.name] for name, node in self.nodes.items()}

    def test_same(self) -> None:
        """
        Each runs in both and says the same, or it is refused here and protects somebody.
        """
        for name, (text, _) in (*RUN.items(), *REFUSED.items()):
            self.write(name, {"tahoe.cfg": text})
        for name, files in FILES.items():
            self.write(name, files)
        wrong = []
        for name, told in self.stock().items():
            try:
                found = ours(self.nodes[name])
            except (TruckeeError, BadPeers) as error:
                if name not in REFUSED and "error" not in told:
                    wrong.append(f"{name}: refused here: {error}")
                continue
            if "error" in told:
                if name not in STOCK_REFUSES:
                    wrong.append(f"{name}: stock does not start: {told['error']}")
                continue
            if name not in OTHERWISE:
                wrong += [f"{name}: {each}" for each in differences(told, found)]
        self.assertEqual(wrong, [], "\n".join(wrong))
        self.assertGreaterEqual(len(self.nodes), 55)
