"""Connections through Tor, with a SOCKS proxy of the tests in its place."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from unittest import SkipTest

from foolscap.api import Tub
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from tests.grids import REACTOR, new_directory, new_workers, until
from tests.ports import free_port
from tests.socks_proxy import SocksProxy
from tests.storage.gbs_served import Served, tub_id
from tests.storage.test_foolscap_client import INDEX, Loopback, new_disk
from truckee.codec import base32
from truckee.grid.announcements import parse_fields
from truckee.node import tor
from truckee.node.config import NodeConfig, load_config
from truckee.node.config_file import BadConfig
from truckee.node.layout import NodeDirectory
from truckee.node.network import Network
from truckee.node.tor import TorSource
from truckee.node.tor_settings import TorSettings, is_installed
from truckee.status.problems import Problems
from truckee.storage.foolscap_server import FoolscapStorage

OFF = "[node]\ntub.port = disabled\ntub.location = disabled\n[storage]\nenabled = false\n"
ALL = "[connections]\ntcp = tor\n"
HIDDEN = "[node]\nreveal-IP-address = false\n"


def setUpModule() -> None:
    """Skip without what Tor is used with."""
    if not is_installed():
        raise SkipTest("txtorcon is not installed")


class _Counting(Factory):
    """Counts who connects, and hangs up."""

    def __init__(self) -> None:
        self.came = 0

    def buildProtocol(self, addr: Any) -> Protocol | None:
        self.came += 1
        return None


@implementer(IHostnameResolver)
class _NoNames:
    """Looks no name up, and remembers which should have been."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        self.asked.append(hostName)
        resolutionReceiver.resolutionBegan(self)
        resolutionReceiver.resolutionComplete()
        return resolutionReceiver


class ConfigTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = NodeDirectory(new_directory(self))

    def load(self, text: str) -> NodeConfig:
        self.node.config.write_text(OFF + text)
        return load_config(self.node)

    def test_read(self) -> None:
        """The section is read as stock nodes read it."""
        home = self.node.path
        for text, settings in (
            ("", TorSettings()),
            (ALL, TorSettings(all_tcp=True)),
            (ALL + HIDDEN, TorSettings(all_tcp=True)),
            ("[tor]\nenabled = false\n", None),
            ("[tor]\nsocks.port = tcp:a.example:1\n", TorSettings(socks="tcp:a.example:1")),
            ("[tor]\ncontrol.port = unix:/run/tor\n", TorSettings(control="unix:/run/tor")),
            ("[tor]\nlaunch = true\n", TorSettings(launch=True)),
            ("[tor]\ntor.executable = tor-2\n", TorSettings(executable=Path("tor-2"))),
            ("[tor]\ntor.executable = ./tor\n", TorSettings(executable=home / "tor")),
            ("[tor]\ntor.executable = /b/tor\n", TorSettings(executable=Path("/b/tor"))),
        ):
            config = self.load(text)
            self.assertEqual(config.tor, settings, text)
            self.assertEqual(config.dials_tcp, "tcp = tor" not in text)
            self.assertEqual(list(config.unsupported), [])

    def test_refused(self) -> None:
        """What would not lead to Tor stops the start, and what would show the address."""
        for text, where in (
            (f"{ALL}[tor]\nenabled = false\n", "[connections] tcp"),
            (f"{ALL}[tor]\nsocks.port = 9050\n", "[tor] socks.port"),
            ("[tor]\nsocks.port = 127.0.0.1:9050\n", "[tor] socks.port"),
            ("[tor]\nsocks.port = tcp:127.0.0.1\n", "[tor] socks.port"),
            ("[tor]\ncontrol.port = http://127.0.0.1\n", "[tor] control.port"),
            ("[tor]\ncontrol.port = tcp:127.0.0.1:port\n", "[tor] control.port"),
            (f"{ALL}[tor]\nonion = true\n", "[tor] onion"),
            (f"{ALL}[tor]\nlaunch = perhaps\n", "[tor] launch"),
            (HIDDEN, "[node] reveal-IP-address"),
            (
                f"{ALL}{HIDDEN}tub.port = tcp:1\ntub.location = tcp:127.0.0.1:1\n",
                "[node] reveal-IP-address",
            ),
        ):
            sentence = str(self.assertRaises(BadConfig, self.load, text))
            self.assertIn(f"{where}: ", sentence, text)
            self.assertNotIn("\n", sentence)


class _Case(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.problems = Problems(time.time)
        self.socks = free_port()

    def proxy(self, **options: bool) -> SocksProxy:
        """Run a proxy until the test ends."""
        proxy = SocksProxy(self.socks, **options).start()
        self.addCleanup(proxy.stop)
        return proxy


class NetworkTests(_Case):
    async def network(
        self, more: str, introducers: str = "{}", servers: str = "{}"
    ) -> Network:
        """Return the network of a node, which ends with the test."""
        node = NodeDirectory(new_directory(self))
        node.private.mkdir()
        socks = f"[tor]\nsocks.port = tcp:127.0.0.1:{self.socks}\n"
        node.config.write_text(OFF + socks + more)
        (node.private / "introducers.yaml").write_text(f"introducers: {introducers}\n")
        (node.private / "servers.yaml").write_text(f"storage: {servers}\n")
        network = Network(
            node,
            load_config(node),
            None,
            REACTOR,
            time.time,
            os.urandom,
            new_workers(self),
            self.problems,
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(network.stop()))
        await network.start()
        return network

    def listener(self) -> tuple[_Counting, int]:
        """Listen where a plain connection would come; return who counts, and the port."""
        factory = _Counting()
        port = REACTOR.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return factory, port.getHost().port

    async def test_no_tor(self) -> None:
        """Without a Tor nothing is connected to, no name is looked up, and people hear."""
        names = _NoNames()
        before = REACTOR.installNameResolver(names)
        self.addCleanup(REACTOR.installNameResolver, before)
        counting, port = self.listener()
        hints = ",".join(f"tcp:{host}:{port}" for host in ("127.0.0.1", "a.example"))
        furl = f"pb://{Tub().getTubID()}@{hints},tor:b.example:{port},{port}/x"
        nurl = f"pb://{'A' * 43}@a.example:{port}/x#v=1"
        ann = f"{{anonymous-storage-FURL: '{furl}', anonymous-storage-NURLs: ['{nurl}']}}"
        network = await self.network(
            f"{ALL}[client]\nhelper.furl = {furl}\n",
            f"{{one: {{furl: '{furl}'}}}}",
            f"{{v0-a: {{ann: {ann}}}}}",
        )
        dialer = network._dialer_to(furl)
        for tub in (network._tub, network._client_tub, dialer._tub):
            with self.assertRaises(Exception):  # noqa: B017  # foolscap's own
                await tub.getReference(furl)
        addresses = dialer.addresses(
            parse_fields(
                "v0-a",
                {
                    "anonymous-storage-FURL": furl,
                    "anonymous-storage-NURLs": [nurl],
                },
            )
        )
        [address] = addresses
        with self.assertRaises(Exception):  # noqa: B017
            await address.server.version()
        self.assertEqual((counting.came, names.asked), (0, []))
        [problem] = self.problems
        self.assertEqual(problem.name, "Tor")
        self.assertIn("No connections are made through Tor: ", problem.text)

    async def test_plain(self) -> None:
        """Without tcp = tor they come, which shows that the test can see them."""
        counting, port = self.listener()
        furl = f"pb://{Tub().getTubID()}@tcp:127.0.0.1:{port}/x"
        await self.network("", f"{{one: {{furl: '{furl}'}}}}")
        await until(lambda: counting.came)

    async def test_foolscap(self) -> None:
        """A server is reached through the proxy, which looks its name up."""
        proxy = self.proxy()
        loopback = Loopback()
        self.addCleanup(lambda: Deferred.fromCoroutine(loopback.stop()))
        furl = loopback.register(FoolscapStorage(new_disk(self), REACTOR))
        port = int(furl.partition("/")[2].partition("@")[2].partition("/")[0].split(":")[2])
        for config, kind in ((ALL, "tcp"), ("", "tor")):
            proxy.asked.clear()
            far = furl.replace("tcp:127.0.0.1", f"{kind}:a.example")
            servers = f"{{v0-a: {{ann: {{anonymous-storage-FURL: '{far}'}}}}}}"
            network = await self.network(config, servers=servers)
            await until(network.pool.servers)
            [server] = network.pool.servers()
            self.assertEqual(await server.buckets(INDEX), {})
            self.assertEqual(set(proxy.asked), {("a.example", port)})
            self.assertEqual(list(self.problems), [])
            await network.stop()

    async def test_one_server(self) -> None:
        """A server for which the operator says so is reached through Tor alone."""
        counting, port = self.listener()
        proxy = self.proxy(refuses=True)
        hints = f"tcp:127.0.0.1:{port},tcp:a.example:{port}"
        furl = f"pb://{Tub().getTubID()}@{hints}/x"
        ann = f"ann: {{anonymous-storage-FURL: '{furl}'}}"
        servers = f"{{v0-a: {{{ann}, connections: {{tcp: tor}}}}}}"
        await self.network("", servers=servers)
        await until(lambda: proxy.asked)
        self.assertEqual(counting.came, 0)

    async def test_https(self) -> None:
        """So it is over HTTPS, and with a NURL for Tor where others are for plain TCP."""
        proxy = self.proxy()
        served = Served.new(self)
        for config, scheme in ((ALL, "pb:"), ("", "pb+tor:")):
            proxy.asked.clear()
            nurl = served.nurl.text.replace("127.0.0.1", "a.example")
            nurl = nurl.replace("pb:", scheme)
            furl = f"pb://{base32.encode(tub_id())}@/x"
            ann = (
                f"{{anonymous-storage-FURL: '{furl}', anonymous-storage-NURLs: ['{nurl}']}}"
            )
            network = await self.network(config, servers=f"{{v0-a: {{ann: {ann}}}}}")
            await until(network.pool.servers)
            [server] = network.pool.servers()
            self.assertEqual(await server.buckets(INDEX), {})
            self.assertEqual(set(proxy.asked), {("a.example", served.nurl.port)})
            await network.stop()


class EndpointTests(_Case):
    def source(self, **settings: Any) -> TorSource:
        return TorSource(
            TorSettings(**settings), new_directory(self), REACTOR, self.problems
        )

    def connect(self, source: TorSource, host: str = "a.example") -> Deferred[Any]:
        _, port = self.listener()
        return source.tor().endpoint(host, port).connect(Factory.forProtocol(Protocol))

    def listener(self) -> tuple[_Counting, int]:
        factory = _Counting()
        port = REACTOR.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return factory, port.getHost().port

    async def refused(self, connecting: Deferred[Any]) -> str:
        """Return why a connection was not made."""
        with self.assertRaises(ConnectError) as caught:
            await connecting
        return str(caught.exception)

    async def test_private(self) -> None:
        """What is no address on the Internet is not asked of Tor."""
        proxy = self.proxy()
        source = self.source(socks=f"tcp:127.0.0.1:{self.socks}")
        for host in ("127.0.0.1", "10.0.0.1", "::1", "nas", "nas.local", "localhost", ""):
            told = await self.refused(self.connect(source, host))
            self.assertIn("no private address", told, host)
        self.assertEqual(proxy.asked, [])

    async def test_refuses(self) -> None:
        """That Tor does not reach one place is no fault of Tor."""
        self.proxy(refuses=True)
        await self.refused(self.connect(self.source(socks=f"tcp:127.0.0.1:{self.socks}")))
        self.assertEqual(list(self.problems), [])

    async def test_cancelled(self) -> None:
        """One that is not wanted any more leaves no connection to Tor."""
        proxy = self.proxy(answers=False)
        connecting = self.connect(self.source(socks=f"tcp:127.0.0.1:{self.socks}"))
        await until(lambda: proxy.asked)
        connecting.addErrback(lambda _: None)
        connecting.cancel()
        await connecting
        await until(lambda: proxy.gone)

    async def test_control(self) -> None:
        """The control port of Tor says where its SOCKS port is."""
        proxy = self.proxy()
        control = REACTOR.listenTCP(0, _Control.at(self.socks), interface="127.0.0.1")
        self.addCleanup(control.stopListening)
        source = self.source(control=f"tcp:127.0.0.1:{control.getHost().port}")
        protocol = await self.connect(source)
        self.assertEqual([host for host, _ in proxy.asked], ["a.example"])
        protocol.transport.abortConnection()

    async def test_no_control(self) -> None:
        """That nobody is at the control port is told, and tried again."""
        source = self.source(control=f"tcp:127.0.0.1:{self.socks}")
        for _ in range(2):
            told = await self.refused(self.connect(source))
            self.assertIn("control port in [tor] control.port does not answer", told)
        [problem] = self.problems
        self.assertIn("does not answer", problem.text)

    async def test_no_executable(self) -> None:
        """A Tor that cannot be launched is a problem, not a connection without it."""
        for executable, reason in (
            ("/nowhere/tor", "no program tor"),
            ("false", "launched"),
        ):
            source = self.source(launch=True, executable=Path(executable))
            told = await self.refused(self.connect(source))
            self.assertIn(reason, told)
            [problem] = self.problems
            self.assertIn(reason, problem.text)
            source.stop()
        self.flushLoggedErrors(RuntimeError)  # of txtorcon, which logs it too

    async def test_not_asked_for(self) -> None:
        """A server that is behind Tor makes its absence no problem of who has none."""
        source = self.source()
        self.patch(tor, "_USUAL", [f"tcp:127.0.0.1:{free_port()}" for _ in range(2)])
        await self.refused(self.connect(source))
        self.assertEqual(list(self.problems), [])

    async def test_usual(self) -> None:
        """Where Tor and the Tor Browser listen is tried in turn."""
        usual = [f"tcp:127.0.0.1:{port}" for port in (free_port(), self.socks)]
        self.patch(tor, "_USUAL", usual)
        proxy = self.proxy()
        protocol = await self.connect(self.source())
        self.assertEqual([host for host, _ in proxy.asked], ["a.example"])
        protocol.transport.abortConnection()

    async def test_back(self) -> None:
        """When Tor is there the problem is over."""
        source = self.source(socks=f"tcp:127.0.0.1:{self.socks}")
        await self.refused(self.connect(source))
        self.assertEqual(len(self.problems), 1)
        self.proxy()
        protocol = await self.connect(source)
        self.assertEqual(list(self.problems), [])
        protocol.transport.abortConnection()


class _Control(LineReceiver):
    """The control port of a Tor that listens on one port."""

    socks = 0

    @classmethod
    def at(cls, socks: int) -> Any:
        cls.socks = socks
        return Factory.forProtocol(cls)

    def lineReceived(self, line: bytes) -> None:
        word, _, rest = line.decode().partition(" ")
        if word == "PROTOCOLINFO":
            self.say("250-PROTOCOLINFO 1", "250-AUTH METHODS=NULL")
            self.say('250-VERSION Tor="0.4.8"')
        elif word == "GETINFO":
            values = {"net/listeners/socks": f'"127.0.0.1:{self.socks}" "unix:/x"'}
            values["version"] = "0.4.8.1"
            self.say(*(f"250-{name}={values.get(name, 'X')}" for name in rest.split()))
        self.say("250 OK")

    def say(self, *lines: str) -> None:
        for line in lines:
            self.sendLine(line.encode())
