"""Storage servers over foolscap that answer whatever a test tells them to."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from typing import Any

from attrs import define, field
from foolscap.api import Referenceable, Tub
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.grids import pause
from tests.ports import free_port
from truckee.storage.foolscap_schema import RIBucketReader, RIBucketWriter, RIStorageServer

MIB = 1 << 20

SERVER = str(RIStorageServer.__remote_name__)
READER = str(RIBucketReader.__remote_name__)
WRITER = str(RIBucketWriter.__remote_name__)


@define(eq=False)
class Liar(Referenceable):  # type: ignore[misc]
    """
    An object whose methods answer values, or what functions of their arguments return.

    It *claims* to be of an interface, or says nothing of it; of what foolscap checks, only
    what the asking side does is left.
    """

    claims: str
    answers: dict[str, Any] = field(factory=dict)
    # What answers all other methods, if anything does.
    honest: Any = None

    def getInterface(self) -> None:
        return None

    def getInterfaceName(self) -> str:
        return self.claims

    def doRemoteCall(self, method: str, args: Any, kwargs: Any) -> Any:
        if method in self.answers:
            answer = self.answers[method]
            return answer(*args, **kwargs) if callable(answer) else answer
        return getattr(self.honest, f"remote_{method}")(*args, **kwargs)


def raises(*_: object) -> object:
    """Fail."""
    raise RuntimeError("a\nlong" + "x" * 5000)


def never(*_: object) -> Deferred[None]:
    """Do not answer."""
    return Deferred()


@cache
def _certificate(number: int) -> bytes:
    """Return a key and its certificate; making one takes a while."""
    return bytes(Tub().getCertData())


@define(eq=False)
class Lair:
    """A tub that listens on loopback, and what it says to its one client byte by byte."""

    number: int = 0  # two at the same time have different ones
    tub: Any = field(init=False)
    _saying: list[Deferred[None]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.tub = Tub(certData=_certificate(self.number))
        self.tub.setOption("expose-remote-exception-types", False)
        self.tub.startService()
        port = free_port()
        self.tub.listenOn(f"tcp:{port}:interface=127.0.0.1")
        self.tub.setLocation(f"tcp:127.0.0.1:{port}")

    @classmethod
    def new(cls, case: TestCase, number: int = 0) -> Lair:
        """Return one that lives as long as a test."""
        lair = cls(number)
        case.addCleanup(lair.tub.stopService)
        return lair

    def furl(self, thing: Referenceable) -> str:
        """Serve *thing*."""
        return str(self.tub.registerReference(thing))

    @property
    def broker(self) -> Any:
        """The connection, as foolscap has it."""
        [broker] = self.tub.brokers.values()
        return broker

    def answer_with(
        self, talk: Callable[[Any], Coroutine[Deferred[Any], Any, None]]
    ) -> Callable[..., Deferred[None]]:
        """
        Return a method that begins an answer and leaves the rest of it to *talk*.

        That gets the connection, and writes tokens or bytes to it.
        """

        def method(*_: object) -> Deferred[None]:
            broker = self.broker
            broker.sendOpen()
            broker.sendToken(b"answer")
            broker.sendToken(max(broker.activeLocalCalls))
            self.say(talk(broker))
            return Deferred()

        return method

    def say(self, talk: Coroutine[Deferred[Any], Any, None]) -> None:
        """Begin with *talk*."""
        self._saying.append(Deferred.fromCoroutine(talk))

    async def end(self) -> None:
        """Return when all was said."""
        while self._saying:
            await self._saying.pop()
        await pause(0.1)  # it is heard then


def string_of(announced: int, sent: int) -> Callable[[Any], Any]:
    """Return how to begin a string of *announced* bytes and to end after *sent* ones."""

    async def talk(broker: Any) -> None:
        header = bytearray()
        while announced >> 7 * len(header):
            header.append(announced >> 7 * len(header) & 0x7F)
        broker.transport.write(bytes(header) + b"\x82")
        for _ in range(sent // MIB):
            broker.transport.write(bytes(MIB))
            await pause()

    return talk


def lists_of_lists(depth: int) -> Callable[[Any], Any]:
    """Return how to say a list that holds a list, and so on, to *depth*."""

    async def talk(broker: Any) -> None:
        opened = []
        for _ in range(depth):
            opened.append(broker.sendOpen())
            broker.sendToken(b"list")
        for each in reversed(opened):
            broker.sendClose(each)

    return talk


def readers(numbers: Mapping[int, Any]) -> dict[Any, Liar]:
    """Return readers of shares, each with what answers its reads."""
    return {number: Liar(READER, {"read": read}) for number, read in numbers.items()}
