"""XML that clients send."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from truckee.frontends.webdav.xml_in import (
    MAX_BODY,
    MAX_DEPTH,
    MAX_ELEMENTS,
    BadXml,
    LockInfo,
    PropertyChange,
    PropFind,
    dav,
    parse_lockinfo,
    parse_propfind,
    parse_proppatch,
    parse_xml,
)


def document(inner: str, root: str = "propfind") -> bytes:
    """Return a document whose root is of WebDAV."""
    return f'<D:{root} xmlns:D="DAV:" xmlns:x="urn:x">{inner}</D:{root}>'.encode()


class BoundTests(SynchronousTestCase):
    def refuse(self, body: bytes, reason: str = "") -> None:
        """Fail unless *body* is refused, for that reason."""
        error = self.assertRaises(BadXml, parse_xml, body)
        self.assertIn(reason, str(error))

    def test_entities(self) -> None:
        """No entity is defined, neither one that grows nor one of a file."""
        grows = "".join(
            f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(9)
        )
        for inside in (grows, '<!ENTITY e8 SYSTEM "file:///etc/passwd">'):
            self.refuse(f"<!DOCTYPE a [{inside}]><a>&e8;</a>".encode(), "DTD")

    def test_dtd(self) -> None:
        """There is no DTD at all: nobody is asked for one."""
        self.refuse(b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd"><a/>')
        self.refuse(b"<!DOCTYPE a><a/>")

    def test_depth(self) -> None:
        """Elements are so deep at most."""
        parse_xml(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH)
        self.refuse(b"<a>" * 10_000 + b"</a>" * 10_000, "inside each other")

    def test_elements(self) -> None:
        """There are so many at most."""
        parse_xml(b"<a>" + b"<b/>" * (MAX_ELEMENTS - 1) + b"</a>")
        self.refuse(b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>", "elements")

    def test_size(self) -> None:
        self.refuse(b"<a>" + b" " * MAX_BODY + b"</a>", "bytes")

    def test_malformed(self) -> None:
        """What is not well-formed is refused, and not repeated in the answer."""
        for body in (
            b"",
            b"secret",
            b"<a>",
            b"<a></b>",
            b"<a/><b/>",
            b"<a b='1' b='2'/>",
            b"<x:a/>",
            b'<a xmlns:x=""/>',
            b"<a>\xff</a>",
            b"<a>\x00</a>",
            b"<a>&secret;</a>",
            b'<?xml version="1.0" encoding="secret"?><a/>',
        ):
            error = self.assertRaises(BadXml, parse_xml, body)
            self.assertNotIn("secret", str(error))

    def test_encodings(self) -> None:
        """What XML has besides UTF-8 is understood."""
        text = '<?xml version="1.0" encoding="utf-16"?><\u00e4/>'
        self.assertEqual(parse_xml(text.encode("utf-16")).tag, "\u00e4")


class PropFindTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """All, names alone, or those that are named, each once and in their order."""
        named = PropFind((dav("b"), "{urn:x}a", "c"))
        for inner, wanted in (
            ("<D:allprop/>", PropFind(all=True)),
            ("<D:propname/>", PropFind(all=True, names_only=True)),
            ("<D:allprop/><D:include><x:a/></D:include>", PropFind(("{urn:x}a",), True)),
            ("<D:prop><D:b/><x:a/><c/><D:b/></D:prop>", named),
            ("<x:new/><D:prop/>", PropFind()),
        ):
            self.assertEqual(parse_propfind(document(inner)), wanted)
        self.assertEqual(parse_propfind(b""), PropFind(all=True))

    def test_wrong(self) -> None:
        for body in (document(""), document("<D:prop/><D:allprop/>"), b"<propfind/>"):
            self.assertRaises(BadXml, parse_propfind, body)


class PropPatchTests(SynchronousTestCase):
    def test_order(self) -> None:
        """What is set and removed stands in the order of the request."""
        changes = parse_proppatch(
            document(
                "<D:set><D:prop><x:a>1</x:a><b/></D:prop></D:set>"
                "<D:remove><D:prop><x:a/></D:prop></D:remove>"
                "<D:set><D:prop><x:a>2</x:a></D:prop></D:set>",
                "propertyupdate",
            )
        )
        said = [(each.name, each.element is not None) for each in changes]
        self.assertEqual(
            said, [("{urn:x}a", True), ("b", True), ("{urn:x}a", False), ("{urn:x}a", True)]
        )
        self.assertEqual([each.text for each in changes], ["1", "", "", "2"])

    def test_language(self) -> None:
        """A language that holds for all of them is kept with each."""
        [change] = parse_proppatch(
            document(
                '<D:set><D:prop xml:lang="de"><x:a>\U00010000</x:a></D:prop></D:set>',
                "propertyupdate",
            )
        )
        self.assertIn('xml:lang="de"', change.element or "")
        self.assertIn("\U00010000", change.element or "")

    def test_nothing(self) -> None:
        self.assertRaises(BadXml, parse_proppatch, document("", "propertyupdate"))
        self.assertEqual(PropertyChange("a").text, "")


class LockInfoTests(SynchronousTestCase):
    def test_lock(self) -> None:
        """Scope, and what a client says of itself."""
        write = "<D:locktype><D:write/></D:locktype>"
        shared = f"<D:lockscope><D:shared/></D:lockscope>{write}"
        self.assertEqual(parse_lockinfo(document(shared, "lockinfo")), LockInfo(False))
        info = parse_lockinfo(
            document(
                f"<D:lockscope><D:exclusive/></D:lockscope>{write}"
                "<D:owner><x:a>me &amp; you</x:a></D:owner>tail",
                "lockinfo",
            )
        )
        self.assertTrue(info.exclusive)
        self.assertIn("me &amp; you", info.owner)
        self.assertNotIn("tail", info.owner)

    def test_wrong(self) -> None:
        for inner in (
            "",
            "<D:lockscope/>",
            "<D:lockscope/><D:locktype><D:write/></D:locktype>",
        ):
            self.assertRaises(BadXml, parse_lockinfo, document(inner, "lockinfo"))
