"""Clients and servers that mean harm with share channels."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from twisted.internet.threads import deferToThread

from tests.grids import new_directory
from tests.storage.gbs_served import certificate
from tests.storage.test_server_channels import DATA, INDEX, ChannelCase
from truckee.net.blocking_tls import (
    Ended,
    Line,
    client_context,
    fingerprint_of,
    server_context,
)
from truckee.node.tub import new_identity
from truckee.storage import channel_server
from truckee.storage.channel_client import Seats
from truckee.storage.channel_frames import (
    GREETING,
    QUESTION_SIZE,
    READY,
    TICKET_SIZE,
    Answer,
    Kind,
    Question,
)


class ClientTests(ChannelCase):
    """Who knows the port, and who has a ticket and sends nonsense."""

    def greeted(self) -> Line:
        """Return a connection on which the ticket is awaited; blocks."""
        raw = socket.create_connection(("127.0.0.1", self.served.port))
        raw.sendall(GREETING)
        assert raw.recv(len(READY)) == READY
        return Line.asking(raw, client_context(), fingerprint_of(certificate()))

    def ended(self, line: Line) -> bool:
        """Tell whether the server hangs up; blocks."""
        try:
            line.receive(1)
        except (OSError, Ended):
            return True
        finally:
            line.close()
        return False

    async def test_tickets(self) -> None:
        """No ticket lets anybody in but the right one, once."""
        right = self.served.channels.ticket("somebody")

        def enter(ticket: bytes) -> Line:
            line = self.greeted()
            line.send([ticket])
            return line

        for wrong in (bytes(TICKET_SIZE), right[::-1]):
            line = await deferToThread(enter, wrong)
            self.assertTrue(await deferToThread(self.ended, line))
        first = await deferToThread(enter, right)
        second = await deferToThread(enter, right)
        self.assertTrue(await deferToThread(self.ended, second))
        first.close()

    async def test_nonsense(self) -> None:
        """What is no question ends the channel, and no other."""
        good = Question(Kind.READ, 0, INDEX, bytes(32), 0, 1).pack()
        for bad in (b"\0" + good[1:], b"\3" + good[1:], good[:-4] + b"\xff" * 4):
            ticket = self.served.channels.ticket("somebody")

            def ask(ticket: bytes = ticket, bad: bytes = bad) -> bool:
                line = self.greeted()
                line.send([ticket, bad])
                return self.ended(line)

            self.assertTrue(await deferToThread(ask))
        await self.store()

    async def test_half_a_write(self) -> None:
        """Whoever does not send what he announced keeps nobody waiting."""
        lines = []
        for _ in range(3):
            ticket = self.served.channels.ticket("somebody")

            def begin(ticket: bytes = ticket) -> Line:
                line = self.greeted()
                question = Question(Kind.WRITE, 0, INDEX, bytes(32), 0, 1 << 20)
                line.send([ticket, question.pack(), b"x"])
                return line

            lines.append(await deferToThread(begin))
        await self.store()
        for line in lines:
            line.close()

    async def test_dropped(self) -> None:
        """A stranger that is dropped has no connection any more; there are not many."""
        lines = [await deferToThread(self.greeted) for _ in range(2)]
        for channel in list(self.served.channels._greeted):
            self.served.admission._drop(channel.transport)
        for line in lines:
            self.assertTrue(await deferToThread(self.ended, line))
        self.patch(channel_server, "MOST_GREETED", 1)
        first = await deferToThread(self.greeted)
        with self.assertRaises((OSError, AssertionError)):
            await deferToThread(self.greeted)
        first.close()
        await self.store()

    async def test_other_shares(self) -> None:
        """A handle that was not given out opens nothing."""
        await self.writer()
        ticket = self.served.channels.ticket("somebody")

        def write() -> bool:
            line = self.greeted()
            line.send(
                [ticket, Question(Kind.WRITE, 0, INDEX, bytes(32), 0, 1).pack(), b"x"]
            )
            answer = Answer.unpack(line.receive(5), 0)
            line.close()
            return answer.failed

        self.assertTrue(await deferToThread(write))
        [path] = (self.disk.directory.root / "incomplete").rglob("0.*")
        self.assertEqual(path.stat().st_size, 0)

    async def test_other_greetings(self) -> None:
        """Another version is no channel."""

        def greet() -> bytes:
            with socket.create_connection(("127.0.0.1", self.served.port)) as raw:
                raw.sendall(GREETING.replace(b"1", b"2"))
                with contextlib.suppress(ConnectionError):
                    return raw.recv(100)
                return b""

        self.assertNotEqual(await deferToThread(greet), READY)


def _always(lie: bytes, _: Question) -> bytes:
    """Answer anything with *lie*."""
    return lie


class ServerTests(ChannelCase):
    """Servers whose channels lie; what foolscap brings is believed and checked as ever."""

    async def liar(self, pem: bytes, answer: Callable[[Question], bytes]) -> None:
        """Have the client's channels end at a server with this key and these answers."""
        path = Path(new_directory(self)) / "node.pem"
        path.write_bytes(pem)
        context = server_context(path)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve() -> None:
            with contextlib.suppress(OSError, Ended):
                while True:
                    raw, _ = listener.accept()
                    raw.recv(len(GREETING))
                    raw.sendall(READY)
                    with contextlib.suppress(OSError, Ended):
                        line = Line.serving(raw, context)
                        line.receive(TICKET_SIZE)
                        while True:
                            question = Question.unpack(line.receive(QUESTION_SIZE))
                            line.send([answer(question)])

        threading.Thread(target=serve, daemon=True).start()
        self.far.channels.lost()
        port = listener.getsockname()[1]
        reactor = self.far.channels._reactor
        self.far.channels.found("127.0.0.1", port, reactor, Seats())

    async def test_other_key(self) -> None:
        """A server in between is not spoken to."""
        await self.store()
        await self.liar(new_identity(), lambda _: Answer(False, 0).pack())
        for _ in range(20):
            self.assertEqual(await self.read(), DATA)

    async def test_answers(self) -> None:
        """Answers that are none, and too long ones, are not taken."""
        await self.store()
        for lie in (b"\7\0\0\0\0", b"\0\xff\xff\xff\xff", b"\1\xff\xff\xff\xff"):
            await self.liar(certificate(), partial(_always, lie))
            for _ in range(20):
                self.assertEqual(await self.read(), DATA)
