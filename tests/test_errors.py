"""The four families and the sentences that their leaves say."""

from __future__ import annotations

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from truckee.errors import Corrupt, Misuse, Refused, TruckeeError, Unavailable

FAMILIES = (Misuse, Refused, Corrupt, Unavailable)


@define
class TooFew(Unavailable):
    """Only {found} of {needed} were found."""

    found: int
    needed: int


@define
class Long(Misuse):
    """
    The name {name!r} is taken.
    Choose another.
    """

    name: str


class Bare(Refused):
    pass


class ErrorTests(SynchronousTestCase):
    def test_families(self) -> None:
        """Each family is an error of the project and of no other family."""
        for family in FAMILIES:
            self.assertTrue(issubclass(family, TruckeeError))
            others = [other for other in FAMILIES if other is not family]
            self.assertFalse(any(issubclass(family, other) for other in others))
            self.assertNotEqual(str(family()), "")

    def test_sentence(self) -> None:
        """An error reads as its docstring with its fields filled in."""
        self.assertEqual(str(TooFew(2, 3)), "Only 2 of 3 were found.")

    def test_long_sentence(self) -> None:
        """A docstring of several lines is one line to the reader."""
        self.assertEqual(str(Long("a")), "The name 'a' is taken. Choose another.")

    def test_values_are_not_templates(self) -> None:
        """Braces in a field are text."""
        self.assertEqual(
            str(Long("{needed}")), "The name '{needed}' is taken. Choose another."
        )

    def test_no_docstring(self) -> None:
        """An error without a docstring says its name."""
        self.assertEqual(str(Bare()), "Bare")

    def test_caught_by_family(self) -> None:
        """A leaf is caught as its family, with its fields."""
        try:
            raise TooFew(found=2, needed=3)
        except Unavailable as error:
            assert isinstance(error, TooFew)
            self.assertEqual((error.found, error.needed), (2, 3))

    def test_identity(self) -> None:
        """Two errors that say the same are two, and can be kept in a set."""
        self.assertEqual(len({TooFew(2, 3), TooFew(2, 3)}), 2)
