"""
Calls whose answers are what the schema says, whoever gives them.

Foolscap checks answers of those who say which interface they have, and looks at their parts
one by one.  Who says nothing may answer anything, and what the parts make up is not looked
at.
"""

from __future__ import annotations

from typing import Any

from foolscap.api import Violation
from twisted.internet.defer import Deferred


def call(
    remote: Any, interface: Any, method: str, *arguments: object, only: Any = None
) -> Deferred[Any]:
    """
    Call a *method* of *interface* that *remote* is said to have.

    The answer fails with ``Violation`` when it is of another type, or does not fit *only*,
    a foolscap constraint that is narrower than the interface.
    """
    constraint = only or interface[method].getResponseConstraint()
    answer: Deferred[Any] = remote.callRemote(
        method, *arguments, _resultConstraint=constraint
    )

    def check(told: Any) -> Any:
        try:
            constraint.checkObject(told, True)
        except Violation:
            raise
        except Exception:
            # It looks into what it has not checked yet.
            raise Violation("an answer of another type") from None
        return told

    return answer.addCallback(check)
