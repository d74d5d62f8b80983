"""
Proxies of Debian as processes of their own, all in front of one gateway.

Each has four sites: as little as can be said, and what the docs say; at the top of their
names and below a path.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from attrs import define, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.ports import free_ports
from tests.processes import eventually

PAGE = Path(__file__).parents[2] / "docs" / "how-to-put-a-proxy-in-front.md"
MODULES = Path("/usr/lib/apache2/modules")


@frozen
class Site:
    """The gateway as one proxy shows it."""

    url: str  # with a slash at its end
    documented: bool

    @property
    def origin(self) -> str:
        """What browsers say of its pages."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def path(self) -> str:
        """Where it is, with slashes at both ends."""
        return urlsplit(self.url).path


@frozen
class Room:
    """What the configuration of a proxy is made with."""

    place: Path  # a directory of its own, with the certificate
    gateway: int  # its port
    ports: Sequence[int]  # plain, plain below a path, documented, documented below a path


def block(kind: str) -> str:
    """Return the one of that kind on the page."""
    [found] = re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(found)


def documented_ini() -> str:
    """Return what stands there for tahoe.cfg."""
    return block("ini")


def documented(kind: str, room: Room, *, below: bool, port: int) -> str:
    """Return the configuration on the page, with the places of this test."""
    text = block(kind)
    for old, new in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("*:443", f"127.0.0.1:{port}"),
        ("bind :443", f"bind 127.0.0.1:{port}"),
        ("127.0.0.1:3456", f"127.0.0.1:{room.gateway}"),
        ("/var/log/nginx/error.log", f"{room.place}/log"),
        ("/etc/ssl/example.com", str(room.place / "localhost")),
        ("example.com", "localhost"),
    ):
        text = text.replace(old, new)
    assert text.count("/tahoe/") > 1
    return text if below else text.replace("/tahoe/", "/")


def nginx(room: Room) -> str:
    """Return nginx.conf; the frame is what Debian's has."""
    top, path, top_port, path_port = room.ports
    here = f"http://127.0.0.1:{room.gateway}"
    temporary = "".join(
        f"{name}_temp_path {room.place}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
master_process off;
pid {room.place}/pid;
error_log {room.place}/log;
events {{ }}
http {{
{temporary}
access_log off;
sendfile on;
gzip on;
server {{ listen 127.0.0.1:{top}; location / {{ proxy_pass {here}; }} }}
server {{ listen 127.0.0.1:{path}; location /tahoe/ {{ proxy_pass {here}/; }} }}
{documented("nginx", room, below=False, port=top_port)}
{documented("nginx", room, below=True, port=path_port)}
}}
"""


def apache(room: Room) -> str:
    """Return apache2.conf; the frame is what Debian's has."""
    top, path, top_port, path_port = room.ports
    here = f"http://127.0.0.1:{room.gateway}/"
    names = "mpm_event authz_core headers proxy proxy_http reqtimeout socache_shmcb ssl"
    lines = [f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in names.split()]
    lines += [f"Listen 127.0.0.1:{port}" for port in room.ports]
    if os.getuid() == 0:
        lines += ["User www-data", "Group www-data"]
    frame = "\n".join(lines)
    return f"""
ServerRoot {room.place}
ServerName localhost
PidFile {room.place}/pid
ErrorLog {room.place}/log
DefaultRuntimeDir {room.place}
{frame}
Timeout 300
RequestReadTimeout header=20-40,minrate=500
RequestReadTimeout body=10,minrate=500
<VirtualHost 127.0.0.1:{top}>
ProxyPass / {here}
</VirtualHost>
<VirtualHost 127.0.0.1:{path}>
ProxyPass /tahoe/ {here}
ProxyPassReverse /tahoe/ {here}
</VirtualHost>
{documented("apache", room, below=False, port=top_port)}
{documented("apache", room, below=True, port=path_port)}
"""


def haproxy(room: Room) -> str:
    """Return haproxy.cfg; the frame is what Debian's has."""
    top, path, top_port, path_port = room.ports
    second = documented("haproxy", room, below=True, port=path_port)
    for name in ("web", "truckee"):
        # Not within the path of a directory.
        second = re.sub(rf"(?<![/-])\b{name}\b(?![/-])", f"{name}2", second)
    return f"""
global
    maxconn 200
defaults
    mode http
    timeout connect 5000
    timeout client 50000
    timeout server 50000
frontend top
    bind 127.0.0.1:{top}
    default_backend gateway
frontend path
    bind 127.0.0.1:{path}
    http-request replace-path /tahoe/(.*) /\\1
    default_backend gateway
backend gateway
    server gateway 127.0.0.1:{room.gateway}
{documented("haproxy", room, below=False, port=top_port)}
{second}
"""


def caddy(room: Room) -> str:
    """Return the Caddyfile; certificates and networks of others are left alone."""
    top, path, top_port, path_port = room.ports
    here = f"reverse_proxy 127.0.0.1:{room.gateway}"
    sites = []
    for below, port in ((False, top_port), (True, path_port)):
        text = documented("caddy", room, below=below, port=port)
        name = f"https://localhost:{port} {{\ntls {room.place}/localhost.crt"
        sites.append(text.replace("localhost {", f"{name} {room.place}/localhost.key", 1))
    options = block("caddyfile").strip().removeprefix("{").removesuffix("}")
    return f"""
{{
    {options}
    admin off
    auto_https disable_redirects
    default_bind 127.0.0.1
    servers {{
        protocols h1 h2
    }}
}}
http://127.0.0.1:{top} {{
    {here}
}}
http://127.0.0.1:{path} {{
    handle_path /tahoe/* {{
        {here}
    }}
}}
{sites[0]}
{sites[1]}
"""


@frozen
class Kind:
    """One program."""

    program: str
    package: str
    config: Callable[[Room], str]
    arguments: Sequence[str]  # {} is the file of its configuration

    @property
    def installed(self) -> str | None:
        """Where it is, if it is there."""
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
        return shutil.which(self.program, path=path)


KINDS = {
    "nginx": Kind("nginx", "nginx-light", nginx, ("-c", "{}", "-e", "stderr")),
    "apache": Kind("apache2", "apache2", apache, ("-DFOREGROUND", "-f", "{}")),
    "haproxy": Kind("haproxy", "haproxy", haproxy, ("-db", "-q", "-f", "{}")),
    "caddy": Kind(
        "caddy", "caddy", caddy, ("run", "--adapter", "caddyfile", "--config", "{}")
    ),
}


@define(eq=False)
class Proxy:
    """One that runs, in front of the gateway on a port; a context manager that ends it."""

    kind: Kind
    gateway: int
    sites: list[Site] = field(factory=list, init=False)
    certificate: Path = field(init=False)
    place: Path = field(init=False)  # all that it writes
    _cleanup: ExitStack = field(factory=ExitStack, init=False)

    def __enter__(self) -> Proxy:
        with ExitStack() as cleanup:
            place = Path(cleanup.enter_context(TemporaryDirectory()))
            place.chmod(0o755)
            self.place = place
            self.certificate = make_certificate(place)
            room = Room(place, self.gateway, free_ports(4))
            config = place / "config"
            config.write_text(self.kind.config(room))
            arguments = [each.format(config) for each in self.kind.arguments]
            errors = cleanup.enter_context((place / "errors").open("wb"))
            process = subprocess.Popen(
                [str(self.kind.installed), *arguments],
                stderr=errors,
                cwd=place,
                env=os.environ | {"HOME": str(place), "XDG_DATA_HOME": str(place)},
            )
            cleanup.callback(process.wait, 60)
            cleanup.callback(process.terminate)
            eventually(lambda: process.poll() is not None or all(map(listens, room.ports)))
            if process.poll() is not None:
                raise AssertionError(
                    (place / "errors").read_text() + (place / "config").read_text()
                )
            for number, port in enumerate(room.ports):
                path = "tahoe/" if number % 2 else ""
                start = "http://127.0.0.1" if number < 2 else "https://localhost"
                self.sites.append(Site(f"{start}:{port}/{path}", number > 1))
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def trust(self) -> ssl.SSLContext:
        """Return what a client takes the certificate with."""
        return ssl.create_default_context(cafile=str(self.certificate))


def listens(port: int) -> bool:
    """Tell whether somebody does."""
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def make_certificate(place: Path) -> Path:
    """Write a certificate for localhost with its key, also in one file; return it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (place / "localhost.key").write_bytes(secret)
    (place / "localhost.pem").write_bytes(certificate + secret)
    path = place / "localhost.crt"
    path.write_bytes(certificate)
    return path
