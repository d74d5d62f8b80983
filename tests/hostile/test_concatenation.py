"""Requests of a few bytes that would have a gateway store many times what was sent."""

from __future__ import annotations

from tests.integration.tus_client import TusCase, close_room, content
from tests.processes import Reply


def tearDownModule() -> None:
    """End the node."""
    close_room()


class ConcatenationTests(TusCase):
    def part(self, data: bytes) -> str:
        """Return the path of a part that has all its bytes."""
        path = self.make(f"Upload-Length: {len(data)}", "Upload-Concat: partial")
        self.assertEqual(self.patch(path, 0, data).status, 204)
        return path

    def join(self, *parts: str) -> Reply:
        """Return the answer to a request for the whole."""
        return self.say("POST", "/tus/", f"Upload-Concat: final;{' '.join(parts)}")

    def test_one_part_many_times(self) -> None:
        """A part that is named 300 times, or twice, is stored not at all."""
        part = self.part(content(200_000))
        for count in (2, 256, 300):
            self.assertEqual(self.join(*[part] * count).status, 400)
        self.check_error(self.join(part, part), 400, "more than once")
        # Another way to write the same address is the same part.
        other = self.url.rstrip("/") + part
        self.check_error(self.join(part, other), 400, "more than once")
        many = [f"/tus/{number:024}" for number in range(257)]
        self.check_error(self.join(*many), 400, "more than 256")

    def test_one_part_again_and_again(self) -> None:
        """A part is in a few files, and no more."""
        data = content(1000)
        part = self.part(data)
        for _ in range(8):
            reply = self.join(part)
            self.assertEqual(reply.status, 201, reply.body)
        self.check_file(reply.headers["upload-cap"], data)
        self.check_error(self.join(part), 403, "no more")
