"""One server that announces itself under many names is one server."""

from __future__ import annotations

from tests.grid.test_pool import _Case
from tests.grids import until
from truckee.codec import base32
from truckee.grid.placement import happiness


class ManyNamesTests(_Case):
    def hear(self, name: str, furl: str, seed: bytes, *, static: bool = False) -> None:
        """Hear of the server at *furl*."""
        fields = {"permutation-seed-base32": base32.encode(seed), "nickname": name}
        announcement = self.announced(name, furl, **fields)
        (self.pool.add_static if static else self.pool.heard)(announcement)

    def connected(self, *names: str) -> bool:
        """Tell whether all connections that are wanted are there."""
        return all(self.pool.known[name].server is not None for name in names)

    async def test_three_names(self) -> None:
        """Three keys and seeds of one tub count once, on pages and for happiness too."""
        _, furl = self.serve()
        for name in ("v0-c", "v0-a", "v0-b"):
            self.hear(name, furl, name.encode())
        await until(lambda: self.connected("v0-a", "v0-b", "v0-c"))
        [server] = self.pool.servers()
        self.assertEqual(happiness({n: self.pool.servers() for n in range(3)}), 1)
        [status] = self.pool.statuses()
        self.assertEqual(status.server_id, "v0-a")
        self.assertEqual(self.pool.server_id(server.lease_seed), b"v0-a")

    async def test_which(self) -> None:
        """The lowest server id counts, whatever was heard first; the operator's before."""
        _, furl = self.serve()
        self.hear("v0-b", furl, b"bb")
        await until(lambda: self.connected("v0-b"))
        self.assertEqual(self.pool.servers()[0].permutation_seed, b"bb")
        self.hear("v0-a", furl, b"aa")
        await until(lambda: self.connected("v0-a"))
        self.assertEqual(self.pool.servers()[0].permutation_seed, b"aa")
        self.hear("zz", furl, b"zz", static=True)
        await until(lambda: self.connected("zz"))
        [server] = self.pool.servers()
        self.assertEqual(server.permutation_seed, b"zz")

    async def test_squatter(self) -> None:
        """Whoever announces the tub of another, and cannot connect us to it, is none."""
        _, furl = self.serve()
        _, other = self.serve()
        swapped = f"{furl.partition('@')[0]}@{other.partition('@')[2]}"
        self.hear("v0-a", swapped, b"aa")
        self.hear("v0-b", furl, b"bb")
        await until(lambda: self.connected("v0-b"))
        self.assertEqual([each.permutation_seed for each in self.pool.servers()], [b"bb"])

    async def test_one_key(self) -> None:
        """Two tubs that announce one key are one name, that which was heard last."""
        _, one = self.serve()
        _, other = self.serve()
        self.hear("v0-a", one, b"aa")
        await until(lambda: self.connected("v0-a"))
        self.hear("v0-a", other, b"aa")
        await until(lambda: self.connected("v0-a"))
        self.assertEqual(len(self.pool.servers()), 1)
        self.assertEqual(self.pool.known["v0-a"].announcement.furl, other)
