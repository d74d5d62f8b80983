"""Objects of a tree that are checked while the gateway finds its servers."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.grids import REACTOR, Grid, make_file, new_tasks, pause, put_share, until
from truckee.codec.children import child_from_caps
from truckee.codec.geometry import Encoding
from truckee.codec.hashes import storage_index_of
from truckee.flow.limits import Budget
from truckee.frontends.web.checking import Checks
from truckee.frontends.web.deep_checks import DeepChecks
from truckee.immutable.check import Checker
from truckee.immutable.repair import Repairer
from truckee.tree.ahead import Settling
from truckee.tree.object_check import ObjectChecker, Wish

KEY = b"k" * 16
REPAIR = Wish(verify=False, repair=True, add_lease=False)


class DeepChecksTests(TestCase):
    async def test_servers_that_are_not_connected_yet(self) -> None:
        """A file is not repaired as long as its servers may be on their way."""
        file = make_file(random.Random(1).randbytes(1000), KEY, Encoding(2, 3, 64))
        grid = Grid.new(self, servers=4)
        for number in range(3):
            share = file.shares[number]
            put_share(grid.servers[number], storage_index_of(KEY), number, share)
        checker = Checker(grid.selector, grid.cpu, Budget(1 << 20))
        repairer = Repairer(
            checker, grid.selector, grid.journal, grid.cpu, grid.budget, REACTOR
        )
        checks = Checks(
            ObjectChecker(repairer), lambda server: server.name, new_tasks(self)
        )
        clock = Clock()
        deep = DeepChecks(checks, Settling(clock))
        servers, grid.servers = grid.servers, grid.servers[1:]
        child = child_from_caps(None, str(file.cap))

        def begin() -> Deferred[dict[str, Any]]:
            return Deferred.fromCoroutine(deep.check(child, REPAIR))

        checking = begin()
        await until(clock.getDelayedCalls)
        self.assertNoResult(checking)
        grid.servers = servers
        clock.advance(1)
        found = (await checking)["check-and-repair-results"]
        self.assertFalse(found["repair-attempted"])
        self.assertTrue(found["post-repair-results"]["results"]["healthy"])
        # Those that are not there at the end of that time are lost.
        grid.servers = servers[1:]
        checking = begin()
        while not checking.called:
            clock.advance(1)
            await pause(0.01)
        found = (await checking)["check-and-repair-results"]
        self.assertTrue(found["repair-attempted"])
        self.assertTrue(found["post-repair-results"]["results"]["healthy"])
