"""Keys that are ready before they are needed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.codec.mutable_example import signing_key
from tests.grids import new_workers, until
from truckee.codec.rsa_keys import SigningKey
from truckee.mutable.key_pool import KeyPool, NoMoreKeys


@define(eq=False)
class Generator:
    """Makes keys that are told apart, when it is let."""

    made: int = 0
    under_way: int = 0
    most: int = 0  # under way at once
    gate: threading.Semaphore = field(factory=lambda: threading.Semaphore(0))
    fails: Callable[[], bool] = lambda: False
    _lock: threading.Lock = field(factory=threading.Lock)

    def __call__(self) -> SigningKey:
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            self.gate.acquire()
            if self.fails():
                raise ZeroDivisionError("no randomness")
        finally:
            with self._lock:
                self.under_way -= 1
                self.made += 1
        return SigningKey(b"%d" % self.made, signing_key()._key)


class KeyPoolTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.cpu = new_workers(self, 4)
        self.generator = Generator()
        self.pool = KeyPool(self.cpu, 3, self.generator)
        # The workers end only when what they do has.
        self.addCleanup(self.generator.gate.release, 1000)
        self.addCleanup(self.pool.stop)

    def let(self, count: int) -> None:
        """Let some keys be made."""
        self.generator.gate.release(count)

    async def test_ready(self) -> None:
        """Keys are made before they are taken, up to a number; one is replaced."""
        self.let(100)
        self.pool.start()
        await until(lambda: self.pool.ready == 3)
        self.assertEqual((self.generator.made, self.generator.most), (3, 1))
        taken = [self.successResultOf(Deferred.fromCoroutine(self.pool.take()))]
        self.assertEqual(taken[0].der, b"1")
        await until(lambda: self.pool.ready == 3)
        self.assertEqual(self.generator.made, 4)

    async def test_waiting(self) -> None:
        """Who comes before a key is ready waits for one; each gets another one."""
        self.pool.start()
        waiting = [Deferred.fromCoroutine(self.pool.take()) for _ in range(5)]
        self.assertFalse(any(each.called for each in waiting))
        self.let(5)
        self.assertEqual(len({(await each).der for each in waiting}), 5)
        self.let(3)
        await until(lambda: self.pool.ready == 3)

    async def test_side_by_side(self) -> None:
        """From when the last one was taken all workers make keys, until one is ready."""
        self.pool.start()
        self.let(3)
        await until(lambda: self.pool.ready == 3)
        for _ in range(2):
            await self.pool.take()
        await until(lambda: self.generator.under_way == 1)
        await self.pool.take()
        await until(lambda: self.generator.under_way == 3)
        waiting = [Deferred.fromCoroutine(self.pool.take()) for _ in range(3)]
        await until(lambda: self.generator.under_way == 4)
        self.let(4)
        for each in waiting:
            await each
        await until(lambda: self.pool.ready == 1 and self.generator.under_way == 2)
        self.assertEqual((self.generator.made, self.generator.most), (7, 4))

    async def test_without_start(self) -> None:
        """A pool that was not started makes only what is taken."""
        self.let(10)
        self.assertEqual((await self.pool.take()).der, b"1")
        self.assertEqual((self.generator.made, self.generator.under_way), (1, 0))

    async def test_cancelled(self) -> None:
        """One who gives up leaves the key to the next."""
        first = Deferred.fromCoroutine(self.pool.take())
        second = Deferred.fromCoroutine(self.pool.take())
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.let(1)
        self.assertEqual((await second).der, b"1")

    async def test_failure(self) -> None:
        """All who wait hear why no key came; the next one tries again."""
        self.generator.fails = lambda: self.generator.made == 0
        self.pool.start()
        waiting = [Deferred.fromCoroutine(self.pool.take()) for _ in range(2)]
        self.let(1)
        for each in waiting:
            with self.assertRaises(ZeroDivisionError):
                await each
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.let(10)
        self.assertNotEqual((await self.pool.take()).der, b"1")

    async def test_stop(self) -> None:
        """After the end nobody waits and nothing is begun; what was under way is lost."""
        self.pool.start()
        waiting = Deferred.fromCoroutine(self.pool.take())
        await until(lambda: self.generator.under_way == 4)
        self.pool.stop()
        self.failureResultOf(waiting, NoMoreKeys)
        self.let(100)
        await until(lambda: not self.generator.under_way)
        with self.assertRaises(NoMoreKeys):
            await self.pool.take()
        await self.cpu.run(int)
        self.assertEqual((self.pool.ready, self.generator.made), (0, 4))

    async def test_real_key(self) -> None:
        """Without a generator keys are RSA keys of their own."""
        pool = KeyPool(self.cpu)
        first, second = await pool.take(), await pool.take()
        self.assertNotEqual(first.der, second.der)
        signature = first.sign(b"message")
        self.assertTrue(first.verifying_key.is_signature(signature, b"message"))
