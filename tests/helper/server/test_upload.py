"""One file at a helper, from its ciphertext to its shares; no network in between."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from itertools import product
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.grids import calm, failing, hanging, new_small_disk, pause, until
from tests.helper.helped import INDEX, PARAMETERS, Content, Helped, begin
from truckee.codec.geometry import Encoding
from truckee.grid.selection import NotEnoughServers
from truckee.helper.errors import ContentDiffers, Gap, HelperBusy, HelperFull, UploadOver
from truckee.helper.server.limits import HelperLimits
from truckee.helper.server.stored import Stored
from truckee.helper.server.upload import HelperUpload
from truckee.helper.wire import Parameters

# More than two segments and a tail.
SIZE = 200


class _Case(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.helped = Helped.new(self)
        self.content = Content(SIZE)
        self.data = self.content.ciphertext

    async def open(self, size: int | None = None, longer: bool = False) -> HelperUpload:
        """Take part in the upload."""
        upload = await self.helped.uploads.open(INDEX, PARAMETERS, size, longer)
        assert isinstance(upload, HelperUpload)
        return upload

    async def finish(self, upload: HelperUpload) -> Stored:
        """End it as a client does whose file it is."""
        return await upload.finish(SIZE, self.content.root)


class PushTests(_Case):
    async def test_any_order(self) -> None:
        """
        Whatever is pushed, in whatever pieces and how often, each byte is taken once; what
        would leave a hole is refused, and changes nothing.
        """
        for seed in range(40):
            chance = random.Random(seed)
            upload = await self.open(SIZE if seed % 2 else None)
            while upload.held < SIZE:
                start = chance.randrange(SIZE)
                end = min(SIZE, start + chance.randrange(90))
                before = upload.held
                if start > before:
                    with self.assertRaises(Gap):
                        await upload.append(start, self.data[start:end])
                    self.assertEqual(upload.held, before)
                else:
                    held = await upload.append(start, self.data[start:end])
                    self.assertEqual(held, max(before, end))
                self.assertEqual(self.helped.uploads.used, upload.held)
            await self.finish(upload)
            upload.leave()
            await self.helped.assert_stored(self.content)
            self.helped.remove_shares()

    async def test_past_the_end(self) -> None:
        """Nothing is taken of a message that goes past a known size."""
        upload = await self.open(SIZE)
        await upload.append(0, self.data[:150])
        for start, data in ((150, bytes(51)), (0, bytes(SIZE + 1)), (150, bytes(1 << 20))):
            with self.assertRaises(Gap):
                await upload.append(start, data)
        self.assertEqual(upload.held, 150)
        await upload.append(100, self.data[100:])
        # And what is there already is passed over, also when it is all there.
        self.assertEqual(await upload.append(0, self.data), SIZE)
        await self.finish(upload)
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_side_by_side(self) -> None:
        """Pushes that are under way together are taken in their order."""
        upload = await self.open()
        pushes = [
            begin(upload.append(at, self.data[at : at + 7])) for at in range(0, SIZE, 7)
        ]
        self.assertEqual([await each for each in pushes][-1], SIZE)
        await self.finish(upload)
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_over(self) -> None:
        """When it is over nothing is taken, and nothing can be asked."""
        upload = await self.open(SIZE)
        await upload.append(0, self.data[:50])
        upload.leave()
        for work in (upload.append(50, b"x"), upload.finish(50, None), upload.digest()):
            with self.assertRaises(UploadOver):
                await work
        await self.helped.assert_settled()
        self.assertEqual(self.helped.path("incoming").read_bytes(), self.data[:50])


class UnknownSizeTests(_Case):
    async def test_streams(self) -> None:
        """A file is coded while it comes, also if nobody knows how long it will be."""
        upload = await self.open()
        await upload.append(0, self.data[:150])
        await until(lambda: upload.stored == 128)
        self.assertTrue(self.helped.incoming_shares())
        await upload.append(150, self.data[150:])
        stored = await self.finish(upload)
        self.assertEqual(sorted(stored.shares), [0, 1, 2])
        upload.leave()
        await self.helped.assert_stored(self.content)
        await self.helped.assert_nothing_kept()

    async def test_fails_on_the_way(self) -> None:
        """If that fails, it is coded in the end, and not before."""
        upload = await self.open()
        for server in self.helped.grid.servers:
            server.mood = failing("write")
        await upload.append(0, self.data[:150])
        await until(lambda: upload.stored == 128)
        await pause(0.1)
        await upload.append(150, self.data[150:])
        await until(lambda: not upload.coding)
        for server in self.helped.grid.servers:
            server.mood = calm
        (await self.open()).leave()
        self.assertEqual(self.helped.incoming_shares(), [])
        await self.finish(upload)
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_longer_than_servers_were_asked_for(self) -> None:
        """So is one that becomes longer than what servers were asked to have room for."""
        self.helped.uploads.quotas.limits = HelperLimits(open_ended=150)
        upload = await self.open()
        await upload.append(0, self.data)
        await until(lambda: not upload.coding)
        self.assertEqual(self.helped.incoming_shares(), [])
        await self.finish(upload)
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_wrong_root(self) -> None:
        """What was coded on the way and is another file is seen by no reader."""
        upload = await self.open()
        await upload.append(0, self.data)
        with self.assertRaises(ContentDiffers):
            await upload.finish(SIZE, bytes(32))
        upload.leave()
        await self.helped.assert_nothing_kept()

    async def test_left(self) -> None:
        """Shares that were begun are given up with the upload, its ciphertext is kept."""
        upload = await self.open()
        await upload.append(0, self.data[:150])
        await until(lambda: upload.stored == 128)
        upload.leave()
        await until(lambda: upload.ended)
        self.assertEqual(self.helped.incoming_shares(), [])
        again = await self.open()
        self.assertEqual(again.held, 150)
        await until(lambda: again.stored == 128)
        await again.append(150, self.data[150:])
        await self.finish(again)
        again.leave()
        await self.helped.assert_stored(self.content)


class JoinTests(_Case):
    async def test_together(self) -> None:
        """Two bring the same file at once; both get the answer, known size or not."""
        for known in (True, False):
            first = await self.open(SIZE if known else None)
            second = await self.open(SIZE if known else None)
            self.assertIs(first, second)
            for at in range(0, SIZE, 20):
                await first.append(at, self.data[at : at + 20])
                await second.append(at, self.data[at : at + 20])
                self.assertEqual(self.helped.uploads.used, at + 20)
            answers = [begin(self.finish(each)) for each in (first, second)]
            told = [await answer for answer in answers]
            self.assertEqual(told[0], told[1])
            first.leave()
            second.leave()
            await self.helped.assert_stored(self.content)
            self.helped.remove_shares()

    async def test_one_leaves(self) -> None:
        """When one of two leaves, the other goes on; not even a wish to forget harms it."""
        for forget in (True, False):
            first, second = await self.open(SIZE), await self.open(SIZE)
            await first.append(0, self.data[:100])
            first.leave(forget)
            await pause(0.01)
            await second.append(100, self.data[100:])
            await self.finish(second)
            second.leave()
            await self.helped.assert_stored(self.content)
            self.helped.remove_shares()

    async def test_late(self) -> None:
        """Who joins finds what is held, and its digest."""
        first = await self.open()
        for at in (0, 1, 63, 64, 150):
            await first.append(0, self.data[:at])
            second = await self.open()
            digest = hashlib.sha256(self.data[:at]).digest() if at else b""
            self.assertEqual(await second.digest(), (at, digest))
            second.leave()
        first.leave(forget=True)
        await self.helped.assert_nothing_kept()

    async def test_others(self) -> None:
        """Who wants another shape, or says another size, has to wait."""
        upload = await self.open(SIZE)
        for parameters, size in (
            (Parameters(2, 2, 3, 64), SIZE),
            (Parameters(3, 1, 3, 66), SIZE),
            (Parameters(2, 1, 3, 32), SIZE),
            (PARAMETERS, SIZE - 1),
            (PARAMETERS, SIZE + 1),
        ):
            with self.assertRaises(HelperBusy):
                await self.helped.uploads.open(INDEX, parameters, size)
        # Not to know the size is not to say another one.
        joined = await self.open()
        self.assertIs(joined, upload)
        self.assertEqual(upload.users, 2)
        upload.leave()
        joined.leave(forget=True)
        await self.helped.assert_nothing_kept()

    async def test_joined_at_the_end(self) -> None:
        """Who comes while it ends waits, and then begins again or finds it stored."""
        upload = await self.open(SIZE)
        await upload.append(0, self.data[:50])
        upload.leave()
        again = await self.open(SIZE)
        self.assertIsNot(again, upload)
        self.assertTrue(upload.ended)
        self.assertEqual(again.held, 50)
        await again.append(50, self.data[50:])
        await self.finish(again)
        answer = await self.helped.uploads.open(INDEX, PARAMETERS, SIZE)
        assert isinstance(answer, Stored)
        self.assertEqual(answer.found, 3)
        again.leave()


class ResumeTests(_Case):
    async def test_anywhere(self) -> None:
        """Left at any byte it goes on from there, whoever knows the size then."""
        for at in (*range(0, SIZE, 9), 63, 64, 65, 128, SIZE - 1, SIZE):
            for before, after in product((True, False), repeat=2):
                if at == SIZE and before:
                    continue  # then it is stored without anybody
                upload = await self.open(SIZE if before else None)
                await upload.append(0, self.data[:at])
                upload.leave()
                await self.helped.assert_settled()
                upload = await self.open(SIZE if after else None)
                digest = hashlib.sha256(self.data[:at]).digest() if at else b""
                self.assertEqual(await upload.digest(), (at, digest))
                await upload.append(at, self.data[at:])
                await self.finish(upload)
                upload.leave()
                await self.helped.assert_stored(self.content)
                self.helped.remove_shares()

    async def test_nothing_held(self) -> None:
        """An upload that brought nothing leaves no file."""
        for size in (SIZE, None):
            (await self.open(size)).leave()
            await self.helped.assert_nothing_kept()

    async def test_left_when_complete(self) -> None:
        """A complete file of known size is stored without anybody."""
        upload = await self.open(SIZE)
        await upload.append(0, self.data)
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_whole_by_chance(self) -> None:
        """What has the size of a file by chance is stored only if somebody says so."""
        upload = await self.open()
        await upload.append(0, self.data)
        upload.leave()
        await self.helped.assert_settled()
        for _ in range(3):
            upload = await self.open(SIZE)
            self.assertTrue(upload.complete)
            await pause(0.05)
            upload.leave()
            await self.helped.assert_settled()
            self.assertEqual(self.helped.grid.shares(INDEX), {})
        upload = await self.open(SIZE)
        await self.finish(upload)
        upload.leave()
        await self.helped.assert_stored(self.content)


class ForgetTests(_Case):
    async def test_any_time(self) -> None:
        """What the last one wants forgotten is, complete or not, at whatever moment."""
        for known in (True, False):
            for at in (0, 50, 64, 150, SIZE):
                for steps in range(12):
                    upload = await self.open(SIZE if known else None)
                    await upload.append(0, self.data[:at])
                    for _ in range(steps):
                        await pause()
                    self.assertIsNone(upload.result)
                    upload.leave(forget=True)
                    await self.helped.assert_nothing_kept()
                    self.assertEqual(self.helped.grid.shares(INDEX), {})

    async def test_while_it_finishes(self) -> None:
        """Also after somebody asked for the end, as long as it is not stored."""
        self.helped.grid.servers[0].mood = hanging("close")
        upload = await self.open(SIZE)
        await upload.append(0, self.data)
        finishing = begin(self.finish(upload))
        await until(lambda: upload.phase == "closing")
        await pause(0.05)
        upload.leave(forget=True)
        with self.assertRaises(UploadOver):
            await finishing
        await self.helped.assert_nothing_kept()
        self.assertEqual(self.helped.grid.shares(INDEX), {})

    async def test_stored(self) -> None:
        """What is stored stays."""
        upload = await self.open(SIZE)
        await upload.append(0, self.data)
        await self.finish(upload)
        upload.leave(forget=True)
        await self.helped.assert_stored(self.content)


class FinishTests(_Case):
    async def test_twice(self) -> None:
        """All who ask for the end get it, again and again until they leave."""
        upload = await self.open(SIZE)
        await upload.append(0, self.data)
        asked = [begin(self.finish(upload)) for _ in range(3)]
        told = [await each for each in asked]
        self.assertEqual(told, [told[0]] * 3)
        self.assertEqual(sorted(told[0].shares), [0, 1, 2])
        with self.assertRaises(UploadOver):
            await self.finish(upload)
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_wrong_root(self) -> None:
        """Ciphertext that is not what the client sent is forgotten, and no share shown."""
        for known in (True, False):
            upload = await self.open(SIZE if known else None)
            await upload.append(0, self.data)
            with self.assertRaises(ContentDiffers):
                await upload.finish(SIZE, b"r" * 32)
            upload.leave()
            await self.helped.assert_nothing_kept()
            self.assertEqual(self.helped.grid.shares(INDEX), {})

    async def test_wrong_size(self) -> None:
        """A size that is not what is held is refused, and the upload goes on."""
        for known in (True, False):
            upload = await self.open(SIZE if known else None)
            await upload.append(0, self.data[:150])
            for size in (0, 149, 151, SIZE, SIZE + 1, 2**63):
                with self.assertRaises(Gap):
                    await upload.finish(size, self.content.root)
            if known:
                with self.assertRaises(Gap):
                    await upload.finish(150, self.content.root)
            await upload.append(150, self.data[150:])
            await self.finish(upload)
            upload.leave()
            await self.helped.assert_stored(self.content)
            self.helped.remove_shares()

    async def test_held_too_much(self) -> None:
        """
        A file of which more is held than it has is not it: its client is told so, and
        nothing is stored, whether it leaves or stays.
        """
        upload = await self.open()
        await upload.append(0, self.data)
        upload.leave()
        await self.helped.assert_settled()
        for forget in (False, True):
            upload = await self.open(SIZE - 1, longer=True)
            self.assertEqual((await upload.digest())[0], SIZE)
            self.assertFalse(upload.complete)
            with self.assertRaises(Gap):
                await upload.append(SIZE - 1, b"x")
            with self.assertRaises(Gap):
                await upload.finish(SIZE - 1, None)
            await pause(0.05)
            upload.leave(forget)
            await self.helped.assert_settled()
            self.assertEqual(self.helped.grid.shares(INDEX), {})
        await self.helped.assert_nothing_kept()

    async def test_held_too_much_for_others(self) -> None:
        """Whose client cannot tell that it is another file begins at the first byte."""
        for complete in (False, True):
            upload = await self.open()
            await upload.append(0, Content(SIZE + 50).ciphertext)
            if complete:
                for server in self.helped.grid.servers:
                    server.mood = failing("allocate")
                with self.assertRaises(NotEnoughServers):
                    await upload.finish(SIZE + 50, None)
            upload.leave()
            await self.helped.assert_settled()
            for server in self.helped.grid.servers:
                server.mood = calm
            upload = await self.open(SIZE)
            self.assertEqual((upload.held, self.helped.uploads.used), (0, 0))
            await upload.append(0, self.data)
            await self.finish(upload)
            upload.leave()
            await self.helped.assert_stored(self.content)
            self.helped.remove_shares()


class ServersTests(_Case):
    async def test_nobody_there(self) -> None:
        """Without servers enough the error is told, the file kept, and stored later."""
        servers = self.helped.grid.servers
        for known in (True, False):
            kept, servers[:] = list(servers), []
            upload = await self.open(SIZE if known else None)
            await upload.append(0, self.data)
            with self.assertRaises(NotEnoughServers) as caught:
                await self.finish(upload)
            self.assertEqual((caught.exception.found, caught.exception.needed), (0, 1))
            upload.leave()
            await self.helped.assert_settled()
            names = [Path(name).name.partition(".")[2] for name in self.helped.kept]
            self.assertEqual(sorted(names), ["", "json"])
            servers[:] = kept
            upload = await self.open(SIZE if known else None)
            self.assertEqual(upload.held, SIZE)
            await self.finish(upload)
            upload.leave()
            await self.helped.assert_stored(self.content)
            self.helped.remove_shares()

    async def test_again_in_the_same_upload(self) -> None:
        """Who stays may ask for the end again, when there are servers."""
        servers = self.helped.grid.servers
        kept, servers[:] = list(servers), []
        upload = await self.open(SIZE)
        await upload.append(0, self.data)
        for _ in range(2):
            with self.assertRaises(NotEnoughServers):
                await self.finish(upload)
        servers[:] = kept
        await self.finish(upload)
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_fail_early(self) -> None:
        """An attempt that failed before all was here is made again from the file."""
        for server in self.helped.grid.servers:
            server.mood = failing("allocate")
        upload = await self.open(SIZE)
        await upload.append(0, self.data[:100])
        await until(lambda: upload.shares.failure is not None)
        for server in self.helped.grid.servers:
            server.mood = calm
        await upload.append(100, self.data[100:])
        await self.finish(upload)
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_fail_late(self) -> None:
        """So is one that fails after the end was asked for, once."""
        attempts: list[str] = []
        gate: Deferred[None] = Deferred()

        async def mood(operation: str, share: int) -> None:
            if operation == "write" and not gate.called:
                attempts.append(operation)
                if len(attempts) == 1:
                    await gate
                raise OSError(5, "the cable was pulled")

        for server in self.helped.grid.servers:
            server.mood = mood
        upload = await self.open(SIZE)
        await upload.append(0, self.data)
        await until(lambda: attempts)
        finishing = begin(self.finish(upload))
        await pause(0.02)
        self.assertFalse(finishing.called)
        gate.errback(OSError(5, "the cable was pulled"))
        await finishing
        upload.leave()
        await self.helped.assert_stored(self.content)

    async def test_fail_always(self) -> None:
        """While servers fail the client is told so, and nothing is left on them."""
        for server in self.helped.grid.servers:
            server.mood = failing("write")
        upload = await self.open(SIZE)
        await upload.append(0, self.data)
        with self.assertRaises(NotEnoughServers):
            await self.finish(upload)
        upload.leave()
        await self.helped.assert_settled()
        self.assertEqual(self.helped.grid.shares(INDEX), {})
        self.assertEqual(self.helped.uploads.used, SIZE)

    async def test_one_fails(self) -> None:
        """A server that fails costs its share and not the file."""
        grid = self.helped.grid
        grid.servers[1].mood = failing("close")
        upload = await self.open(SIZE)
        await upload.append(0, self.data)
        stored = await self.finish(upload)
        upload.leave()
        self.assertEqual(len(stored.shares), 2)
        await self.helped.assert_nothing_kept()
        self.assertEqual(await grid.read(self.content.cap), self.content.plaintext)


class DiskTests(TestCase):
    """A helper whose disk is small."""

    timeout = 120

    async def test_full(self) -> None:
        """
        When its disk is full a push fails and adds nothing; when there is space again the
        upload goes on.
        """
        disk = new_small_disk(self, 1 << 20)
        helped = Helped.new(self, home=disk / "helper", encoding=Encoding(2, 3, 1 << 16))
        content = Content(600_000, helped.grid.encoding)
        filler = disk / "filler"
        filler.write_bytes(bytes(700_000))
        parameters = Parameters(2, 1, 3, 1 << 16)
        for size in (content.size, None):
            upload = await helped.uploads.open(INDEX, parameters, size)
            assert isinstance(upload, HelperUpload)
            await upload.append(0, content.ciphertext[:200_000])
            with self.assertRaises(HelperFull):
                await upload.append(200_000, content.ciphertext[200_000:])
            self.assertEqual(upload.held, 200_000)
            self.assertEqual(helped.uploads.used, 200_000)
            self.assertEqual(helped.path("incoming").stat().st_size, 200_000)
            filler.unlink()
            await upload.append(200_000, content.ciphertext[200_000:])
            await upload.finish(content.size, content.root)
            upload.leave()
            await helped.assert_stored(content)
            helped.remove_shares()
            filler.write_bytes(bytes(700_000))

    async def test_no_room_for_the_note(self) -> None:
        """
        Where a complete file cannot be kept as complete, the push that completed it fails;
        pushed or finished again later, it is.
        """
        disk = new_small_disk(self, 1 << 16)
        helped = Helped.new(self, home=disk / "helper")
        content = Content(4096)
        for again in ("push", "finish"):
            for server in helped.grid.servers:
                server.mood = failing("allocate")
            upload = await helped.uploads.open(INDEX, PARAMETERS, content.size)
            assert isinstance(upload, HelperUpload)
            await upload.append(0, content.ciphertext[:-1])
            filler = disk / "filler"
            _fill(filler)
            with self.assertRaises(HelperFull):
                await upload.append(content.size - 1, content.ciphertext[-1:])
            with self.assertRaises(HelperFull):
                await upload.finish(content.size, content.root)
            filler.unlink()
            if again == "push":
                await upload.append(content.size - 1, content.ciphertext[-1:])
                self.assertEqual(helped.path("encoding").stat().st_size, content.size)
            with self.assertRaises(NotEnoughServers):
                await upload.finish(content.size, content.root)
            self.assertEqual(helped.path("encoding").stat().st_size, content.size)
            self.assertTrue(helped.path("encoding").with_suffix(".json").exists())
            upload.leave(forget=True)
            await helped.assert_nothing_kept()

    async def test_no_room_at_all(self) -> None:
        """Where not even an empty file can be made, the helper is full."""
        disk = new_small_disk(self, 1 << 16)
        helped = Helped.new(self, home=disk / "helper")
        used = os.statvfs(disk)
        there = f"remount,nr_inodes={used.f_files - used.f_ffree}"
        subprocess.run(["mount", "-o", there, str(disk)], check=True)
        with self.assertRaises(HelperFull):
            await helped.uploads.open(INDEX, PARAMETERS, SIZE)
        await helped.assert_settled()


def _fill(path: Path) -> None:
    """Take all the space that is left."""
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
