"""Which addresses may be named by whom."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.grid.addresses import (
    ANY_ADDRESS,
    MAX_HINTS,
    AddressPolicy,
    Reach,
    host_of,
    policy_of,
    reach_of,
    with_hints,
)

START, END = "pb://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@", "/swissnum"


class ReachTests(SynchronousTestCase):
    def test_hosts(self) -> None:
        """Addresses and names, by how far they reach."""
        for reach, hosts in {
            Reach.NOWHERE: (
                "0.0.0.0",
                "::",
                "224.0.0.1",
                "ff02::1",
                "255.255.255.255",
                "127.1",
                "0x7f.1",
                "2130706433",
                "a b",
                "",
                "a..b",
                "-a.example",
                "ä.example",
                "x" * 64 + ".example",
            ),
            Reach.LOOPBACK: (
                "127.0.0.1",
                "127.9.9.9",
                "::1",
                "::ffff:127.0.0.1",
                "localhost",
                "LOCALHOST.",
                "a.localhost",
            ),
            Reach.LINK_LOCAL: ("169.254.169.254", "fe80::1", "fe80::1%eth0"),
            Reach.PRIVATE: (
                "10.0.0.1",
                "172.16.0.1",
                "192.168.1.1",
                "100.64.0.1",
                "fd00::1",
                "::ffff:10.0.0.1",
                "nas",
                "nas.local",
                "nas.home.arpa",
            ),
            Reach.PUBLIC: ("8.8.8.8", "2600::1", "storage.example.com", "a.b.example."),
        }.items():
            for host in hosts:
                self.assertEqual(reach_of(host), reach, host)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Any text has an answer, and so has any hint."""
        reach_of(text)
        host_of(text)


class HintTests(SynchronousTestCase):
    def test_hosts(self) -> None:
        """Only hints over TCP or Tor to possible hosts and ports count."""
        for hint, host in (
            ("tcp:a.example:1", "a.example"),
            ("tcp:[2600::1]:65535", "[2600::1]"),
            ("10.0.0.1:22", "10.0.0.1"),
            ("tcp:a.example:0", None),
            ("tcp:a.example:65536", None),
            ("tcp:a.example:" + "1" * 5000, None),
            ("tcp:a.example", None),
            ("tor:a.onion:1", "a.onion"),
            ("tor:a.onion", None),
            ("i2p:a", None),
            ("tcp:a_b\n.example:1", None),
            ("tcp:0.0.0.0:1", None),
            ("tcp:127.1:1", None),
        ):
            self.assertEqual(host_of(hint), host, hint)

    def hints(self, *hints: str, least: Reach = Reach.LOOPBACK) -> str:
        furl = with_hints(START + ",".join(hints) + END, AddressPolicy(least))
        return furl.removeprefix(START).removesuffix(END)

    def test_policy(self) -> None:
        """Those that are nearer than is allowed go, and the furl stays one."""
        near, far = "tcp:127.0.0.1:1", "tcp:a.example:2"
        self.assertEqual(self.hints(near, far), f"{near},{far}")
        self.assertEqual(self.hints(near, far, least=Reach.PUBLIC), far)
        self.assertEqual(self.hints(near, least=Reach.PRIVATE), "")
        self.assertEqual(self.hints(), "")

    def test_many(self) -> None:
        """Of a thousand hints a few are used."""
        many = [f"tcp:a.example:{port}" for port in range(1, 1000)]
        self.assertEqual(self.hints(*many), ",".join(many[:MAX_HINTS]))

    def test_introducers(self) -> None:
        """Servers may be as near as the farthest address of their introducer."""
        for hints, least in (
            ("tcp:127.0.0.1:1", Reach.LOOPBACK),
            ("tcp:127.0.0.1:1,tcp:192.168.1.5:1", Reach.PRIVATE),
            ("tcp:127.0.0.1:1,tcp:192.168.1.5:1,tcp:8.8.8.8:1", Reach.PUBLIC),
            ("tcp:introducer.example:1", Reach.PUBLIC),
            ("", Reach.PUBLIC),
        ):
            self.assertEqual(policy_of(START + hints + END).least, least, hints)
        self.assertEqual(ANY_ADDRESS.least, Reach.LOOPBACK)
