"""Where browsers go when a form was taken."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.web.afterwards import check_when_done, return_to, when_done
from truckee.frontends.web.arguments import BadArgument
from truckee.net.http.respond import Answer

CAP = "URI:LIT:mfrgg"


class WhenDoneTests(SynchronousTestCase):
    def lead(self, address: str) -> str:
        """Return the Location of the answer to a form that asks for *address*."""
        answer = when_done({"when_done": address}, Answer(b"done"), CAP)
        self.assertEqual((answer.status, answer.body), (302, b"done"))
        return answer.headers["location"]

    def test_addresses(self) -> None:
        """An address is gone to as it is, with the cap quoted in it."""
        for address in (".", "/x?y#z", "HTTPS://example.org/", "//example.org", "../a b"):
            self.assertEqual(self.lead(address), address)
        self.assertEqual(self.lead("/x?u=%(uri)s"), "/x?u=URI%3ALIT%3Amfrgg")

    def test_nowhere(self) -> None:
        """Without an address, or with an empty one, the answer stays what it is."""
        answer = Answer(b"done", 201)
        for args in ({}, {"when_done": ""}):
            self.assertIs(when_done(args, answer), answer)

    def test_refused(self) -> None:
        """What runs something, or is more than a line, is no address."""
        for address in (
            *("javascript:alert(1)", " JavaScript:alert(1)", "data:text/html,x"),
            *("file:///etc/passwd", "name:1", "/a\r\nb", "/a\0", "http://[::1"),
        ):
            with self.assertRaises(BadArgument):
                check_when_done({"when_done": address})


class ReturnTests(SynchronousTestCase):
    def test_here(self) -> None:
        """A link leads to a place on this gateway."""
        for address in (".", "/uri/x/?a=b", "?t=info", "../..", "a/b:c", " /x "):
            self.assertEqual(return_to({"return_to": address}), address.strip())
        self.assertEqual(return_to({}), "")

    def test_elsewhere(self) -> None:
        """No link leads away from it, in whatever way browsers read addresses."""
        for address in (
            *("http://evil.example/", "//evil.example/", "///evil.example/"),
            *(" //evil.example/", "/\\evil.example/", "\\\\evil.example", "/\t/evil"),
            *("javascript:alert(1)", "jAvAsCrIpT:x", "java\nscript:x", "data:,x"),
            *("https:evil.example", "http:/evil.example", "//[", "\u2028//evil"),
        ):
            self.assertEqual(return_to({"return_to": address}), "", address)
