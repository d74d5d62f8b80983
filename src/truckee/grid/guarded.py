"""A reactor that connects only where a policy allows."""

from __future__ import annotations

from typing import Any

from foolscap.connections.tcp import DefaultTCP
from twisted.internet.error import ConnectError
from zope.interface import directlyProvides, providedBy

from truckee.grid.addresses import AddressPolicy


class GuardedReactor:
    """
    Does what *reactor* does, but for TCP connections to addresses that are not allowed.

    Names were resolved when it is asked, so that it does not matter what they say.
    """

    def __init__(self, reactor: Any, policy: AddressPolicy) -> None:
        self._reactor = reactor
        self._policy = policy
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def connectTCP(self, host: str, *arguments: Any, **options: Any) -> Any:
        """See ``IReactorTCP``.  :raises ConnectError: when the address is not allowed."""
        if not self._policy.allows(host):
            raise ConnectError(string="an announced address is not allowed here")
        return self._reactor.connectTCP(host, *arguments, **options)


class GuardedTCP(DefaultTCP):  # type: ignore[misc]
    """Has a foolscap tub connect over TCP only where a policy allows."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy

    def hint_to_endpoint(self, hint: str, reactor: Any, update_status: Any) -> Any:
        """See ``IConnectionHintHandler``."""
        guarded = GuardedReactor(reactor, self._policy)
        return DefaultTCP.hint_to_endpoint(self, hint, guarded, update_status)
