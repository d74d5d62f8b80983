"""Values of a helper's protocols: what is told, and what the other end makes of it."""

from __future__ import annotations

from typing import Any

from foolscap.api import Referenceable
from twisted.trial.unittest import SynchronousTestCase

from truckee.helper import wire
from truckee.helper.protocol import RIHelper, RIPushUpload
from truckee.helper.wire import (
    Finished,
    Opened,
    Parameters,
    PullOpened,
    Pushed,
    Version,
)


def _fits(interface: Any, method: str, answer: object) -> None:
    """Fail unless foolscap takes *answer* for one of *method*."""
    interface[method].getResponseConstraint().checkObject(answer, False)


class AnswerTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        """Each value fits the schema, and comes out at the other end."""
        values: tuple[tuple[Any, Any, str], ...] = (
            (Opened.present(b"ueb"), RIHelper, "open_push"),
            (Opened.receive(0, b"", None), RIHelper, "open_push_v2"),
            (Opened.receive(7, b"d" * 32, None), RIHelper, "open_push"),
            (Opened.refused(wire.BUSY), RIHelper, "open_push"),
            (Pushed(1 << 40), RIPushUpload, "push"),
            (Pushed(3, wire.GAP), RIPushUpload, "push"),
            (Finished(wire.OK, b"", b"ueb", {0: [b"a", b"b"]}), RIPushUpload, "finish"),
            (Finished(wire.NO_SERVERS, b"1 2"), RIPushUpload, "finish"),
            (PullOpened(None, None), RIHelper, "upload_chk"),
            (Version.ours("1.0"), RIHelper, "get_version"),
            (Version.ours("1.0", has_channels=True), RIHelper, "get_version"),
        )
        for value, interface, method in values:
            told = value.to_wire()
            _fits(interface, method, told)
            self.assertEqual(type(value).from_wire(told), value)

    def test_order(self) -> None:
        """Parts stand where the published format has them."""
        upload = Referenceable()
        self.assertEqual(
            Opened.receive(7, b"d", upload).to_wire(),
            (b"receive", b"", 7, b"d", upload, b""),
        )
        self.assertEqual(Opened.refused(b"full").to_wire()[:2], (b"refused", b"full"))
        self.assertEqual(Opened.present(b"u").to_wire()[::5], (b"present", b"u"))
        self.assertEqual(Pushed(5, b"gap").to_wire(), (5, b"gap"))
        finished = Finished(b"failed", b"why", b"", {})
        self.assertEqual(finished.to_wire(), (b"failed", b"why", b"", {}))
        self.assertEqual(Parameters(3, 7, 10, 6).to_wire(), (3, 7, 10, 6))

    def test_open_again(self) -> None:
        """Two codes say that the upload is opened again."""
        self.assertEqual(wire.OPEN_AGAIN, {b"gap", b"closed"})


class ParametersTests(SynchronousTestCase):
    def test_nonsense(self) -> None:
        """Shapes that no file has are refused."""
        for numbers in (
            (0, 1, 1, 1),
            (-1, 1, 1, 1),
            (4, 1, 3, 64),
            (1, 1, 257, 64),
            (2, 0, 3, 64),
            (2, -1, 3, 64),
            (2, 4, 3, 64),
            (2, 1, 3, 0),
            (2, 1, 3, -2),
            (2, 1, 3, 63),
            (2, 1, 3, 2**31),
            (2, 1, 3, 2**64),
            (2**64, 1, 2**64, 2**64),
        ):
            self.assertRaises(ValueError, Parameters.from_wire, numbers)

    def test_sense(self) -> None:
        """All that stock clients do is taken."""
        for numbers in ((1, 1, 1, 1), (3, 7, 10, 3), (256, 256, 256, 1 << 20)):
            self.assertEqual(Parameters.from_wire(numbers).to_wire(), numbers)


class VersionTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """A helper says whether it can be pushed to, and whether uploads have secrets."""
        stock = {wire.HELPER: {}, b"application-version": b"tahoe-lafs/1.20.0"}
        told = Version.from_wire(stock)
        self.assertEqual(told, Version(False, False, "tahoe-lafs/1.20.0"))
        self.assertEqual(told.to_wire(), stock)
        before = Version.from_wire(stock | {wire.PUSH: {}})
        self.assertEqual((before.pushes, before.owns), (True, False))
        self.assertEqual(Version.from_wire({}).software, "?")

    def test_made_up(self) -> None:
        """A name is short and printable, and is bytes."""
        told = Version.from_wire({wire.SOFTWARE: b"\xff\n<" * 1000})
        self.assertTrue(told.software.isprintable())
        self.assertLess(len(told.software), 1000)
        for odd in (5, None, {b"a": 1}, "text"):
            with self.assertRaises(ValueError):
                Version.from_wire({wire.SOFTWARE: odd})
