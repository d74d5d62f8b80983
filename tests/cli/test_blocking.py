"""Talking to a gateway without Twisted, also to what is none."""

from __future__ import annotations

import socket
import subprocess
import sys
from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

from truckee.cli.blocking import BlockingGateway, complete
from truckee.cli.problems import Problem, Unreachable

SMALL = ("alias", "check", "ln", "ls", "mkdir", "mv", "rm")


class BlockingTests(SynchronousTestCase):
    def ask(self, *answers: bytes) -> list[tuple[int, bytes]]:
        """Return what is read of *answers*, one for each connection to a server."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        self.asked: list[bytes] = []

        def serve() -> None:
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    self.asked.append(connection.recv(65536))
                    connection.sendall(answer)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        gateway = BlockingGateway(f"http://127.0.0.1:{listening.getsockname()[1]}/below/")
        self.addCleanup(gateway.close)
        found = [complete(gateway.exchange("GET", "uri?x", None, 10)) for _ in answers]
        thread.join()
        return found

    def test_answers(self) -> None:
        """A body is read to its end, or as far as is wanted."""
        head = b"HTTP/1.1 404 x\r\nConnection: close\r\nContent-Length: "
        self.assertEqual(
            self.ask(head + b"3\r\n\r\nabc", head + b"12\r\n\r\nabcdefghijkl"),
            [(404, b"abc"), (404, b"abcdefghij")],
        )
        self.assertTrue(self.asked[0].startswith(b"GET /below/uri?x HTTP/1.1\r\n"))

    def test_no_gateway(self) -> None:
        """Each way to be none has its sentence."""
        head = b"HTTP/1.1 200 x\r\n"
        for answer, kind, reason in (
            (b"", Unreachable, "it closed the connection"),
            (head + b"Content-Length: 9\r\n\r\nabc", Unreachable, "it broke off"),
            (head + b"Transfer-Encoding: chunked\r\n\r\n3", Unreachable, "it broke off"),
            (b"220 mail.example ESMTP\r\n", Problem, "it does not speak HTTP"),
        ):
            with self.assertRaises(kind) as caught:
                self.ask(answer)
            self.assertIn(reason, caught.exception.message)
        for url, reason in (
            ("http://127.0.0.1:1/", "nothing listens there"),
            ("http://no-such-host.invalid/", "no machine is known by that name"),
        ):
            with self.assertRaises(Unreachable) as caught:
                complete(BlockingGateway(url).exchange("GET", "", None, 10))
            self.assertIn(reason, caught.exception.message)

    def test_kept(self) -> None:
        """One connection serves many requests."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                while connection.recv(65536):
                    connection.sendall(b"HTTP/1.1 200 x\r\nContent-Length: 1\r\n\r\nx")

        Thread(target=serve, daemon=True).start()
        gateway = BlockingGateway(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        for _ in range(3):
            found = complete(gateway.exchange("PUT", "uri", b"body", 10))
            self.assertEqual(found, (200, b"x"))
        gateway.close()

    def test_light(self) -> None:
        """Small commands do not load Twisted, which takes longer than all they do."""
        names = ", ".join(f"truckee.cli.{name}" for name in SMALL)
        code = f"import sys, {names}; print('twisted' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        self.assertEqual(done.stdout, b"False\n")
