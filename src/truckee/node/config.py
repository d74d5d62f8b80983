"""
``tahoe.cfg``: what the operator says.

Source: ``docs/reference/node-directory.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from attrs import evolve, field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from truckee.codec.geometry import DEFAULT_SEGMENT_SIZE, Encoding
from truckee.codec.lease_expiry import (
    ExpiryPolicy,
    ShareKind,
    parse_cutoff_date,
    parse_lease_duration,
)
from truckee.flow.durations import parse_duration
from truckee.flow.sizes import parse_size
from truckee.grid.addresses import AddressPolicy
from truckee.grid.transports import StorageTransport
from truckee.helper.server.limits import HelperLimits
from truckee.immutable.download.cache import CacheLimits
from truckee.immutable.upload.uploader import UploadLimits
from truckee.net.http.base_url import parse_base_url
from truckee.net.http.forwarded import LOCAL_PROXIES, parse_trusted
from truckee.net.http.origin import AllowedHosts, allowed_hosts
from truckee.node.accounts import accounts_path
from truckee.node.config_file import BadConfig, ConfigFile
from truckee.node.config_keys import Mistake
from truckee.node.config_values import (
    or_none,
    parse_addresses,
    parse_boolean,
    parse_count,
    parse_days,
    parse_guard,
    parse_keep,
    parse_key,
    parse_memory,
    parse_segment_size,
    parse_storage_dir,
    parse_transport,
    parse_tub_port,
)
from truckee.node.grid_managers import (
    OwnCertificate,
    certificate_mistakes,
    grid_managers,
    own_certificates,
)
from truckee.node.layout import NodeDirectory
from truckee.node.own_grid import grid_mistakes, parse_storage_dirs
from truckee.node.protection import dials_tcp, obstacle_beside, obstacle_in
from truckee.node.renewal_config import renewal_mistakes, renewal_plan
from truckee.node.sftp_config import SftpConfig, sftp_config
from truckee.node.tor_settings import TorSettings, tor_settings
from truckee.node.unsupported import unsupported
from truckee.renewal.plan import RenewalPlan
from truckee.storage.kept_shares import KEEP
from truckee.uploads.registry import OpenLimits

DEFAULT_WEB_PORT = "tcp:3456:interface=127.0.0.1"
DEFAULT_STORAGE_DIRS = 3

# File data of all uploads together: at 3-of-10 a segment under way takes 4.3 MiB and an
# upload that waits for its client 2.5 MiB.
DEFAULT_MEMORY_LIMIT = 128 << 20
# The same of all downloads: a segment under way takes 2 MiB, and one reader has up to nine.
DEFAULT_DOWNLOAD_MEMORY = 64 << 20


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
    certificates: Sequence[OwnCertificate] = ()  # that are announced with it


@frozen
class NodeConfig:
    """One node's configuration, checked."""

    nickname: str
    dials_tcp: bool  # whether it connects to others over plain TCP
    tor: TorSettings | None  # None: Tor is not used
    transport: StorageTransport  # to the servers of others
    share_channels: bool  # for the bytes of shares, to and from other nodes
    tub_port: str | None  # an endpoint string; None: nobody connects to us
    tub_port_chosen: bool  # None above stands for a port that this node has to choose
    tub_location: str | None  # hints, separated by commas
    introducer_furl: str | None = field(repr=False)  # of the introducer "default"
    announced_addresses: AddressPolicy | None  # None: as near as the introducer is
    grid_managers: Sequence[Ed25519PublicKey]  # one of whom must approve of servers
    storage: StorageConfig | None
    unsupported: Sequence[str]  # what stock nodes know, and does nothing here
    mistakes: Sequence[Mistake]  # what nobody knows, or cannot be meant
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
    accounts_file: Path  # which need not be there
    storage_dirs: Sequence[Path]
    reserved_space: int  # bytes, of each storage directory's disk
    keep_incomplete: float  # seconds for which shares in progress are kept; 0: none are
    sftp: SftpConfig | None  # None: it is not wanted
    renewal: RenewalPlan


# The keys of ``GridShape`` with which its errors begin.
_SHAPE = ("shares.needed", "shares.happy", "shares.total")


def _expiry(file: ConfigFile) -> ExpiryPolicy | None:
    """Return which leases expire, as ``[storage] expire.*`` says."""
    get = file.get
    if not get("storage", "expire.enabled", False, parse_boolean):
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
            raise BadConfig(file.path, "[storage] expire.cutoff_date", reason)
    else:
        reason = f"{mode!r} is not age or cutoff-date"
        raise BadConfig(file.path, "[storage] expire.mode", reason)
    kinds = [
        kind
        for kind in ShareKind
        if get("storage", f"expire.{kind.value}", True, parse_boolean)
    ]
    return ExpiryPolicy(duration, cutoff, frozenset(kinds))


def _storage(node: NodeDirectory, file: ConfigFile) -> StorageConfig | None:
    """Return what storage is offered to others; None: none."""
    get = file.get
    if not get("storage", "enabled", True, parse_boolean):
        return None
    directory = node.path / "storage"
    return StorageConfig(
        get("storage", "storage_dir", directory, partial(parse_storage_dir, node.path)),
        get("storage", "readonly", False, parse_boolean),
        get("storage", "reserved_space", 0, parse_size),
        get("storage", "force_foolscap", False, parse_boolean),
        _expiry(file),
        own_certificates(node.path, file),
    )


@frozen
class _Tub:
    """Where other nodes reach this one."""

    port: str | None
    location: str | None
    chosen: bool  # the port is to be chosen

    @property
    def shows_address(self) -> bool:
        """Whether others are told the address of this machine."""
        hints = (self.location or "").split(",") if self.port or self.chosen else []
        hidden = ("tor:", "i2p:")
        return any(hint.strip() and not hint.strip().startswith(hidden) for hint in hints)


def _tub(node: NodeDirectory, file: ConfigFile, needed: bool) -> _Tub:
    """
    Return where other nodes reach this one, as stock nodes read it.

    A location that is not set is ``AUTO``.  A port that is not set is that in the file
    ``client.port``, or one that the node chooses, if it has a service for others.
    """
    port = file.get("node", "tub.port", None, parse_tub_port)
    location = file.get("node", "tub.location", None, or_none)
    if not file.has("node", "tub.location") and (port is not None or needed):
        location = "AUTO"
    if file.has("node", "tub.port") or location is None or not needed:
        return _Tub(port, location if port is not None else None, False)
    kept = _client_port(node)
    return _Tub(kept, location, kept is None)


def _web_hosts(file: ConfigFile, web_port: str) -> AllowedHosts:
    """Return the names that the web API is known under, and what may be in front of it."""
    named = file.get(
        "node",
        "web.allowed-hosts",
        allowed_hosts("", web_port),
        lambda text: allowed_hosts(text, web_port),
    )
    base = file.get("node", "web.base-url", None, parse_base_url)
    trusted = file.get("node", "web.trusted-proxies", LOCAL_PROXIES, parse_trusted)
    return evolve(named, base=base, proxies=trusted)


def _client_port(node: NodeDirectory) -> str | None:
    """Return the port that this node chose once."""
    try:
        return node.client_port.read_text("ascii").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadConfig(node.path, node.client_port.name, str(error)) from None


def _transport(file: ConfigFile) -> StorageTransport:
    """Return over what servers are reached; stock nodes have a key of their own for it."""
    key = "storage.transport"
    transport = file.get("client", key, StorageTransport.AUTO, parse_transport)
    if not file.get("client", "force_foolscap", False, parse_boolean):
        return transport
    if transport is StorageTransport.HTTPS:
        reason = "https contradicts force_foolscap = true; remove one of them"
        raise BadConfig(file.path, f"[client] {key}", reason)
    return StorageTransport.FOOLSCAP


def _segment_size(file: ConfigFile) -> int:
    """Return the bytes of a segment; stock nodes have a key of their own for it."""
    key, stock = "shares.segment-size", "shares._max_immutable_segment_size_for_testing"
    size = file.get("client", key, None, parse_segment_size)
    stock_size = file.get("client", stock, None, int)
    if size is None:
        return DEFAULT_SEGMENT_SIZE if stock_size is None else stock_size
    if stock_size not in (None, size):
        reason = f"contradicts {stock} = {stock_size}; remove one of them"
        raise BadConfig(file.path, f"[client] {key}", reason)
    return size


def _memory_limits(file: ConfigFile, encoding: Encoding) -> tuple[int, int]:
    """
    Return the memory of all uploads, and of all downloads.

    A segment that was asked for by ``shares.segment-size`` fits into both.
    """
    limits = []
    size = encoding.streaming_segment_size
    for key, usual, needed in (
        ("upload.memory-limit", DEFAULT_MEMORY_LIMIT, encoding.coded_size(size)),
        ("download.memory-limit", DEFAULT_DOWNLOAD_MEMORY, 2 * size),
    ):
        limit = file.get("client", key, usual, parse_memory)
        if limit < needed and file.text("client", "shares.segment-size"):
            reason = f"a segment under way takes {needed} bytes, more than {key} ({limit})"
            raise BadConfig(file.path, "[client] shares.segment-size", reason)
        limits.append(limit)
    return limits[0], limits[1]


def load_config(node: NodeDirectory) -> NodeConfig:
    """Return what ``tahoe.cfg`` says.  :raises BadConfig: with the file and the place."""
    file = ConfigFile.read(node.config)
    get = file.get
    mistakes = file.mistakes()
    shares = [
        get("client", f"shares.{name}", default, int)
        for name, default in (("needed", 3), ("happy", 7), ("total", 10))
    ]
    segment_size = _segment_size(file)
    try:
        shape = GridShape(*shares)
        encoding = Encoding(shape.needed, shape.total, segment_size)
    except ValueError as error:
        wrong = next((key for key in _SHAPE if str(error).startswith(key)), "shares.*")
        raise BadConfig(node.config, f"[client] {wrong}", str(error)) from None
    memory_limit, download_memory = _memory_limits(file, encoding)
    defaults = UploadLimits()
    cached = CacheLimits()
    storage = _storage(node, file)
    helper = None
    if get("helper", "enabled", False, parse_boolean):
        usual = HelperLimits()
        helper = HelperLimits(
            get("helper", "spool-limit", usual.spool, parse_size),
            get("helper", "max-size", usual.size, parse_size),
            get("helper", "max-uploads", usual.uploads, parse_count),
            get("helper", "expire-after", usual.expire_after, parse_days),
            client_spool=get("helper", "client-spool-limit", None, parse_size),
            client_uploads=get("helper", "client-max-uploads", None, parse_count),
        )
    helper_furl = get("client", "helper.furl", None, or_none)
    if not get("client", "helper.enabled", True, parse_boolean):
        helper_furl = None
    storage_dirs = parse_storage_dirs(node.path, file)
    without_effect = unsupported(file.text)
    managers = grid_managers(file)
    if storage is not None:
        mistakes += certificate_mistakes(file)
    if storage_dirs:
        # A grid of its own connects to nobody, and only its own gateway would renew leases.
        if get("storage", "expire.enabled", False, parse_boolean):
            without_effect.append("[storage] expire.enabled")
        given = {"[helper] enabled": helper, "[client] helper.furl": helper_furl}
        if managers:
            without_effect.append("[grid_managers]")
        without_effect += [key for key, value in given.items() if value is not None]
        mistakes += grid_mistakes(file, shape.needed, shape.happy, len(storage_dirs))
    renewal = renewal_plan(node.private, file)
    mistakes += renewal_mistakes(file, renewal)
    web_port = get("node", "web.port", None, or_none)
    needs_port = not storage_dirs and not (storage is None and helper is None)
    tub = _tub(node, file, needs_port)
    connects = get("connections", "tcp", True, lambda _: dials_tcp(file))
    if not storage_dirs:
        obstacle = obstacle_in(file, tub.shows_address, storage is not None)
        if obstacle is not None:
            raise BadConfig(file.path, obstacle.where, obstacle.reason)
    obstacle = obstacle_beside(node.path, web_port is not None)
    if obstacle is not None:
        raise BadConfig(node.path, obstacle.where, obstacle.reason)
    return NodeConfig(
        nickname=get("node", "nickname", "<unspecified>", str),
        dials_tcp=connects,
        tor=None if storage_dirs else tor_settings(node.path, file),
        transport=_transport(file),
        share_channels=get("node", "share-channels", True, parse_boolean),
        tub_port=tub.port,
        tub_port_chosen=tub.chosen,
        tub_location=tub.location,
        introducer_furl=get("client", "introducer.furl", None, or_none),
        announced_addresses=get(
            "connections", "announced-addresses", None, parse_addresses
        ),
        grid_managers=[] if storage_dirs else managers,
        storage=storage,
        unsupported=without_effect,
        mistakes=mistakes,
        web_port=web_port,
        web_hosts=_web_hosts(file, web_port or ""),
        shape=shape,
        default_key=get("client", "upload.default-key", "random", parse_key),
        helper_furl=helper_furl,
        helper_verify=get("client", "helper.verify", True, parse_boolean),
        helper=helper,
        encoding=encoding,
        memory_limit=memory_limit,
        download_memory=download_memory,
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
                "client", "upload.expire-after", OpenLimits().expire_after, parse_days
            ),
            guard=get("client", "upload.keep-stored", OpenLimits().guard, parse_guard),
        ),
        accounts_file=accounts_path(node, file),
        storage_dirs=storage_dirs,
        reserved_space=get("grid", "reserved_space", 0, parse_size),
        keep_incomplete=get("storage", "incomplete.keep", KEEP, parse_keep),
        sftp=sftp_config(node, file),
        renewal=renewal,
    )
