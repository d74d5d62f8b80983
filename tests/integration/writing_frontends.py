"""Each way in which a client stores a file under a name, behind one interface."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import ClassVar
from urllib.parse import urlsplit

import paramiko
from attrs import define

from tests.integration.sftp_clients import Account, connected
from tests.processes import GridProcess, Reply, Wire, ask

_CLOSE = 4  # the type of the packet


@define(eq=False)
class Frontend:
    """A client of one frontend, in one directory."""

    name: ClassVar[str]
    grid: GridProcess
    account: Account

    def store(self, name: str, data: bytes) -> bool:
        """Store *data* at *name*; return whether that is said to be done."""
        raise NotImplementedError

    def cut(self, name: str, data: bytes, at: int, meanwhile: Callable[[], None]) -> None:
        """Begin to store *data*, do something when *at* bytes went, and vanish."""
        raise NotImplementedError

    def read(self, name: str) -> bytes | None:
        """Return what stands at a name; None: nothing."""
        reply = ask(f"{self.grid.url}uri/{self.account.root}/{name}")
        if reply.status == 404:
            return None
        assert reply.status == 200, reply.body
        return reply.body

    def _link(self, name: str, cap: str | None) -> bool:
        """Link the file of a cap; None: there is none."""
        if cap is None:
            return False
        url = f"{self.grid.url}uri/{self.account.root}/{name}?t=uri&replace=only-files"
        answer = ask("-X", "PUT", "--data-binary", "@-", url, data=cap.encode())
        return answer.status in (200, 201)

    def _cut(
        self,
        head: str,
        headers: list[str],
        data: bytes,
        at: int,
        meanwhile: Callable[[], None],
    ) -> None:
        with Wire(self.grid.url) as wire:
            wire.request(head, f"Content-Length: {len(data)}", *headers)
            wire.send(data[:at])
            meanwhile()
            reset = struct.pack("ii", 1, 0)
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)


class _Put(Frontend):
    path: ClassVar[str]

    def store(self, name: str, data: bytes) -> bool:
        """PUT it."""
        url = f"{self.grid.url}{self.path}/{self.account.root}/{name}"
        return ask("-T", "-", url, data=data).status in (200, 201, 204)

    def cut(self, name: str, data: bytes, at: int, meanwhile: Callable[[], None]) -> None:
        """Reset the connection amid the body."""
        target = f"PUT /{self.path}/{self.account.root}/{name}"
        self._cut(target, [], data, at, meanwhile)


class Web(_Put):
    """``PUT /uri/DIRCAP/NAME``."""

    name, path = "web", "uri"


class WebDav(_Put):
    """``PUT /dav/DIRCAP/NAME``."""

    name, path = "WebDAV", "dav"


class Sftp(Frontend):
    """OPEN, WRITE, CLOSE."""

    name = "SFTP"

    def store(self, name: str, data: bytes) -> bool:
        """Write it, and close it."""
        with connected(self.account) as transport:
            client = paramiko.SFTPClient.from_transport(transport)
            assert client is not None
            file = client.open(f"/{name}", "wb")
            file.set_pipelined(True)
            try:
                file.write(data)
                # Its own close() tells nobody what the answer is.
                client._request(_CLOSE, file.handle)
            except OSError:
                return False
            finally:
                file._closed = True
            return True

    def cut(self, name: str, data: bytes, at: int, meanwhile: Callable[[], None]) -> None:
        """Reset the connection when some was written."""
        with connected(self.account) as transport:
            client = paramiko.SFTPClient.from_transport(transport)
            assert client is not None
            file = client.open(f"/{name}", "wb")
            file.write(data[:at])
            meanwhile()
            sock = transport.sock
            reset = struct.pack("ii", 1, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            sock.close()
            del file


class Tus(Frontend):
    """tus, and a link to what it stored."""

    name = "tus"

    def store(self, name: str, data: bytes) -> bool:
        """Create it, send it in two pieces, and link it."""
        reply = self._say("POST", "/tus/", None, b"", f"Upload-Length: {len(data)}")
        half = len(data) // 2
        pieces = ((0, half), (half, len(data))) if data else ()
        for start, stop in pieces:
            if "location" in reply.headers:
                path = urlsplit(reply.headers["location"]).path
            if reply.status not in (201, 204):
                return False
            reply = self._say("PATCH", path, start, data[start:stop])
        return self._link(name, reply.headers.get("upload-cap"))

    def cut(self, name: str, data: bytes, at: int, meanwhile: Callable[[], None]) -> None:
        """Vanish amid a piece, and never come back."""
        reply = self._say("POST", "/tus/", None, b"", f"Upload-Length: {len(data)}")
        path = urlsplit(reply.headers["location"]).path
        headers = [
            "Tus-Resumable: 1.0.0",
            "Content-Type: application/offset+octet-stream",
            "Upload-Offset: 0",
        ]
        self._cut(f"PATCH {path}", headers, data, at, meanwhile)
        self._abort(path)

    def _abort(self, path: str) -> None:
        ask("-X", "DELETE", "-H", "Tus-Resumable: 1.0.0", f"{self.grid.url}{path[1:]}")

    def _say(
        self, method: str, path: str, offset: int | None, data: bytes, *headers: str
    ) -> Reply:
        more = ["Tus-Resumable: 1.0.0", f"Content-Length: {len(data)}", *headers]
        if offset is not None:
            more.append("Content-Type: application/offset+octet-stream")
            more.append(f"Upload-Offset: {offset}")
        with Wire(self.grid.url, timeout=120) as wire:
            wire.request(f"{method} {path}", *more)
            with contextlib.suppress(ConnectionError):
                wire.send(data)
            return wire.reply()


class Handle(Frontend):
    """An upload that is opened, fed and closed, and a link to what it stored."""

    name = "handle"

    def store(self, name: str, data: bytes) -> bool:
        """Open it, feed it in pieces, close it, and link it."""
        url = self._new()
        if url is None:
            return False
        half = len(data) // 2
        if ask("-T", "-", f"{url}?offset=0", data=data[:half]).status != 200:
            return False
        reply = ask("-T", "-", f"{url}?offset={half}&close=true", data=data[half:])
        return self._link(name, reply.text if reply.status in (200, 201) else None)

    def cut(self, name: str, data: bytes, at: int, meanwhile: Callable[[], None]) -> None:
        """Vanish amid a piece, and never come back."""
        url = self._new()
        assert url is not None
        self._cut(f"PUT {urlsplit(url).path}", [], data, at, meanwhile)
        ask("-X", "DELETE", url)

    def _new(self) -> str | None:
        reply = ask("-X", "POST", f"{self.grid.url}upload/open")
        return f"{self.grid.url}upload/{reply.text}" if reply.status == 200 else None


FRONTENDS: tuple[type[Frontend], ...] = (Web, WebDav, Sftp, Tus, Handle)
