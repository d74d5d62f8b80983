"""Properties as XML."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.webdav.properties import Facts, ShownLock, describe, needs_size
from truckee.frontends.webdav.xml_in import PropFind, dav, parse_xml
from truckee.frontends.webdav.xml_out import END, START

LOCK = ShownLock("urn:uuid:1", True, False, "<o>me</o>", 60, "/dav/x/a%26b")
FILE = Facts(
    "/dav/x/a%26b",
    "a&b<\x00\ufffe\U00010000",
    size=5,
    tag="t",
    modified=0.0,
    created=0.0,
    content_type="text/plain",
    dead={"{urn:x}dead": '<n:dead xmlns:n="urn:x">1</n:dead>'},
    locks=[LOCK],
    lockable=True,
    quota=(10, 20),
)
ALL = PropFind(all=True)


class DescribeTests(SynchronousTestCase):
    def told(self, facts: Facts, asked: PropFind) -> dict[int, dict[str, Element]]:
        """Return the properties by status and name."""
        root = parse_xml((START + describe(facts, asked) + END).encode())
        found: dict[int, dict[str, Element]] = {}
        for each in root.iter(dav("propstat")):
            status = int(each.findtext(dav("status"), "").split()[1])
            found[status] = {prop.tag: prop for prop in each.iterfind(f"{dav('prop')}/*")}
        return found

    def test_all(self) -> None:
        """All that is known, but for what is dear; whatever the name it is XML."""
        found = self.told(FILE, ALL)
        self.assertEqual(list(found), [200])
        texts = {name: each.text for name, each in found[200].items()}
        self.assertEqual(texts[dav("displayname")], "a&b<\ufffd\ufffd\U00010000")
        self.assertEqual(texts[dav("getcontentlength")], "5")
        self.assertEqual(texts[dav("getetag")], '"t"')
        self.assertEqual(texts[dav("creationdate")], "1970-01-01T00:00:00Z")
        self.assertEqual(texts[dav("getlastmodified")], "Thu, 01 Jan 1970 00:00:00 GMT")
        self.assertEqual(texts["{urn:x}dead"], "1")
        self.assertNotIn(dav("quota-used-bytes"), found[200])

    def test_names(self) -> None:
        found = self.told(FILE, PropFind(all=True, names_only=True))[200]
        self.assertTrue(all(each.text is None and not len(each) for each in found.values()))
        self.assertIn("{urn:x}dead", found)

    def test_named(self) -> None:
        """What there is and what there is not, each with its status."""
        names = (
            dav("quota-available-bytes"),
            "{urn:x}dead",
            "{urn:y&}no",
            "none",
            dav("no"),
        )
        found = self.told(FILE, PropFind(names))
        self.assertEqual(list(found[200]), list(names[:2]))
        self.assertEqual(list(found[404]), list(names[2:]))
        self.assertEqual(self.told(FILE, PropFind()), {200: {}})

    def test_directory(self) -> None:
        """A directory is one, and has no length."""
        found = self.told(Facts("/d/", "d", is_directory=True), ALL)[200]
        self.assertIsNotNone(found[dav("resourcetype")].find(dav("collection")))
        self.assertNotIn(dav("getcontentlength"), found)
        self.assertEqual(len(found[dav("supportedlock")]), 0)

    def test_locks(self) -> None:
        """Locks that there are, and those that there may be."""
        found = self.told(FILE, ALL)[200]
        self.assertEqual(len(found[dav("supportedlock")]), 2)
        [lock] = found[dav("lockdiscovery")]
        self.assertEqual(lock.findtext(dav("depth")), "0")
        self.assertEqual(lock.findtext("o"), "me")
        self.assertEqual(lock.findtext(f"{dav('locktoken')}/{dav('href')}"), "urn:uuid:1")
        self.assertEqual(lock.findtext(f"{dav('lockroot')}/{dav('href')}"), FILE.href)
        shared = self.told(evolve(FILE, locks=[evolve(LOCK, exclusive=False)]), ALL)[200]
        self.assertIsNotNone(shared[dav("lockdiscovery")].find(f".//{dav('shared')}"))

    def test_costly(self) -> None:
        """Servers are asked about a mutable file for what only they know."""
        self.assertTrue(needs_size(ALL))
        self.assertTrue(needs_size(PropFind((dav("getetag"),))))
        self.assertFalse(needs_size(PropFind((dav("resourcetype"),))))
        self.assertFalse(needs_size(PropFind(all=True, names_only=True)))
