"""
``tahoe.cfg``: what the operator says.

Source: ``docs/reference/node-directory.md``.  Sections and keys that are not known here
are left alone; one that is known and wrong is named with its file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from configparser import ConfigParser, Error
from pathlib import Path
from typing import Protocol, TypeVar

from attrs import define, field, frozen

from truckee.codec.geometry import DEFAULT_SEGMENT_SIZE, Encoding
from truckee.codec.lease_expiry import (
    ExpiryPolicy,
    ShareKind,
    parse_cutoff_date,
    parse_lease_duration,
)
from truckee.errors import Misuse
from truckee.flow.durations import parse_duration
from truckee.flow.sizes import parse_size
from truckee.frontends.http.origin import AllowedHosts, allowed_hosts
from truckee.grid.addresses import AddressPolicy, Reach
from truckee.helper.uploads import HelperLimits
from truckee.immutable.cache import CacheLimits
from truckee.immutable.open_uploads import OpenLimits
from truckee.immutable.upload import UploadLimits
from truckee.node.layout import NodeDirectory

T = TypeVar("T")

DEFAULT_WEB_PORT = "tcp:3456:interface=127.0.0.1"
DEFAULT_STORAGE_DIRS = 3

# File data of all uploads together: at 3-of-10 a segment under way takes 4.3 MiB and an
# upload that waits for its client 2.5 MiB.
DEFAULT_MEMORY_LIMIT = 128 << 20
# The same of all downloads: a segment under way takes 2 MiB, and one reader has up to nine.
DEFAULT_DOWNLOAD_MEMORY = 64 << 20


@define
class BadConfig(Misuse):
    """{path}: {where}: {reason}."""

    path: Path
    where: str
    reason: str


@frozen
class GridShape:
    """How many shares files have, as ``shares.*`` says."""

    needed: int = 2
    happy: int = 2
    total: int = 3

    def __attrs_post_init__(self) -> None:
        if self.needed > self.total:
            raise ValueError(
                f"shares.needed must be at most {self.total} (shares.total), "
                f"not {self.needed}"
            )
        Encoding(self.needed, self.total)
        if not 1 <= self.happy <= self.total:
            raise ValueError(
                f"shares.happy must be 1 to {self.total} (shares.total), not {self.happy}"
            )


@frozen
class StorageConfig:
    """What a storage server for others offers."""

    directory: Path
    readonly: bool
    reserved_space: int  # bytes of its disk
    force_foolscap: bool  # no HTTPS
    expiry: ExpiryPolicy | None = None  # None: nothing expires


@frozen
class NodeConfig:
    """One node's configuration, checked."""

    nickname: str
    tub_port: str | None  # an endpoint string; None: nobody connects to us
    tub_location: str | None  # hints, separated by commas
    introducer_furl: str | None = field(repr=False)  # of the introducer "default"
    announced_addresses: AddressPolicy | None  # None: as near as the introducer is
    storage: StorageConfig | None
    unsupported: Sequence[str]  # what is set and does nothing here
    web_port: str | None  # an endpoint string
    web_hosts: AllowedHosts  # the names that the web API is known under
    shape: GridShape
    default_key: str  # of uploads that say none: random or CHK
    helper_furl: str | None = field(repr=False)  # of the helper that we use
    helper_verify: bool  # whether what it says it stored is looked for on the servers
    helper: HelperLimits | None  # of the helper that we are
    encoding: Encoding
    memory_limit: int  # bytes
    download_memory: int  # bytes
    cache: CacheLimits
    limits: UploadLimits
    open_uploads: OpenLimits
    storage_dirs: Sequence[Path]
    reserved_space: int  # bytes, of each storage directory's disk


def _parse_boolean(text: str) -> bool:
    states = ConfigParser.BOOLEAN_STATES
    if text.lower() not in states:
        raise ValueError(f"{text!r} is not true or false")
    return states[text.lower()]


def _or_none(text: str) -> str | None:
    """What stock nodes call none."""
    return None if text.lower() in ("disabled", "none") else text


# The keys of ``GridShape`` with which its errors begin.
_SHAPE = ("shares.needed", "shares.happy", "shares.total")

# Section, key, and the value with which it changes nothing.
_UNSUPPORTED = (
    ("node", "reveal-ip-address", "true"),
    ("connections", "tcp", "tcp"),
    ("tor", "enabled", "false"),
    ("i2p", "enabled", "false"),
    ("client", "mutable.format", "sdmf"),
    ("client", "peers.preferred", ""),
    ("storage", "anonymous", "true"),
    ("storage", "grid_management", "false"),
    ("sftpd", "enabled", "false"),
)


def _parse_memory(text: str) -> int:
    """Return a size for which something fits.  :raises ValueError: when none does."""
    size = parse_size(text)
    if size == 0:
        raise ValueError("without memory nothing can be done")
    return size


def _parse_key(text: str) -> str:
    """Return which key a file has by itself.  :raises ValueError:"""
    if text.lower() not in ("random", "chk"):
        raise ValueError(f"{text!r} is not random or CHK")
    return text.lower()


def _parse_count(text: str) -> int:
    """Return a number from 1 on.  :raises ValueError: when *text* is none."""
    count = int(text)
    if count < 1:
        raise ValueError(f"{text!r} is not a number from 1 on")
    return count


_ADDRESSES = {
    "auto": None,
    "any": AddressPolicy(Reach.LOOPBACK),
    "private": AddressPolicy(Reach.PRIVATE),
    "public": AddressPolicy(Reach.PUBLIC),
}


def _parse_addresses(text: str) -> AddressPolicy | None:
    """Return which addresses announcements may name.  :raises ValueError:"""
    if text.lower() not in _ADDRESSES:
        raise ValueError(f"{text!r} is none of {', '.join(_ADDRESSES)}")
    return _ADDRESSES[text.lower()]


def _parse_days(text: str) -> float:
    """Return seconds.  :raises ValueError: when *text* is not a number of days."""
    match = re.fullmatch(r"([0-9]{1,5}(?:\.[0-9]{1,5})?) *(?:days?)?", text, re.ASCII)
    days = float(match[1]) if match else 0.0
    if not 0 < days < 36500:
        raise ValueError(f"{text!r} is not a number of days, as in 14 days")
    return days * 86400


class _Get(Protocol):
    def __call__(
        self, section: str, key: str, default: T, convert: Callable[[str], T], /
    ) -> T: ...


def _expiry(node: NodeDirectory, get: _Get) -> ExpiryPolicy | None:
    """Return which leases expire, as ``[storage] expire.*`` says."""
    if not get("storage", "expire.enabled", False, _parse_boolean):
        return None
    mode = get("storage", "expire.mode", "", str)
    duration = cutoff = None
    if mode == "age":
        key = "expire.override_lease_duration"
        duration = get("storage", key, None, parse_lease_duration)
    elif mode == "cutoff-date":
        cutoff = get("storage", "expire.cutoff_date", None, parse_cutoff_date)
        if cutoff is None:
            reason = "is needed with expire.mode = cutoff-date"
            raise BadConfig(node.config, "[storage] expire.cutoff_date", reason)
    else:
        reason = f"{mode!r} is not age or cutoff-date"
        raise BadConfig(node.config, "[storage] expire.mode", reason)
    kinds = [
        kind
        for kind in ShareKind
        if get("storage", f"expire.{kind.value}", True, _parse_boolean)
    ]
    return ExpiryPolicy(duration, cutoff, frozenset(kinds))


def _parse_guard(text: str) -> float:
    """Return seconds, 0 for none.  :raises ValueError: when *text* is not a time."""
    return 0.0 if text == "0" else parse_duration(text)


def load_config(node: NodeDirectory) -> NodeConfig:
    """Return what ``tahoe.cfg`` says.  :raises BadConfig: with the file and the place."""
    parser = ConfigParser(strict=False)
    try:
        parser.read_string(node.config.read_text("utf-8-sig"), str(node.config))
    except (Error, UnicodeDecodeError, OSError) as error:
        raise BadConfig(node.config, "cannot be read", str(error)) from None

    def get(section: str, key: str, default: T, convert: Callable[[str], T]) -> T:
        try:
            text = parser.get(section, key, fallback=None)
            return default if text is None or not text.strip() else convert(text.strip())
        except (ValueError, Error) as error:
            raise BadConfig(node.config, f"[{section}] {key}", str(error)) from None

    shares = [
        get("client", f"shares.{name}", default, int)
        for name, default in (("needed", 3), ("happy", 7), ("total", 10))
    ]
    segment_size = get(
        "client",
        "shares._max_immutable_segment_size_for_testing",
        DEFAULT_SEGMENT_SIZE,
        int,
    )
    try:
        shape = GridShape(*shares)
        encoding = Encoding(shape.needed, shape.total, segment_size)
    except ValueError as error:
        wrong = next((key for key in _SHAPE if str(error).startswith(key)), "shares.*")
        raise BadConfig(node.config, f"[client] {wrong}", str(error)) from None
    defaults = UploadLimits()
    cached = CacheLimits()
    tub_port = get("node", "tub.port", None, _or_none)
    storage = None
    if get("storage", "enabled", True, _parse_boolean):
        storage = StorageConfig(
            node.path / get("storage", "storage_dir", "storage", str),
            get("storage", "readonly", False, _parse_boolean),
            get("storage", "reserved_space", 0, parse_size),
            get("storage", "force_foolscap", False, _parse_boolean),
            _expiry(node, get),
        )
    helper = None
    if get("helper", "enabled", False, _parse_boolean):
        usual = HelperLimits()
        helper = HelperLimits(
            get("helper", "spool-limit", usual.spool, parse_size),
            get("helper", "max-size", usual.size, parse_size),
            get("helper", "max-uploads", usual.uploads, _parse_count),
            get("helper", "expire-after", usual.expire_after, _parse_days),
            client_spool=get("helper", "client-spool-limit", None, parse_size),
            client_uploads=get("helper", "client-max-uploads", None, _parse_count),
        )
    helper_furl = get("client", "helper.furl", None, _or_none)
    if not get("client", "helper.enabled", True, _parse_boolean):
        helper_furl = None
    storage_dirs = [
        node.path / line.strip()
        for line in get("grid", "storage_dirs", "", str).splitlines()
        if line.strip()
    ]
    unsupported = [
        f"[{section}] {key} = {text}"
        for section, key, off in _UNSUPPORTED
        if (text := get(section, key, "", str).lower()) not in ("", off)
    ]
    if storage_dirs:
        # A grid of its own connects to nobody, and only its own gateway would renew leases.
        if get("storage", "expire.enabled", False, _parse_boolean):
            unsupported.append("[storage] expire.enabled")
        given = {"[helper] enabled": helper, "[client] helper.furl": helper_furl}
        unsupported += [key for key, value in given.items() if value is not None]
    web_port = get("node", "web.port", None, _or_none)
    return NodeConfig(
        nickname=get("node", "nickname", "<unspecified>", str),
        tub_port=tub_port,
        tub_location=get("node", "tub.location", None, _or_none),
        introducer_furl=get("client", "introducer.furl", None, _or_none),
        announced_addresses=get(
            "connections", "announced-addresses", None, _parse_addresses
        ),
        storage=storage,
        unsupported=unsupported,
        web_port=web_port,
        web_hosts=get(
            "node",
            "web.allowed-hosts",
            allowed_hosts("", web_port or ""),
            lambda text: allowed_hosts(text, web_port or ""),
        ),
        shape=shape,
        default_key=get("client", "upload.default-key", "random", _parse_key),
        helper_furl=helper_furl,
        helper_verify=get("client", "helper.verify", True, _parse_boolean),
        helper=helper,
        encoding=encoding,
        memory_limit=get(
            "client", "upload.memory-limit", DEFAULT_MEMORY_LIMIT, _parse_memory
        ),
        download_memory=get(
            "client", "download.memory-limit", DEFAULT_DOWNLOAD_MEMORY, _parse_memory
        ),
        cache=CacheLimits(
            # What is on our own disks is no nearer in a cache on one of them.
            get("client", "cache.limit", 0 if storage_dirs else cached.size, parse_size),
            get("client", "cache.expire-after", cached.expire_after, parse_duration),
            get("client", "cache.check-interval", cached.check_interval, parse_duration),
        ),
        limits=UploadLimits(
            max_size=get("client", "upload.max-size", defaults.max_size, parse_size),
            max_unknown_size=get(
                "client",
                "upload.max-unknown-size",
                defaults.max_unknown_size,
                parse_size,
            ),
            spool=get("client", "upload.spool-limit", defaults.spool, parse_size),
        ),
        open_uploads=OpenLimits(
            expire_after=get(
                "client", "upload.expire-after", OpenLimits().expire_after, _parse_days
            ),
            guard=get("client", "upload.keep-stored", OpenLimits().guard, _parse_guard),
        ),
        storage_dirs=storage_dirs,
        reserved_space=get("grid", "reserved_space", 0, parse_size),
    )
