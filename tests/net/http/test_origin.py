"""Which requests are answered, going by their Host, Origin and Sec-Fetch headers."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from truckee.net.http.authority import Authority, parse_authority
from truckee.net.http.base_url import parse_base_url
from truckee.net.http.forwarded import Forwarded, parse_trusted
from truckee.net.http.origin import (
    AllowedHosts,
    Asked,
    BadHost,
    CrossSite,
    NotForThat,
    Sender,
    UnknownHost,
    admit,
    allowed_hosts,
)

HERE = "127.0.0.1:3456"
OURS = f"http://{HERE}"
OTHER = "http://evil.example"


def asked(method: str = "POST", host: str = HERE, **more: Any) -> Asked:
    """Return a request to *host* over plain HTTP."""
    return Asked(method, **{"schemes": ("http",), "hosts": (host,)} | more)


class HostTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        """An address literal and localhost are ours, with any port or none."""
        for host in (
            *("127.0.0.1", "127.0.0.1:3456", "[::1]:3456", "[::1]", "192.168.1.5:80"),
            *("localhost", "LocalHost:3456", "localhost.", "0.0.0.0:1", "127.0.0.1:"),
        ):
            self.assertIs(admit(asked(host=host), AllowedHosts()), Sender.OURS, host)

    def test_other_names(self) -> None:
        """Any other name may lead here by its owner's will, and is refused."""
        for host in (
            *("evil.example", "evil.example:3456", "127.0.0.1.evil.example", "x"),
            *("localhost.evil.example", "notlocalhost", "sub.localhost", "127.1"),
            *("2130706433", "0x7f.0.0.1", "127.0.0.01", "localhost..", "1.2.3.4.5"),
        ):
            with self.assertRaises(UnknownHost, msg=host):
                admit(asked(host=host), AllowedHosts())

    def test_malformed(self) -> None:
        """What is no authority, and a second Host, are refused."""
        for host in (
            *("", ":3456", "a b", "user@127.0.0.1", "127.0.0.1/x", "[::1", "::1"),
            *("[evil]", "[127.0.0.1]x", "a:b", "1:2:3", "ü", "localhost:123456", "."),
            *("127.0.0.1, evil", "a\tb", "[fe80::1%25eth0]", "http://localhost", "*"),
        ):
            with self.assertRaises(BadHost, msg=host):
                admit(asked(host=host), AllowedHosts())
        with self.assertRaises(BadHost):
            admit(asked(hosts=(HERE, HERE)), AllowedHosts())

    def test_configured(self) -> None:
        """Names that the operator gives are ours, with their port if they have one."""
        hosts = allowed_hosts("files.example,  Other:8080 https://tls.example/")
        for host in ("files.example", "FILES.example:99", "other:8080", "tls.example"):
            self.assertIs(admit(asked(host=host), hosts), Sender.OURS)
        for host in ("other", "other:80", "x.files.example"):
            with self.assertRaises(UnknownHost):
                admit(asked(host=host), hosts)

    def test_wrong_configuration(self) -> None:
        """An entry that is no name is an error for the operator."""
        for text in (
            "*",
            "ftp://x",
            "http://",
            "a/b",
            "x, *.example",
            "a@b",
            "https://a/b",
        ):
            with self.assertRaises(ValueError, msg=text):
                allowed_hosts(text)

    def test_endpoint(self) -> None:
        """The interface that is listened on is ours; a Unix socket has no name."""
        hosts = allowed_hosts("", "tcp:3456:interface=nas.lan")
        self.assertIs(admit(asked(host="nas.lan:3456"), hosts), Sender.OURS)
        hosts = allowed_hosts("", "unix:/run/truckee.sock:mode=660")
        self.assertIs(admit(asked(host="whatever.example"), hosts), Sender.OURS)
        with self.assertRaises(UnknownHost):
            admit(asked(host="nas.lan"), allowed_hosts("", "tcp:3456:interface=127.0.0.1"))

    def test_shown(self) -> None:
        """The text of a refusal is one short line, whatever the header was."""
        with self.assertRaises(UnknownHost) as caught:
            admit(asked(host="x" * 5000), AllowedHosts())
        self.assertLess(len(str(caught.exception)), 400)

    def test_authority(self) -> None:
        """Names are compared without case, a dot at the end, brackets and other zeros."""
        self.assertEqual(parse_authority("A.B.:080"), Authority("a.b", 80))
        self.assertEqual(parse_authority("[::A]"), Authority("::a"))


class OriginTests(SynchronousTestCase):
    def refused(self, hosts: AllowedHosts | None = None, **more: Any) -> bool:
        """Return whether a request is refused as one of another site."""
        try:
            admit(asked(**more), hosts or AllowedHosts())
        except CrossSite:
            return True
        return False

    def test_no_browser(self) -> None:
        """Programs, which send neither header, may do everything."""
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
            self.assertFalse(self.refused(method=method))
        self.assertFalse(self.refused(hosts=AllowedHosts(), origins=()))

    def test_same_origin(self) -> None:
        """A page of ours may do everything."""
        for method in ("GET", "POST", "DELETE"):
            self.assertFalse(self.refused(method=method, origins=(OURS,)))
            self.assertFalse(
                self.refused(method=method, origins=(OURS,), sites=("same-origin",))
            )
        self.assertFalse(self.refused(host="localhost", origins=("http://localhost:80",)))
        self.assertFalse(self.refused(host="localhost:80", origins=("http://localhost",)))

    def test_other_origin(self) -> None:
        """Scheme, host and port are all compared; of several all have to be ours."""
        for origin in (
            *("null", "", "http://evil.example", "https://127.0.0.1:3456", "file://"),
            *("http://127.0.0.1", "http://127.0.0.1:3457", "http://localhost:3456"),
            *(
                "http://x@127.0.0.1:3456",
                f"{OURS}/",
                f"{OURS}.evil",
                "chrome-extension://a",
            ),
            *(f"{OURS} ", f"{OURS},{OURS}", HERE, "HTTP://127.0.0.1:3456"),
        ):
            for method in ("POST", "PUT", "DELETE", "PATCH", "GET", "HEAD", "OPTIONS"):
                self.assertTrue(self.refused(method=method, origins=(origin,)), origin)
        self.assertTrue(self.refused(origins=(OURS, "null")))

    def test_other_sites(self) -> None:
        """What a browser says is of another site is refused, of the same site too."""
        for site in ("cross-site", "same-site", "", "other"):
            self.assertTrue(self.refused(sites=(site,)))
            self.assertTrue(self.refused(sites=("same-origin", site)))
            self.assertTrue(self.refused(method="GET", sites=(site,), modes=("no-cors",)))

    def test_proxy(self) -> None:
        """Behind a proxy that speaks TLS the operator says so; then only that counts."""
        host, page = "files.example", "https://files.example"
        self.assertTrue(self.refused(allowed_hosts(host), host=host, origins=(page,)))
        hosts = allowed_hosts(page)
        self.assertFalse(self.refused(hosts, host=host, origins=(page,)))
        self.assertTrue(self.refused(hosts, host=host, origins=("http://files.example",)))
        both = AllowedHosts(any_host=True)
        more: Any = {"schemes": ("http", "https"), "host": host}
        self.assertFalse(self.refused(both, origins=(page,), **more))
        self.assertTrue(self.refused(both, origins=("https://evil.example",), **more))

    def test_rewritten_host(self) -> None:
        """
        Where a proxy asks us by another name, a browser vouches for its own pages: of what
        came over TLS or from its machine, where no name can be made to lead elsewhere.
        """
        ours: Any = {"sites": ("same-origin",)}
        for page in ("https://files.example", "http://127.0.0.1:81", "http://localhost"):
            self.assertFalse(self.refused(origins=(page,), **ours), page)
            for sites in ((), ("none",), ("same-site",), ("cross-site",)):
                self.assertTrue(self.refused(origins=(page,), sites=sites), (page, sites))
            for other in ("cross-site", "same-origin"):
                both = ("same-origin", other)
                self.assertTrue(self.refused(origins=(page,), sites=both))
        for page in ("http://files.example", "http://10.0.0.1", "null", "", OTHER):
            self.assertTrue(self.refused(origins=(page,), **ours), page)
        self.assertTrue(self.refused(origins=("https://files.example", "null"), **ours))
        with self.assertRaises(UnknownHost):
            admit(asked(host="evil.example", origins=(OTHER,), **ours), AllowedHosts())

    def test_base_url(self) -> None:
        """The address that the operator names is ours under any name the proxy uses."""
        for text, origin in (
            ("https://files.example/tahoe/", "https://files.example"),
            ("https://files.example:8443", "https://files.example:8443"),
            ("http://10.0.0.1:80/", "http://10.0.0.1"),
        ):
            hosts = AllowedHosts(base=parse_base_url(text))
            name = origin.partition("://")[2]
            for host in (HERE, "localhost", name, name.partition(":")[0]):
                self.assertFalse(self.refused(hosts, host=host, origins=(origin,)), host)
                for page in (OTHER, f"{origin}1", "https://10.0.0.1", "null"):
                    self.assertTrue(self.refused(hosts, host=host, origins=(page,)), page)
            # A page of the same site elsewhere that asks us past the proxy.
            for site in ("cross-site", "same-site"):
                self.assertTrue(self.refused(hosts, origins=(origin,), sites=(site,)))
            self.assertFalse(self.refused(hosts, origins=(OURS,)))
            with self.assertRaises(UnknownHost):
                admit(asked(host="evil.example"), hosts)

    def test_forwarded(self) -> None:
        """What a proxy says we were asked for by is ours if we are known by it."""
        said = Forwarded(("10.0.0.1:8080",))
        page = "http://10.0.0.1:8080"
        self.assertFalse(self.refused(origins=(page,), forwarded=said))
        self.assertTrue(self.refused(origins=("https://10.0.0.1:8080",), forwarded=said))
        said = Forwarded(("10.0.0.1:8080",), "https")
        self.assertTrue(self.refused(origins=(page,), forwarded=said))
        self.assertFalse(self.refused(origins=("https://10.0.0.1:8080",), forwarded=said))

    def test_forwarded_names(self) -> None:
        """A name that is not ours is no help, and with a proxy that is named a refusal."""
        said = Forwarded(("evil.example",))
        self.assertTrue(self.refused(origins=("http://evil.example",), forwarded=said))
        admit(asked(forwarded=said), AllowedHosts())
        for hosts in (
            AllowedHosts(base=parse_base_url("https://files.example/")),
            AllowedHosts(proxies=parse_trusted("127.0.0.1")),
        ):
            for names in (("evil.example",), ("10.0.0.1", "evil.example")):
                with self.assertRaises(UnknownHost):
                    admit(asked(forwarded=Forwarded(names)), hosts)
            with self.assertRaises(BadHost):
                admit(asked(forwarded=Forwarded(("a/b",))), hosts)

    def test_what_to_do(self) -> None:
        """A refusal names the line that helps if it was a page of ours after all."""
        for page, line in (
            ("http://files.example", "web.base-url = http://files.example/"),
            ("null", "web.base-url = https://NAME/"),
        ):
            with self.assertRaises(CrossSite) as caught:
                admit(asked(origins=(page,)), AllowedHosts())
            self.assertIn(line, str(caught.exception))

    def test_links(self) -> None:
        """A link elsewhere may be followed here, and shows what it leads to on its own."""
        link: Any = {
            "sites": ("cross-site",),
            "modes": ("navigate",),
            "destinations": ("document",),
        }
        self.assertIs(admit(asked("GET", **link), AllowedHosts()), Sender.VISIT)
        for change in (
            {"method": "POST"},
            {"origins": ("null",)},
            {"modes": ("cors",)},
            {"modes": ("navigate", "navigate")},
            {"destinations": ("image",)},
            {"destinations": ("empty",)},
        ):
            self.assertTrue(self.refused(**{"method": "GET"} | link | change), change)

    def test_players(self) -> None:
        """A film's own page is sandboxed, so its player asks as one of another site."""
        film: Any = {"sites": ("cross-site",), "destinations": ("video",), "player": True}
        for origins in ((), ("null",)):
            self.assertIs(
                admit(asked("GET", origins=origins, **film), AllowedHosts()), Sender.PLAYER
            )
        self.assertTrue(
            self.refused(method="GET", origins=("http://evil.example",), **film)
        )
        self.assertTrue(self.refused(method="POST", **film))

    def test_frames(self) -> None:
        """A page of ours has frames, which only read; no other page has one of ours."""
        frame: dict[str, Any] = {"destinations": ("iframe",), "modes": ("navigate",)}
        own = admit(asked("GET", sites=("same-origin",), **frame), AllowedHosts())
        self.assertIs(own, Sender.FRAME)
        for method, sites in (
            ("POST", ("same-origin",)),
            *(("GET", (site,)) for site in ("cross-site", "same-site", "none")),
            ("GET", ()),
            ("GET", ("same-origin", "same-origin")),
        ):
            with self.assertRaises(NotForThat):
                admit(asked(method, sites=sites, **frame), AllowedHosts())

    def test_never(self) -> None:
        """Nothing runs as a worker or is embedded, for pages of ours either."""
        with self.assertRaises(NotForThat):
            admit(asked("GET", worker_script=True), AllowedHosts())
        for kind in ("serviceworker", "worker", "sharedworker", "frame", "object", "xslt"):
            with self.assertRaises(NotForThat):
                admit(
                    asked("GET", destinations=(kind,), sites=("same-origin",)),
                    AllowedHosts(),
                )
