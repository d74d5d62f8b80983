"""What goes over a share channel."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from truckee.storage.channel_frames import (
    ANSWER_SIZE,
    MAX_DATA,
    QUESTION_SIZE,
    Answer,
    Kind,
    Question,
    Refusal,
)


class QuestionTests(SynchronousTestCase):
    def test_bytes(self) -> None:
        """A question is the bytes that the format's page says."""
        question = Question(Kind.WRITE, 7, b"i" * 16, b"h" * 32, 258, 3)
        wanted = b"\1\7" + b"i" * 16 + b"h" * 32 + bytes(6) + b"\1\2" + b"\0\0\0\3"
        self.assertEqual(question.pack(), wanted)
        self.assertEqual(len(wanted), QUESTION_SIZE)
        self.assertEqual(Question.unpack(wanted), question)

    @given(st.binary(min_size=QUESTION_SIZE, max_size=QUESTION_SIZE))
    def test_any(self, data: bytes) -> None:
        """Any bytes are a question that is packed the same, or none."""
        try:
            question = Question.unpack(data)
        except ValueError:
            return
        self.assertEqual(question.pack(), data)
        self.assertLessEqual(question.length, MAX_DATA)

    def test_refused(self) -> None:
        """Nobody asks for more than a part of a share."""
        good = Question(Kind.READ, 0, bytes(16), bytes(32), 1 << 62, MAX_DATA).pack()
        Question.unpack(good)
        for place, byte in ((0, 0), (0, 3), (50, 0x40), (59, 0x20)):
            bad = bytearray(good)
            bad[place] |= byte
            if (place, byte) == (0, 0):
                bad[0] = 0
            if bytes(bad) != good:
                with self.assertRaises(ValueError):
                    Question.unpack(bad)


class AnswerTests(SynchronousTestCase):
    def test_bytes(self) -> None:
        """An answer is what the format's page says, and no longer than was asked for."""
        self.assertEqual(Answer(False, 5).pack(), b"\0\0\0\0\5")
        self.assertEqual(len(Answer(False, 5).pack()), ANSWER_SIZE)
        self.assertEqual(Answer.unpack(b"\0\0\0\0\5", 5), Answer(False, 5))
        for bad in (b"\0\0\0\0\6", b"\2\0\0\0\0", b"\1\0\0\4\0"):
            with self.assertRaises(ValueError):
                Answer.unpack(bad, 5)

    def test_refusal(self) -> None:
        """A refusal has a name and a reason, however long the reason is."""
        data = Refusal("NoSpace", "There is none.\nAt all.").pack()
        head, rest = data[:ANSWER_SIZE], data[ANSWER_SIZE:]
        self.assertEqual(Answer.unpack(head, 0), Answer(True, len(rest)))
        self.assertEqual(
            Refusal.unpack(rest), Refusal("NoSpace", "There is none.\nAt all.")
        )
        long = Refusal("E", "x" * 5000).pack()
        self.assertEqual(Answer.unpack(long[:ANSWER_SIZE], 0).length, 1000)
        self.assertEqual(Refusal.unpack(b"\xff").name, "\N{REPLACEMENT CHARACTER}")
