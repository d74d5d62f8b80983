"""Files in pieces: curl and raw sockets against one real node."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import GridProcess, Reply, SharedNode, Wire, ask, eventually, running

MIB = 1 << 20
KEY = "00112233445566778899aabbccddeeff"
BYTES = "Content-Type: application/octet-stream"


room = SharedNode(happy=2)


def tearDownModule() -> None:
    """End the node."""
    room.close()


def content(size: int, seed: int = 0) -> bytes:
    """Return the same *size* random bytes each time."""
    return random.Random(size + seed).randbytes(size)


def cut(wire: Wire) -> None:
    """Let the client vanish with a reset."""
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.socket.close()


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.grid = room()
        self.url = self.grid.url

    def open(self, query: str = "") -> str:
        """Return the path of a new upload."""
        reply = ask("-X", "POST", f"{self.url}upload/open{query}")
        self.assertEqual(reply.status, 200, reply.body)
        self.assertEqual(reply.headers["cache-control"], "no-store")
        self.addCleanup(self.ask, "DELETE", f"upload/{reply.text}")
        return f"upload/{reply.text}"

    def ask(self, method: str, path: str, data: bytes = b"", *headers: str) -> Reply:
        """Return the answer to a request with *data*, as a program would send it."""
        with Wire(self.url) as wire:
            wire.request(f"{method} /{path}", f"Content-Length: {len(data)}", *headers)
            with contextlib.suppress(ConnectionError):  # refused before its end
                wire.send(data)
            return wire.reply()

    def send(self, path: str, data: bytes, *options: str) -> Reply:
        """Return curl's answer to ``-T``."""
        return ask(*options, "-T", "-", self.url + path, data=data)

    def told(self, path: str) -> dict[str, Any]:
        """Return what is told of an upload."""
        reply = ask(f"{self.url}{path}?t=json")
        self.assertEqual(reply.status, 200, reply.body)
        found: dict[str, Any] = json.loads(reply.body)
        self.assertEqual(reply.headers["upload-offset"], str(found["offset"]))
        return found

    def check_error(self, reply: Reply, status: int, text: str) -> None:
        """An error is a line of plain text that no cache keeps."""
        self.assertEqual(reply.status, status, reply.body)
        self.assertTrue(reply.headers["content-type"].startswith("text/plain"))
        self.assertEqual(reply.headers["cache-control"], "no-store")
        self.assertIn(text, reply.text)
        self.assertEqual(reply.text.count("\n"), 1)

    def check_file(self, cap: str, data: bytes) -> None:
        """*cap* gives *data*."""
        self.assertTrue(ask(f"{self.url}uri/{cap}").body == data)


class DepartureTests(_Case):
    def test_goes_at_once(self) -> None:
        """Who sends all and hangs up, as ffmpeg does, has stored the file."""
        data = content(8 * MIB)
        for size, close in ((len(data), True), (len(data) - MIB, False)):
            path = self.open()
            with Wire(self.url) as wire:
                query = "?close=true" if close else ""
                wire.request(f"PUT /{path}{query}", "Transfer-Encoding: chunked", BYTES)
                for start in range(0, size, 32768):
                    wire.chunk(data[start : min(size, start + 32768)])
                if close:
                    wire.chunk(b"")
            wanted = "stored" if close else "open"

            def state(path: str = path) -> tuple[int, str]:
                told = json.loads(self.ask("GET", path).body)
                return told["offset"], told["state"]

            eventually(lambda s=size, w=wanted: state() == (s, w))  # type: ignore[misc]
        cap = self.ask("PUT", f"{path}?offset={size}&close=true", data[size:]).text
        self.assertTrue(ask(f"{self.url}uri/{cap}").body == data)

    def test_ffmpeg(self) -> None:
        """ffmpeg, which waits for no answer, stores all that it sends."""
        program = shutil.which("ffmpeg")
        if program is None:
            raise SkipTest("ffmpeg is not installed")
        place = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for size in (1000, MIB, 25 * 10**6):
            data = content(size)
            (place / "file").write_bytes(data)
            path = self.open()
            copy = ("-f", "data", "-i", str(place / "file"), "-map", "0", "-c", "copy")
            put = ("-f", "data", "-method", "PUT", f"{self.url}{path}?close=true")
            done = subprocess.run(
                [program, "-v", "error", "-nostdin", *copy, *put],
                capture_output=True,
                check=False,
            )
            self.assertEqual((done.returncode, done.stderr), (0, b""), size)
            eventually(lambda p=path: self.told(p)["state"] == "stored")  # type: ignore[misc]
            self.check_file(self.told(path)["cap"], data)


class RoundTripTests(_Case):
    def test_sizes(self) -> None:
        """Files of any size come in pieces; the last one is answered with the cap."""
        for size, piece in ((0, 1), (1, 1), (55, 20), (56, 20), (MIB, 300_000)):
            for query in ("", "?key=CHK", f"?size={size}", f"?key=CHK&size={size}"):
                data, path, start = content(size), self.open(query), 0
                while start + piece < size:
                    reply = self.send(f"{path}?offset={start}", data[start : start + piece])
                    start += piece
                    self.assertEqual((reply.status, reply.text), (200, str(start)))
                    self.assertEqual(reply.headers["upload-offset"], str(start))
                reply = self.send(f"{path}?offset={start}&close=true", data[start:])
                self.assertEqual(reply.status, 200, reply.body)
                self.check_file(reply.text, data)

    def test_large(self) -> None:
        """64 MiB go in chunks of 5, of known size and not, and under every kind of key."""
        data = content(64 * MIB)
        for query in (f"?size={len(data)}&helper=no", "?key=CHK", f"?key={KEY}"):
            path = self.open(query)
            for start in range(0, len(data), 5 * MIB):
                reply = self.send(f"{path}?offset={start}", data[start : start + 5 * MIB])
                self.assertEqual(reply.status, 200, reply.body)
            cap = ask("-X", "POST", f"{self.url}{path}?close=true").text
            self.check_file(cap, data)

    def test_close(self) -> None:
        """An empty last piece closes, whoever asks again gets the same cap, all is told."""
        path = self.open("?size=300")
        self.assertEqual(self.told(path)["state"], "open")
        self.assertEqual(self.ask("PUT", path, bytes(300)).text, "300")
        told = self.told(path)
        self.assertEqual((told["offset"], told["size"], told["cap"]), (300, 300, None))
        self.assertGreater(told["expires"], time.time() + 80_000)
        caps = {self.ask("POST", f"{path}?close=true").text for _ in range(3)}
        caps.add(self.ask("PUT", f"{path}?close=true&offset=0", bytes(300)).text)
        told = self.told(path)
        caps.add(told["cap"])
        self.assertEqual(len(caps), 1)
        self.check_file(caps.pop(), bytes(300))
        self.assertEqual((told["state"], told["route"]), ("stored", "servers"))
        self.assertEqual((told["happiness"], told["lost"]), (3, []))
        self.assertLess(told["expires"], time.time() + 3601)
        head = ask("--head", f"{self.url}{path}")
        self.assertEqual((head.status, head.headers["upload-offset"]), (200, "300"))
        self.check_error(self.ask("DELETE", path), 409, "stored")

    def test_json(self) -> None:
        """A program gets the handle with all there is to know."""
        reply = ask("-X", "POST", f"{self.url}upload/open?output=json")
        told = json.loads(reply.body)
        self.assertEqual((reply.status, told["offset"]), (200, 0))
        # An hour while it is empty.
        self.assertLess(abs(told["expires"] - time.time() - 3600), 60)
        self.assertEqual(self.ask("DELETE", f"upload/{told['handle']}").status, 204)

    def test_same_cap(self) -> None:
        """The pieces of a convergent file make the cap of the whole."""
        data = content(2 * MIB + 5)
        path = self.open("?key=CHK")
        self.send(path, data[:1000])
        cap = self.send(f"{path}?close=1", data[1000:]).text
        self.assertEqual(self.send("uri?key=CHK", data).text, cap)

    def test_curl_with_a_type(self) -> None:
        """POST as curl's --data-binary works with a content type."""
        path = self.open()
        options = ("-H", BYTES, "--data-binary", "@-", f"{self.url}{path}?close=true")
        reply = ask(*options, data=b"abc")
        self.assertEqual((reply.status, reply.text[:8]), (200, "URI:LIT:"))


class RefusalTests(_Case):
    def test_arguments(self) -> None:
        """What is wrong with a request to open is said, and nothing is opened."""
        for query, text in (
            ("key=abc", "key="),
            ("size=many", "size="),
            ("size-limit=-1", "size-limit="),
            ("helper=perhaps", "helper="),
            ("output=xml", "output="),
        ):
            self.check_error(ask("-X", "POST", f"{self.url}upload/open?{query}"), 400, text)
        self.check_error(self.ask("POST", "upload/open", b"abc"), 400, "body")
        self.check_error(self.ask("PUT", "upload/open", b""), 405, "POST")
        self.check_error(self.ask("POST", "upload/open?size=3P"), 413, "larger")
        path = self.open()
        for query, text in (
            ("offset=-1", "offset="),
            ("offset=x", "offset="),
            (f"offset={'9' * 30}", "offset="),
            ("close=perhaps", "close="),
        ):
            self.check_error(self.ask("PUT", f"{path}?{query}", b"abc"), 400, text)
        self.check_error(ask(f"{self.url}{path}?t=xml"), 400, "t=")
        self.check_error(self.ask("MOVE", path, b"abc"), 405, "PUT")
        self.assertEqual(self.told(path)["offset"], 0)

    def test_unknown_handle(self) -> None:
        """Whatever is asked of a handle that is gone is answered with what to do."""
        path = self.open()
        self.ask("PUT", path, bytes(100))
        self.assertEqual(self.ask("DELETE", path).status, 204)
        for gone in (path, path[:-1], "upload/x"):
            for method in ("PUT", "POST", "DELETE", "GET"):
                self.check_error(self.ask(method, gone, b""), 404, "POST /upload/open")
            self.check_error(self.ask("PUT", gone, bytes(100)), 404, "POST /upload/open")
        for wrong in ("upload/open/x", f"{path}/x"):
            self.assertEqual(self.ask("GET", wrong).status, 404)

    def test_offsets(self) -> None:
        """A wrong offset is answered with the right one, and costs nothing."""
        path = self.open("?size=200")
        self.ask("PUT", path, bytes(100))
        reply = self.ask("PUT", f"{path}?offset=101", bytes(99))
        self.check_error(reply, 409, "100 bytes so far")
        self.assertEqual(reply.headers["upload-offset"], "100")
        reply = self.ask("POST", f"{path}?close=true")
        self.check_error(reply, 409, "still open")
        self.assertEqual(reply.headers["upload-offset"], "100")
        self.check_error(self.ask("PUT", path, bytes(101)), 409, "byte 200")
        reply = self.ask("PUT", f"{path}?offset=50&close=true", bytes(150))
        self.check_file(reply.text, bytes(200))

    def test_closed_elsewhere(self) -> None:
        """A last piece that says where it ends closes there and nowhere else."""
        path = self.open()
        self.ask("PUT", path, bytes(200))
        reply = self.ask("POST", f"{path}?offset=199&close=true")
        self.check_error(reply, 409, "still open")
        self.assertEqual(reply.headers["upload-offset"], "200")
        reply = self.ask("PUT", f"{path}?offset=100&close=true", bytes(99))
        self.check_error(reply, 409, "still open")
        for query, data in (("offset=200", b""), ("offset=100", bytes(100))):
            reply = self.ask("PUT", f"{path}?{query}&close=true", data)
            self.check_file(reply.text, bytes(200))

    def test_forms(self) -> None:
        """A form is no piece of a file."""
        path = self.open()
        for kind in (
            "application/x-www-form-urlencoded",
            "Multipart/Form-Data; boundary=x",
        ):
            reply = self.ask("POST", path, b"abc", f"Content-Type: {kind}")
            self.check_error(reply, 415, "-T FILE")
        self.assertEqual(self.told(path)["offset"], 0)

    def test_other_sites(self) -> None:
        """No page of another site opens, feeds or aborts an upload."""
        path = self.open()
        for header in ("Origin: http://evil.example", "Sec-Fetch-Site: cross-site"):
            for method, place in (("POST", "upload/open"), ("PUT", path), ("POST", path)):
                self.check_error(self.ask(method, place, b"", header), 403, "another site")
            self.check_error(self.ask("DELETE", path, b"", header), 403, "another site")
        self.assertEqual(self.told(path)["state"], "open")

    def test_key_reused(self) -> None:
        """Another file under the same key is refused; the state says why, and keeps it."""
        key = "f" * 32
        for seed, status in ((0, 200), (0, 200), (1, 409)):
            path = self.open(f"?key={key}")
            reply = self.ask("PUT", f"{path}?close=true", content(3000, seed))
            self.assertEqual(reply.status, status, reply.body)
        told = self.told(path)
        self.assertEqual((told["state"], told["cap"]), ("failed", None))
        self.assertIn("Another file", told["error"])
        self.check_error(self.ask("POST", f"{path}?close=true"), 409, "Another file")

    def test_bound(self) -> None:
        """One of unknown size stops at its size-limit."""
        path = self.open("?size-limit=1000")
        self.check_error(self.ask("PUT", path, bytes(1001)), 413, "larger")

    def test_idle(self) -> None:
        """Idle uploads leave room for others; those without room are kept, and stored."""
        paths = [self.open() for _ in range(40)]
        for path in paths:
            self.assertEqual(self.ask("PUT", path, bytes(100)).text, "100")
        self.assertEqual(self.send("uri", bytes(3 * MIB)).status, 200)
        for path in (paths[39], paths[20], paths[0]):
            self.check_file(self.ask("POST", f"{path}?close=true").text, bytes(100))

    def test_pipelined(self) -> None:
        """Requests that come in one read are answered in their order, an abort as well."""
        path = self.open()
        with Wire(self.url) as wire:
            head = "Host: 127.0.0.1\r\nContent-Length"
            first = f"PUT /{path} HTTP/1.1\r\n{head}: 100\r\n\r\n".encode()
            close = f"POST /{path}?close=true HTTP/1.1\r\n{head}: 0\r\n\r\n".encode()
            end = f"DELETE /{path} HTTP/1.1\r\n{head}: 0\r\n\r\n".encode()
            wire.send(first + bytes(100) + first + bytes(100) + end + close)
            statuses = [wire.reply().status for _ in range(4)]
            self.assertEqual(statuses, [200, 200, 204, 404])
        eventually(lambda: not self.grid.incoming())

    def test_nothing_in_the_log(self) -> None:
        """No handle is logged."""
        path = self.open()
        self.ask("PUT", path, bytes(3000))
        self.ask("DELETE", path)
        self.assertNotIn(path.removeprefix("upload/"), self.grid.log())


class CutTests(_Case):
    def test_cut_in_the_middle(self) -> None:
        """A client that was cut off asks for the offset and goes on from there."""
        data = content(4 * MIB)
        path = self.open(f"?size={len(data)}")
        with Wire(self.url) as wire:
            wire.request(f"PUT /{path}?offset=0", f"Content-Length: {len(data)}")
            wire.send(data[: 3 * MIB])
            eventually(lambda: self.told(path)["offset"] >= 2 * MIB)
            cut(wire)
        offset = self.told(path)["offset"]
        self.assertLessEqual(offset, 3 * MIB)
        reply = self.send(f"{path}?offset={offset}&close=true", data[offset:])
        self.check_file(reply.text, data)

    def test_takeover(self) -> None:
        """The next request goes on within 2 s while an old one hangs, which is told so."""
        data = content(3 * MIB)
        path = self.open()
        with Wire(self.url) as old:
            old.request(f"PUT /{path}?offset=0", f"Content-Length: {len(data)}")
            old.send(data[: MIB + 7])
            eventually(lambda: self.told(path)["offset"] == MIB + 7)
            began = time.monotonic()
            reply = self.ask("PUT", f"{path}?offset={MIB}", data[MIB : 2 * MIB])
            self.assertLess(time.monotonic() - began, 2)
            self.assertEqual(reply.text, str(2 * MIB))
            self.check_error(old.reply(), 409, "resumed this upload")
        reply = self.send(f"{path}?offset={2 * MIB}&close=true", data[2 * MIB :])
        self.check_file(reply.text, data)

    def test_abort(self) -> None:
        """An upload that is aborted frees its space, also while it is fed."""
        before = len(self.grid.shares())
        for query in ("", "?key=CHK", "?size=8388608"):
            path = self.open(query)
            with Wire(self.url) as wire:
                wire.request(f"PUT /{path}", f"Content-Length: {8 * MIB}")
                wire.send(bytes(5 * MIB))
                eventually(lambda path=path: self.told(path)["offset"] == 5 * MIB)  # type: ignore[misc]
                self.assertEqual(self.ask("DELETE", path).status, 204)
                eventually(lambda: not self.grid.incoming())
                self.check_error(wire.reply(), 409, "aborted")
        self.assertEqual(len(self.grid.shares()), before)

    def test_random_cuts(self) -> None:
        """60 cuts, resets, silences and repetitions later, every file is right."""
        chance = random.Random(60)
        cuts, silent = 0, []
        while cuts < 60:
            data = content(chance.randrange(3 * MIB), cuts)
            size = f"&size={len(data)}" if chance.random() < 0.5 else ""
            path = self.open(f"?key={chance.choice(('random', 'CHK'))}{size}")
            for _ in range(chance.randrange(1, 10)):
                offset = self.told(path)["offset"]
                start = max(0, offset - chance.choice((0, 0, 1, 70_000)))
                wire = Wire(self.url)
                rest = len(data) - start
                wire.request(f"PUT /{path}?offset={start}", f"Content-Length: {rest}")
                wire.send(data[start:][: chance.randrange(rest // 2 + 1)])
                how = chance.randrange(3)
                if how == 0:
                    cut(wire)
                elif how == 1:
                    wire.socket.close()
                else:
                    silent.append(wire)
                cuts += 1
            offset = self.told(path)["offset"]
            began = time.monotonic()
            reply = self.ask("PUT", f"{path}?offset={offset}&close=true", data[offset:])
            self.assertLess(time.monotonic() - began, 2)
            self.assertEqual(reply.status, 200, reply.body)
            self.check_file(reply.text, data)
        for wire in silent:
            wire.socket.close()


class RestartTests(SynchronousTestCase):
    def test_restart(self) -> None:
        """An open upload goes on after its gateway was stopped or killed, with any key."""
        data = content(9 * MIB)
        with tempfile.TemporaryDirectory() as directory:
            node = Path(directory) / "node"
            grid = GridProcess.create(node, needed=2, happy=2, total=3, storage_dirs=3)
            for end in (grid.stop, grid.kill):
                handles = {}
                with running(grid):
                    for key in ("random", "CHK", os.urandom(16).hex()):
                        opened = ask("-X", "POST", f"{grid.url}upload/open?key={key}")
                        handles[key] = opened.text
                        ask(
                            "-T",
                            "-",
                            f"{grid.url}upload/{handles[key]}",
                            data=data[: 4 * MIB],
                        )
                    began = time.monotonic()
                    end()
                    self.assertLess(time.monotonic() - began, 3)
                for start in (4 * MIB, 6 * MIB):
                    with running(grid):
                        for handle in handles.values():
                            place = f"{grid.url}upload/{handle}"
                            head = ask("--head", place)
                            self.assertEqual(head.headers["upload-offset"], str(start))
                            piece = data[start : start + 2 * MIB]
                            ask("-T", "-", f"{place}?offset={start}", data=piece)
                        end()
                with running(grid):
                    caps = {}
                    for key, handle in handles.items():
                        place = f"{grid.url}upload/{handle}?offset={8 * MIB}&close=true"
                        caps[key] = ask("-T", "-", place, data=data[8 * MIB :]).text
                        self.assertEqual(ask(f"{grid.url}uri/{caps[key]}").body, data)
                    whole = ask("-T", "-", f"{grid.url}uri?key=CHK", data=data)
                    self.assertEqual(whole.text, caps["CHK"])
                with running(grid):
                    for key, handle in handles.items():
                        told = json.loads(ask(f"{grid.url}upload/{handle}?t=json").body)
                        self.assertEqual(told["cap"], caps[key])
                    self.assertEqual(list((node / "uploads").iterdir()), [])
                    for handle in handles.values():
                        self.assertNotIn(handle, grid.log())
