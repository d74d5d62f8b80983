"""What ``AUTO`` stands for, and the port of a node that was told none."""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address

import psutil
from twisted.trial.unittest import SynchronousTestCase

from tests.grids import new_directory
from truckee.node.interfaces import automatic_hints, choose_port, local_addresses


class AddressTests(SynchronousTestCase):
    def test_asks_the_interfaces(self) -> None:
        """All IPv4 addresses that the system gives its interfaces are found."""
        expected = {
            IPv4Address(address.address)
            for addresses in psutil.net_if_addrs().values()
            for address in addresses
            if address.family == socket.AF_INET
        }
        self.assertEqual(set(local_addresses()), expected | {IPv4Address("127.0.0.1")})

    def test_hints(self) -> None:
        """The widest reach comes first, and an endpoint on one interface is there alone."""
        for endpoint, addresses, expected in (
            ("tcp:80", "127.0.0.1", "127.0.0.1"),
            ("tcp:80", "127.0.0.1 192.168.1.5", "192.168.1.5 127.0.0.1"),
            ("tcp:80", "10.0.0.1 127.0.0.1 8.8.8.8", "8.8.8.8 10.0.0.1 127.0.0.1"),
            ("tcp:80", "169.254.1.1 10.0.0.1", "10.0.0.1 169.254.1.1"),
            ("tcp:80", "0.0.0.0 10.0.0.1", "10.0.0.1"),
            ("tcp:80:interface=10.0.0.2", "10.0.0.1 10.0.0.2", "10.0.0.2"),
            ("tcp:80:interface=127.0.0.1", "10.0.0.1 127.0.0.1", "127.0.0.1"),
            ("tcp:80:interface=0.0.0.0", "10.0.0.1", "10.0.0.1"),
            ("tcp:port=80:backlog=5", "10.0.0.1", ""),
            ("unix:/run/x", "10.0.0.1", ""),
            (
                "tcp:80",
                " ".join(f"10.0.0.{last}" for last in range(1, 20)),
                " ".join(f"10.0.0.{last}" for last in range(1, 9)),
            ),
        ):
            given = [IPv4Address(text) for text in addresses.split()]
            hints = automatic_hints(endpoint, given)
            self.assertEqual(hints, [f"tcp:{text}:80" for text in expected.split()])

    def test_port(self) -> None:
        """A port that was chosen is free, and noted as an endpoint."""
        path = new_directory(self) / "client.port"
        endpoint = choose_port(path)
        self.assertEqual(path.read_text(), f"{endpoint}\n")
        match = re.fullmatch("tcp:([0-9]+)", endpoint)
        assert match is not None
        with socket.socket() as probe:
            probe.bind(("", int(match[1])))
