"""Exact bytes of the files in which shares are kept."""

from __future__ import annotations

import os
import shutil
import time
from hashlib import blake2b
from pathlib import Path
from struct import pack

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from tests.grids import OTHER_SECRETS, SECRETS, files_below, new_directory
from tests.powercut.recorder import Recorder
from tests.powercut.replay import cut_at
from tests.storage.test_open_files import descriptors_below
from truckee.codec.secrets import LeaseSecrets
from truckee.storage.open_files import OpenFiles
from truckee.storage.sharefiles import IncomingShare, ShareDirectory, ShareFile

MONTH = 31 * 24 * 60 * 60
NOW = 1_700_000_000.9
# In base32: "nfuws2ljnfuws2ljnfuws2ljne".
INDEX = b"i" * 16
NAME = "nfuws2ljnfuws2ljnfuws2ljne"


def hashed(secret: bytes) -> bytes:
    """A secret as containers of version 2 keep it."""
    return blake2b(secret, digest_size=32).digest()


def lease(owner: int, secrets: LeaseSecrets, expires: int, version: int = 2) -> bytes:
    """The 72 bytes of a lease."""
    stored = hashed if version == 2 else bytes
    return pack(">L32s32sL", owner, stored(secrets.renew), stored(secrets.cancel), expires)


def container(share: bytes, *leases: bytes, version: int = 2) -> bytes:
    """A whole file."""
    return pack(">LLL", version, len(share), len(leases)) + share + b"".join(leases)


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = new_directory(self)
        self.directory = ShareDirectory(self.root)
        self.directory.clear_incoming()
        self.path = self.directory.home(INDEX) / "7"

    def incoming(self, name: str = "7", files: OpenFiles | None = None) -> IncomingShare:
        """Return a share on its way."""
        path = self.directory.incoming(INDEX) / name
        files = files or OpenFiles()
        share = IncomingShare(path, self.directory, INDEX, int(name), files)
        share.create()
        return share

    def put(self, data: bytes, name: str = "7") -> Path:
        """Have a file among the finished shares."""
        path = self.directory.home(INDEX) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def the_share(self) -> ShareFile:
        """Return share 7."""
        return self.directory.shares(INDEX)[7]


class CreateTests(_Case):
    def disturbed(self, times: int) -> Path:
        """Create a share while its directory is removed at each step, so many times."""
        left = times

        def remove(path: Path) -> None:
            nonlocal left
            if left and path.is_relative_to(self.root / "shares" / "incoming"):
                left -= 1
                shutil.rmtree(self.root / "shares" / "incoming" / "nf", ignore_errors=True)

        is_dir, make, place = Path.is_dir, os.mkdir, self.directory.incoming(INDEX)

        def mkdir(path: Path, mode: int = 0o777) -> None:
            try:
                make(path, mode)
            finally:
                remove(path)

        def looked_at(path: Path) -> bool:
            remove(path)
            return is_dir(path)

        place.mkdir(parents=True)
        self.patch(os, "mkdir", mkdir)
        self.patch(Path, "is_dir", looked_at)
        self.incoming("8").discard()
        self.assertEqual(left, 0)
        return place

    def test_directory_goes(self) -> None:
        """A share is made although its directory is removed again and again."""
        for times in range(1, 8):
            self.disturbed(times)

    def test_it_always_goes(self) -> None:
        """Nobody tries for ever."""
        with self.assertRaises(FileNotFoundError):
            self.disturbed(10**9)

    def test_twice(self) -> None:
        """A share that is being written is not begun again."""
        self.incoming("8")
        with self.assertRaises(FileExistsError):
            self.incoming("8")


class PlaceTests(_Case):
    def test_places(self) -> None:
        """Shares are where stock servers have them."""
        shares = self.root / "shares"
        self.assertEqual(self.directory.home(INDEX), shares / "nf" / NAME)
        self.assertEqual(self.directory.incoming(INDEX), shares / "incoming" / "nf" / NAME)

    def test_free_space(self) -> None:
        """Free space is what an unprivileged writer can have."""
        status = os.statvfs(self.root)
        self.assertLessEqual(self.directory.free_space(), status.f_bfree * status.f_frsize)
        self.assertGreater(self.directory.free_space(), 0)

    def test_clear_incoming(self) -> None:
        """What a dead process was writing goes; what is finished stays."""
        self.put(container(b"finished"))
        share = self.incoming("8")
        share.write(0, [b"half a"])
        self.directory.clear_incoming()
        self.directory.clear_incoming()
        self.assertEqual(files_below(self.root), [self.path])
        self.assertTrue((self.root / "shares" / "incoming").is_dir())

    def test_shares(self) -> None:
        """The finished shares of a file are those files that are containers."""
        self.assertEqual(self.directory.shares(INDEX), {})
        for name in ("0", "7", "255", "999"):
            self.put(container(b"share " + name.encode()), name)
        self.put(container(b"old", version=1), "1")
        for name, data in {
            "2": b"",
            "3": b"short",
            "4": pack(">LLL", 3, 0, 0),
            "5": pack(">LLL", 2, 0, 1),
            "6": pack(">LLL", 2, 0, 2**32 - 1) + bytes(200),
            "007": container(b"another name"),
            "+8": container(b"no number"),
            "8 ": container(b"no number"),
            "1000": container(b"too large"),
            "\u0663": container(b"another digit"),
            "x": container(b"no number"),
        }.items():
            self.put(data, name)
        (self.directory.home(INDEX) / "9").mkdir()
        found = self.directory.shares(INDEX)
        self.assertEqual(set(found), {0, 1, 7, 255, 999})
        self.assertEqual(found[7].read(0, 99), b"share 7")

    def test_a_file_where_the_directory_should_be(self) -> None:
        """A file in the way of a file's directory is no share."""
        self.directory.home(INDEX).parent.mkdir(parents=True)
        self.directory.home(INDEX).write_bytes(b"")
        self.assertEqual(self.directory.shares(INDEX), {})


class WriteTests(_Case):
    def test_bytes(self) -> None:
        """A published share is a container of version 2 with the lease of its writer."""
        share = self.incoming()
        share.write(3, [b"lo", b" ", b"world"])
        share.write(0, [b"hel"])
        share.publish(11, SECRETS, NOW)
        expected = container(b"hello world", lease(0, SECRETS, 1_700_000_000 + MONTH))
        self.assertEqual(self.path.read_bytes(), expected)
        self.assertEqual(files_below(self.root), [self.path])

    def test_cut_and_hole(self) -> None:
        """A share ends where it is told to; what was never written is zeros."""
        for size, data in ((3, b"abc"), (0, b""), (8, b"abcde\0\0\0")):
            share = self.incoming()
            share.write(0, [b"abcde"])
            share.publish(size, SECRETS, NOW)
            expected = container(data, lease(0, SECRETS, 1_700_000_000 + MONTH))
            self.assertEqual(self.path.read_bytes(), expected)

    def test_nothing_to_see(self) -> None:
        """Until it is published a share is under incoming/ only, and no share at all."""
        share = self.incoming()
        share.write(0, [b"abcde"])
        self.assertEqual(files_below(self.root), [self.directory.incoming(INDEX) / "7"])
        self.assertEqual(self.directory.shares(INDEX), {})
        share.discard()

    def test_discard(self) -> None:
        """A discarded share leaves no file and no directory, and can be discarded again."""
        share = self.incoming()
        share.write(0, [b"abcde"])
        share.discard()
        share.discard()
        left = [path.relative_to(self.root) for path in self.root.rglob("*")]
        self.assertEqual(sorted(map(str, left)), ["shares", "shares/incoming"])

    def test_siblings(self) -> None:
        """Shares of one file come and go without taking the directory from each other."""
        for _ in range(3):
            first, second = self.incoming("1"), self.incoming("2")
            first.discard()
            second.write(0, [b"x"])
            second.publish(1, SECRETS, NOW)
            self.incoming("3").discard()
        self.assertEqual(set(self.directory.shares(INDEX)), {2})

    def test_one_writer(self) -> None:
        """A share that is in progress cannot be begun again."""
        share = self.incoming()
        with self.assertRaises(FileExistsError):
            self.incoming()
        share.discard()

    def publish(self, name: str) -> None:
        """Store a share."""
        share = self.incoming(name)
        share.write(0, [b"abcde"])
        share.publish(5, SECRETS, NOW)

    def test_syncs(self) -> None:
        """The top directory is synced for the first share of a prefix, or of a new one."""
        real, synced = os.fsync, list[int]()

        def fsync(descriptor: int) -> None:
            synced.append(os.fstat(descriptor).st_ino)
            real(descriptor)

        self.patch(os, "fsync", fsync)
        top, home = (self.root / "shares").stat().st_ino, self.directory.home(INDEX)
        for name, times in (("1", 1), ("2", 0)):
            synced.clear()
            self.publish(name)
            self.assertEqual(synced.count(top), times)
            for each in (home / name, home, home.parent):
                self.assertEqual(synced.count(each.stat().st_ino), 1)
        shutil.rmtree(home.parent)
        self.publish("3")
        self.assertEqual(synced.count(top), 1)

    def test_power_cuts(self) -> None:
        """A share that was published outlives a cut; before, it is whole or not there."""
        recorder = Recorder(self.root)
        with recorder.recording():
            for name in ("7", "8"):
                self.publish(name)
                recorder.mark(name)
        whole = self.path.read_bytes()

        async def check(left: Path, promises: list[object]) -> list[str]:
            home = ShareDirectory(left).home(INDEX)
            found = list(home.iterdir()) if home.exists() else []
            missing = {*map(str, promises)} - {path.name for path in found}
            return [f"{name} is gone" for name in missing] + [
                f"{path.name} is torn" for path in found if path.read_bytes() != whole
            ]

        for step in range(len(recorder.steps) + 1):
            for seed in range(5):
                cut = ensureDeferred(cut_at(recorder, step, seed, check))
                self.assertIsNone(self.successResultOf(cut))

    def test_written(self) -> None:
        """Bytes written are counted."""
        share = self.incoming()
        share.write(10, [b"abc", b"", b"de"])
        share.write(0, [b"f"])
        self.assertEqual(share.written, 6)
        share.discard()


class ReadTests(_Case):
    def test_read(self) -> None:
        """Only the share is read, neither header nor leases."""
        self.put(container(b"0123456789", lease(0, SECRETS, 1), lease(1, OTHER_SECRETS, 2)))
        share = self.the_share()
        self.assertEqual(share.length, 10)
        for offset, length, expected in (
            (0, 100, b"0123456789"),
            (9, 100, b"9"),
            (10, 1, b""),
            (11, 5, b""),
            (1 << 63, 5, b""),
            (1 << 64, 1 << 64, b""),
        ):
            self.assertEqual(share.read(offset, length), expected)

    def test_length_field_is_ignored(self) -> None:
        """The length in the header may say anything."""
        self.put(pack(">LLL", 2, 3, 1) + b"0123456789" + lease(0, SECRETS, 1))
        self.assertEqual(self.the_share().read(0, 100), b"0123456789")


class LeaseTests(_Case):
    def renew(self, owner: int, secrets: LeaseSecrets, now: float) -> None:
        self.the_share().renew_lease(owner, secrets, now)

    def test_added(self) -> None:
        """Unknown secrets add a lease behind the others, and the share stays as it was."""
        first = lease(0, SECRETS, 1000)
        self.put(container(b"share", first))
        self.renew(1, OTHER_SECRETS, NOW)
        second = lease(1, OTHER_SECRETS, 1_700_000_000 + MONTH)
        self.assertEqual(self.path.read_bytes(), container(b"share", first, second))
        self.assertEqual(self.the_share().read(0, 100), b"share")

    def test_added_to_none(self) -> None:
        """A share without a lease gets one."""
        self.put(container(b"share"))
        self.renew(0, SECRETS, NOW)
        expected = container(b"share", lease(0, SECRETS, 1_700_000_000 + MONTH))
        self.assertEqual(self.path.read_bytes(), expected)

    def test_renewed(self) -> None:
        """Known secrets renew their lease, whoever owns it, and no other one."""
        first, second = lease(0, SECRETS, 1000), lease(1, OTHER_SECRETS, 1000)
        self.put(container(b"share", first, second))
        self.renew(0, OTHER_SECRETS, NOW)
        renewed = lease(1, OTHER_SECRETS, 1_700_000_000 + MONTH)
        self.assertEqual(self.path.read_bytes(), container(b"share", first, renewed))
        self.renew(1, SECRETS, 5.5)
        renewed_too = lease(0, SECRETS, 5 + MONTH)
        self.assertEqual(self.path.read_bytes(), container(b"share", renewed_too, renewed))

    def test_never_shorter(self) -> None:
        """Renewing never makes a lease shorter."""
        whole = container(b"share", lease(0, SECRETS, 2_000_000_000))
        self.put(whole)
        self.renew(0, SECRETS, NOW)
        self.assertEqual(self.path.read_bytes(), whole)

    def test_only_the_renew_secret_counts(self) -> None:
        """A lease is known by its renew secret."""
        self.put(container(b"share", lease(0, SECRETS, 1000)))
        self.renew(1, LeaseSecrets(SECRETS.renew, b"x" * 32), NOW)
        expected = container(b"share", lease(0, SECRETS, 1_700_000_000 + MONTH))
        self.assertEqual(self.path.read_bytes(), expected)

    def test_old_containers(self) -> None:
        """In a container of version 1 secrets stand as they are, new ones too."""
        old = lease(0, SECRETS, 1000, version=1)
        self.put(container(b"share", old, version=1))
        self.renew(0, SECRETS, NOW)
        self.renew(1, OTHER_SECRETS, NOW)
        until = 1_700_000_000 + MONTH
        expected = container(
            b"share",
            lease(0, SECRETS, until, 1),
            lease(1, OTHER_SECRETS, until, 1),
            version=1,
        )
        self.assertEqual(self.path.read_bytes(), expected)

    def test_between_record_and_count(self) -> None:
        """Killed between the new record and the count, the share is still the share."""
        whole = container(b"share", lease(0, SECRETS, 1000))
        self.put(whole + lease(1, OTHER_SECRETS, 1000))
        self.assertTrue(self.the_share().read(0, 100).startswith(b"share"))


class CorruptionTests(_Case):
    def test_note(self) -> None:
        """A note says which share and why; a second one about the share is not kept."""
        self.directory.note_corruption(INDEX, 7, "it smells")
        self.directory.note_corruption(INDEX, 7, "it still does")
        self.directory.note_corruption(INDEX, 77, "so does this")
        notes = sorted((self.root / "corruption-advisories").iterdir())
        self.assertEqual(
            [n.name.split("--")[1] for n in notes], [f"{NAME}-7", f"{NAME}-77"]
        )
        time.strptime(notes[0].name.split("--")[0], "%Y-%m-%dT%H%M%SZ")
        text = notes[0].read_text("utf-8")
        self.assertIn(f"storage_index: {NAME}\nshare_number: 7\n\nit smells\n", text)


class DescriptorTests(_Case):
    def test_few(self) -> None:
        """Any number of shares can be written at once with a few descriptors."""
        files = OpenFiles(kept=2)
        shares = [self.incoming(str(number), files) for number in range(10)]
        for offset in range(3):
            for number, share in enumerate(shares):
                share.write(offset, [b"%d" % number])
        self.assertLessEqual(len(descriptors_below(self.root)), 2)
        for share in shares:
            share.publish(3, SECRETS, NOW)
        self.assertEqual(descriptors_below(self.root), [])
        for number, file in self.directory.shares(INDEX).items():
            self.assertEqual(file.read(0, 9), b"%d" % number * 3)

    def test_lost_write(self) -> None:
        """An error that the disk had while a share had no descriptor is not forgotten."""
        files = OpenFiles(kept=1)
        first = self.incoming("1", files)
        first.write(0, [b"x"])
        # A pipe takes no fdatasync: the only such error that can be had without a bad disk.
        (descriptor, _), end = files._idle[self.directory.incoming(INDEX) / "1"], os.pipe()
        os.dup2(end[0], descriptor)
        self.addCleanup(os.close, end[1])
        os.close(end[0])
        self.incoming("2")  # of another cache
        self.incoming("3", files)
        for refused in (
            lambda: first.write(1, [b"y"]),
            lambda: first.publish(2, SECRETS, NOW),
        ):
            self.assertRaises(OSError, refused)
        first.discard()
