"""What an upload leaves on the gateway's disk is what the README says."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import warm
from tests.processes import GridProcess, ask, eventually, running, truckee

DATA = random.Random(5).randbytes(300_000)


class KeptTests(SynchronousTestCase):
    def test_table(self) -> None:
        """One request leaves nothing; what can be resumed a record, with its cap."""
        with tempfile.TemporaryDirectory() as top:
            grid = GridProcess.create(
                Path(top) / "node", needed=1, happy=1, total=1, storage_dirs=1
            )
            with running(grid):
                self.grid = grid
                self._check_requests()
                self._check_resumable(Path(top) / "file")
                self._check_open()

    def _check_requests(self) -> None:
        uri = f"{self.grid.url}uri"
        for arguments in (
            ("-T", "-", uri),
            ("-T", "-", "-H", "Transfer-Encoding: chunked", uri),
            ("-X", "PUT", "-H", "Content-Type: x/y", "--data-binary", "@-", uri),
            ("-T", "-", f"{uri}?key=CHK"),
            ("-T", "-", f"{uri}?key={'a' * 32}"),
            ("-F", "file=@-", f"{uri}?t=upload"),
        ):
            cap = ask(*arguments, data=DATA).text
            self.assertTrue(cap.startswith("URI:CHK:"), arguments)
            self.assertEqual(self._kept(), ([], []), arguments)
        put = truckee("put", "-u", self.grid.url)
        done = warm.run(put, input=DATA, capture_output=True, check=True)
        self.assertTrue(done.stdout.startswith(b"URI:CHK:"))
        file = self.grid.directory.with_name("source")
        file.write_bytes(DATA)
        cap = (
            warm.run([*put, "--no-log", str(file)], capture_output=True, check=True)
            .stdout.decode()
            .strip()
        )
        self.assertEqual(ask(f"{uri}/{cap}").body, DATA)
        self.assertEqual(self._kept(), ([], []))

    def _check_resumable(self, file: Path) -> None:
        file.write_bytes(DATA)
        put = truckee("put", "-u", self.grid.url, str(file))
        caps = [warm.run(put, capture_output=True, check=True).stdout.decode().strip()]
        upload = f"{self.grid.url}upload"
        handle = ask("-X", "POST", f"{upload}/open").text.strip()
        caps.append(ask("-T", "-", f"{upload}/{handle}?close=true", data=DATA).text.strip())
        tus = ("-H", "Tus-Resumable: 1.0.0")
        reply = ask(
            *("-X", "POST", *tus, "-H", f"Upload-Length: {len(DATA)}"),
            *("-H", "Content-Type: application/offset+octet-stream", "--data-binary", "@-"),
            f"{self.grid.url}tus/",
            data=DATA,
        )
        caps.append(reply.headers["upload-cap"])
        eventually(lambda: not self._kept()[1])
        kept = [json.loads(record.read_text()) for record in self._kept()[0]]
        self.assertEqual({each["cap"] for each in kept}, set(caps))
        for record in self._kept()[0]:
            self.assertEqual(record.stat().st_mode & 0o777, 0o600)

    def _check_open(self) -> None:
        upload = f"{self.grid.url}upload"
        handle = ask("-X", "POST", f"{upload}/open").text.strip()
        ask("-T", "-", f"{upload}/{handle}", data=DATA)
        [log] = self._kept()[1]
        self.assertGreaterEqual(log.stat().st_size, len(DATA))
        self.assertNotIn(DATA[1000:1100], log.read_bytes())
        ask("-X", "DELETE", f"{upload}/{handle}")
        eventually(lambda: not self._kept()[1])

    def _kept(self) -> tuple[list[Path], list[Path]]:
        """Return the records, and the logs, of uploads in pieces."""
        node = self.grid.directory
        records = [*(node / "private" / "uploads").glob("*.json")]
        logs = [each for each in (node / "uploads").glob("*") if _is_log(each)]
        return records, logs


def _is_log(path: Path) -> bool:
    """Tell a log from the marks of the directory."""
    return path.is_file() and path.read_bytes()[:8] == b"truckee1"
