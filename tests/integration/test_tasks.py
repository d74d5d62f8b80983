"""Tasks of one real node: watched, paused and cancelled with raw sockets and curl."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open,
)
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from tests.processes import Reply, SharedNode, Wire, ask, eventually

MIB = 1 << 20


room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node."""
    room.close()


def new_id() -> str:
    """Return an id that no task has."""
    return f"{random.SystemRandom().getrandbits(128):032x}"


def content(size: int, seed: int = 0) -> bytes:
    """Return the same *size* random bytes each time."""
    return random.Random(size + seed).randbytes(size)


def send_steadily(wire: Wire, data: bytes, rate: int, stop: Event) -> None:
    """Send *data* at *rate* bytes a second, as a thin line would."""
    begin, step = time.monotonic(), 32 * 1024
    for start in range(0, len(data), step):
        wait = begin + start / rate - time.monotonic()
        if wait > 0 and stop.wait(wait):
            return
        wire.send(data[start : start + step])


@contextlib.contextmanager
def by_the_side(work: Callable[[Event], object]) -> Iterator[None]:
    """Do *work* in a thread; it is told to stop at the end."""
    stop = Event()

    def run() -> None:
        with contextlib.suppress(OSError):
            work(stop)

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.grid = room()
        self.url = self.grid.url

    def told(self, task_id: str) -> dict[str, Any]:
        """Return what the holder of an id is told."""
        reply = ask(f"{self.url}operations/{task_id}?output=JSON")
        self.assertEqual(reply.status, 200, reply.body)
        self.assertEqual(reply.headers["cache-control"], "no-store")
        found: dict[str, Any] = json.loads(reply.body)
        return found

    def act(self, task_id: str, what: str) -> Reply:
        """Return the answer to a POST."""
        return ask("-X", "POST", f"{self.url}operations/{task_id}?t={what}&output=json")

    def listed(self) -> dict[str, Any]:
        """Return what everybody is told."""
        reply = ask(f"{self.url}status?t=json")
        self.assertEqual(reply.status, 200, reply.body)
        found: dict[str, Any] = json.loads(reply.body)
        return found

    def begin(self, size: int, query: str = "") -> tuple[Wire, str]:
        """Return a connection on which the head of an upload was sent, and its id."""
        task_id = new_id()
        wire = Wire(self.url)
        self.addCleanup(wire.socket.close)
        wire.request(f"PUT /uri{query}", f"Content-Length: {size}", f"X-Task-Id: {task_id}")
        return wire, task_id

    def check_error(self, reply: Reply, status: int, text: str) -> None:
        """An error is a line of plain text that no cache keeps."""
        self.assertEqual(reply.status, status, reply.body)
        self.assertEqual(reply.headers["cache-control"], "no-store")
        self.assertIn(text, reply.text)


class IdTests(_Case):
    def test_upload_and_download(self) -> None:
        """A task has the client's id or one of ours, and tells its holder the cap."""
        data, mine = content(3 * MIB), new_id()
        for option, expected in (
            ("", None),
            (f"?ophandle={mine}", mine),
            ("", mine),  # in a header; the one before it is over, and replaced
        ):
            headers = ["-H", f"X-Task-Id: {mine}"] if expected and not option else []
            reply = ask(*headers, "-T", "-", f"{self.url}uri{option}", data=data)
            self.assertEqual(reply.status, 200, reply.body)
            task_id = reply.headers["x-task-id"]
            self.assertGreaterEqual(len(task_id), 22)  # 128 bits in base64
            if expected:
                self.assertEqual(task_id, expected)
            told = self.told(task_id)
            self.assertEqual((told["id"], told["cap"]), (task_id, reply.text))
            self.assertEqual(
                [told[key] for key in ("type", "state", "finished", "progress", "route")],
                ["upload", "done", True, 1.0, "servers"],
            )
            counts = [told[key] for key in ("size", "received", "encrypted", "stored")]
            self.assertEqual(counts, [len(data)] * 4)
            self.assertEqual((told["shares"], len(told["servers"])), (3, 3))
        got = ask(f"{self.url}uri/{reply.text}")
        self.assertTrue(got.body == data)
        told = self.told(got.headers["x-task-id"])
        self.assertEqual(
            [told[key] for key in ("type", "state", "size", "sent", "cap")],
            ["download", "done", len(data), len(data), None],
        )

    def test_secrets(self) -> None:
        """The listing has neither ids nor caps, whichever form it comes in."""
        reply = ask("-T", "-", f"{self.url}uri", data=content(MIB))
        for path in ("status", "status?t=json"):
            page = ask(self.url + path).text
            self.assertNotIn(reply.headers["x-task-id"], page)
            self.assertNotIn("URI:", page)
            self.assertNotIn(reply.text[8:34], page)

    def test_wrong_ids(self) -> None:
        """An id that could be guessed is refused, and so is an unknown one."""
        for wrong in ("1234", "a" * 129, "x" * 15, "%0a" * 16, "%c3%a4" * 16):
            reply = ask("-T", "-", f"{self.url}uri?ophandle={wrong}", data=b"x")
            self.check_error(reply, 400, "16 to 128")
        for method in ("GET", "POST", "DELETE"):
            reply = ask("-X", method, f"{self.url}operations/{new_id()}")
            self.check_error(reply, 404, "No task has this id")

    def test_in_use(self) -> None:
        """The id of a running task is refused before the body."""
        _wire, task_id = self.begin(MIB)
        eventually(lambda: self.listed()["active"])
        with Wire(self.url) as other:
            other.request(
                f"PUT /uri?ophandle={task_id}",
                f"Content-Length: {MIB}",
                "Expect: 100-continue",
            )
            self.check_error(other.reply(), 409, "Another task runs")
        self.act(task_id, "cancel")

    def test_release(self) -> None:
        """What is over is forgotten when its holder says so."""
        task_id = ask("-T", "-", f"{self.url}uri", data=b"short").headers["x-task-id"]
        path = f"{self.url}operations/{task_id}?output=json"
        self.assertEqual(ask(f"{path}&retain-for=10").status, 200)
        self.check_error(ask(f"{path}&retain-for=x"), 400, "retain-for")
        self.check_error(ask(f"{path}&t=rename"), 400, "status")
        self.check_error(ask(f"{path}x"), 400, "output")
        self.assertEqual(ask(f"{path}&release-after-complete=true").status, 200)
        self.assertEqual(ask(path).status, 404)
        task_id = ask("-T", "-", f"{self.url}uri", data=b"short").headers["x-task-id"]
        path = f"{self.url}operations/{task_id}"
        self.assertEqual(ask("-X", "DELETE", path).status, 204)
        self.assertEqual(ask(path).status, 404)

    def test_check(self) -> None:
        """A check is a task, too."""
        cap, mine = ask("-T", "-", f"{self.url}uri", data=content(MIB)).text, new_id()
        path = f"{self.url}uri/{cap}?t=check&output=json&ophandle={mine}"
        self.assertEqual(ask("-X", "POST", path).headers["x-task-id"], mine)
        told = self.told(mine)
        self.assertEqual((told["type"], told["state"]), ("check", "done"))
        path = f"{self.url}uri/{cap}?t=check&repair=true&output=json"
        told = self.told(ask("-X", "POST", path).headers["x-task-id"])
        self.assertEqual((told["type"], told["progress"]), ("repair", 1.0))


class CancelTests(_Case):
    def test_cancel(self) -> None:
        """A cancelled upload leaves no share within a second, and tells why."""
        before = len(self.grid.shares())
        wire, task_id = self.begin(8 * MIB)
        wire.send(content(3 * MIB))
        eventually(lambda: self.grid.incoming())
        begin = time.monotonic()
        reply = self.act(task_id, "cancel")
        self.assertLess(time.monotonic() - begin, 1.0)
        self.assertEqual(self.grid.incoming(), [])
        told = json.loads(reply.body)
        self.assertEqual(
            [told[key] for key in ("state", "error", "finished", "cap")],
            ["cancelled", "cancelled by request", True, None],
        )
        self.check_error(wire.reply(), 409, "cancelled by request")
        self.assertEqual(len(self.grid.shares()), before)
        # Once more does no harm.
        self.assertEqual(json.loads(self.act(task_id, "cancel").body)["state"], "cancelled")

    def test_client_gone(self) -> None:
        """An upload whose client is gone leaves nothing either, and tells that."""
        wire, task_id = self.begin(8 * MIB)
        wire.send(content(3 * MIB))
        eventually(lambda: self.grid.incoming())
        wire.socket.close()
        begin = time.monotonic()
        eventually(lambda: not self.grid.incoming())
        self.assertLess(time.monotonic() - begin, 2.0)
        told = self.told(task_id)
        self.assertEqual(
            (told["state"], told["error"]), ("cancelled", "the client went away")
        )

    def test_spooled(self) -> None:
        """Neither does one that waits in the spool."""
        wire, task_id = self.begin(8 * MIB, "?key=CHK")
        wire.send(content(3 * MIB))
        eventually(lambda: self.told(task_id)["spooled"] >= 2 * MIB)
        told = self.told(task_id)
        self.assertEqual((told["phase"], told["stored"]), ("spooling", 0))
        self.act(task_id, "cancel")
        self.check_error(wire.reply(), 409, "cancelled by request")

    def test_download(self) -> None:
        """A cancelled download is cut, so that nobody takes it for the whole."""
        cap = ask("-T", "-", f"{self.url}uri", data=content(16 * MIB)).text
        with Wire(self.url, receive_buffer=4096) as wire:
            wire.request(f"GET /uri/{cap}")
            status, headers = wire.head()
            self.assertEqual(status, 200)
            task_id = headers["x-task-id"]
            told = json.loads(self.act(task_id, "cancel").body)
            self.assertEqual((told["type"], told["state"]), ("download", "cancelled"))
            with contextlib.suppress(ConnectionError):
                self.assertLess(len(wire.read(16 * MIB)), 16 * MIB)

    def test_cross_site(self) -> None:
        """A page of another site cancels nothing."""
        _wire, task_id = self.begin(MIB)
        eventually(lambda: self.told(task_id))
        path = f"{self.url}operations/{task_id}"
        for method in ("POST", "DELETE"):
            reply = ask(
                "-X", method, "-H", "Origin: http://evil.example", f"{path}?t=cancel"
            )
            self.check_error(reply, 403, "another site")
        self.assertEqual(self.told(task_id)["state"], "running")
        self.assertEqual(ask("-X", "DELETE", path).status, 204)


class PauseTests(_Case):
    def test_pause(self) -> None:
        """A paused upload takes nothing more from its client, and goes on where it was."""
        data = content(12 * MIB)
        wire, task_id = self.begin(len(data))
        wire.send(data[:MIB])
        eventually(lambda: self.told(task_id)["received"] == MIB)
        self.assertEqual(json.loads(self.act(task_id, "pause").body)["state"], "paused")
        with by_the_side(lambda _: wire.send(data[MIB:])):
            time.sleep(0.5)
            before = self.told(task_id)
            time.sleep(0.5)
            after = self.told(task_id)
            self.assertLessEqual(after["received"], 2 * MIB)
            self.assertEqual(before["received"], after["received"])
            self.assertEqual((after["state"], after["eta"]), ("paused", None))
            self.assertEqual(json.loads(self.act(task_id, "resume").body)["error"], None)
            reply = wire.reply()
        self.assertEqual(reply.status, 200)
        self.assertTrue(ask(f"{self.url}uri/{reply.text}").body == data)
        self.check_error(self.act(task_id, "pause"), 409, "over")


class ProgressTests(_Case):
    def test_steady(self) -> None:
        """
        At a steady rate the time left is right from the first tenth on, progress never
        falls and is 1 only at the end, and events say what the listing says.
        """
        size, rate = 24 * MIB, 3 * MIB
        data = content(size)
        seen: list[tuple[float, dict[str, Any]]] = []
        wire, task_id = self.begin(size)
        with (
            Events(self.url) as events,
            by_the_side(lambda stop: send_steadily(wire, data, rate, stop)),
        ):
            number = self.told(task_id)["number"]
            while not (told := self.told(task_id))["finished"]:
                seen.append((time.monotonic(), told))
                time.sleep(0.05)
            end = time.monotonic()
            self.assertEqual(told["state"], "done")
            heard = events.until(number, "done")
            listed = next(e for e in self.listed()["recent"] if e["number"] == number)
            self.assertEqual(heard[-1], listed)
        for series in ([told for _, told in seen], heard):
            values = [each["progress"] for each in series]
            self.assertEqual(values, sorted(values))
            self.assertLess(
                max(v for v, t in zip(values, series, strict=True) if not t["ended"]), 1.0
            )
        ratios = [
            told["eta"] / (end - at)
            for at, told in seen
            if 0.1 <= told["progress"] <= 0.7 and told["eta"] is not None
        ]
        self.assertGreater(len(ratios), 10)
        print("time left / true:", min(ratios), max(ratios))
        # Within a fifth on a machine that has nothing else to do; the suite is patient.
        self.assertGreater(min(ratios), 0.6)
        self.assertLess(max(ratios), 1.7)

    def test_listener_hears_at_most_twice_a_second(self) -> None:
        """Events come at most twice a second, however much happens."""
        with Events(self.url) as events:
            begin = time.monotonic()
            for _ in range(20):
                ask("-T", "-", f"{self.url}uri", data=b"short")
            heard = events.count_for(2.0 - (time.monotonic() - begin))
            self.assertLessEqual(heard, 2 * (time.monotonic() - begin) + 2)

    def test_listeners_are_bounded(self) -> None:
        """One listener more than there may be takes the place of the oldest."""
        with contextlib.ExitStack() as all_of_them:
            first, *_ = [all_of_them.enter_context(Events(self.url)) for _ in range(32)]
            last = all_of_them.enter_context(Events(self.url))
            with self.assertRaises((ConnectionError, ValueError, IndexError)):
                while True:
                    first.next()
            last.next()


class Events:
    """A client of /status/events, over a plain socket."""

    def __init__(self, url: str) -> None:
        self._wire = Wire(url)
        self._wire.request("GET /status/events")
        status, headers = self._wire.head()
        assert (status, headers["content-type"]) == (200, "text/event-stream"), status
        self._text = b""

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.socket.close()

    def next(self) -> dict[str, Any]:
        """Return the document of the next event."""
        while True:
            while b"\n\n" not in self._text:
                size = int(self._line(), 16)
                self._text += self._wire.read(size)
                self._line()
            event, _, self._text = self._text.partition(b"\n\n")
            lines = event.split(b"\n")
            if lines[0] == b"event: status":
                assert lines[1].startswith(b"data: ")
                found: dict[str, Any] = json.loads(lines[1][6:])
                return found

    def until(self, number: int, state: str) -> list[dict[str, Any]]:
        """Return what was told of a task, until it is in *state*."""
        told: list[dict[str, Any]] = []
        while not told or told[-1]["state"] != state:
            event = self.next()
            told += [
                each
                for each in (*event["active"], *event["recent"])
                if each["number"] == number
            ]
        return told

    def count_for(self, seconds: float) -> int:
        """Return how many events came so far and in the next *seconds*."""
        time.sleep(max(0.0, seconds))
        self._wire.socket.settimeout(0.05)
        count = 0
        with contextlib.suppress(TimeoutError):
            while self.next():
                count += 1
        return count

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._wire.read(1)
        return line[:-2]


class MetricsTests(_Case):
    _seen: bytes = b""

    def metrics(self) -> dict[str, float]:
        """Return all samples, by their names and labels; newer ones each time."""
        reply = ask(f"{self.url}metrics")
        while reply.body == self._seen:
            # They are made once a second.
            reply = ask(f"{self.url}metrics")
        self._seen = reply.body
        self.assertEqual(reply.status, 200)
        self.assertTrue(reply.headers["content-type"].startswith("text/plain; version="))
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(reply.body.decode()):
            self.assertTrue(family.documentation or family.type == "unknown", family.name)
            for sample in family.samples:
                labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}"] = sample.value
        return found

    def test_metrics(self) -> None:
        """They can be parsed, and count what happens."""
        before = self.metrics()
        data = content(3 * MIB)
        cap = ask("-T", "-", f"{self.url}uri", data=data).text
        ask(f"{self.url}uri/{cap}")
        ask("-T", "-", f"{self.url}uri", data=b"short")
        ask("-X", "POST", f"{self.url}uri/{cap}?t=check")
        _wire, task_id = self.begin(MIB)
        eventually(lambda: self.told(task_id))
        after = self.metrics()
        grown = {name: after[name] - before[name] for name in before}
        for name, count in (
            ("truckee_uploads_total{outcome=done,route=servers}", 1),
            ("truckee_uploads_total{outcome=done,route=cap}", 1),
            ("truckee_uploads_total{outcome=failed,route=servers}", 0),
            ("truckee_downloads_total{outcome=done}", 1),
            ("truckee_checks_total{outcome=done}", 1),
            ("truckee_repairs_total{outcome=done}", 0),
            ("truckee_received_bytes_total{}", len(data) + len(b"short")),
            ("truckee_stored_bytes_total{}", len(data)),
            ("truckee_sent_bytes_total{}", len(data)),
            ("truckee_active_tasks{kind=upload}", 1),
        ):
            self.assertEqual(grown[name], count, name)
        self.assertEqual(after["truckee_task_seconds_count{kind=check}"] >= 1, True)
        self.assertEqual(after["truckee_servers_connected{}"], 3)
        self.assertEqual(after["truckee_open_uploads{}"], 0)
        self.assertGreater(after["truckee_memory_budget_used_bytes{}"], 0)
        self.assertGreater(after["truckee_memory_budget_limit_bytes{}"], MIB)
        self.assertIn("process_resident_memory_bytes{}", after)
        self.assertNotIn("truckee_helper_connected{}", after)
        self.act(task_id, "cancel")
        last = self.metrics()
        cancelled = [name for name in last if "uploads_total{outcome=cancelled" in name]
        self.assertEqual(sum(last[name] - after[name] for name in cancelled), 1)

    def test_openmetrics(self) -> None:
        """A scraper that wants OpenMetrics gets it."""
        reply = ask("-H", "Accept: application/openmetrics-text", f"{self.url}metrics")
        self.assertTrue(reply.headers["content-type"].startswith("application/openmetrics"))
        self.assertTrue(reply.text.endswith("# EOF\n"))
        self.assertGreater(len(list(parse_open(reply.text))), 20)
