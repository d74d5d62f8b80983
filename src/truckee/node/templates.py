"""The ``tahoe.cfg`` of new nodes, which explains itself."""

from __future__ import annotations

from collections.abc import Sequence

from truckee.node.config import GridShape

_NODE = """\
# Lines that begin with # are comments. Restart the node after a change.

[node]
nickname = {nickname}
"""

_WEB = """\
# A Twisted endpoint. Whoever reaches it can use the grid: keep it on loopback.
web.port = {web_port}
# Names of this gateway in addresses, beside localhost and IP addresses.
#web.allowed-hosts = gateway.lan
# Its address for clients, if a proxy is in front: docs/how-to-put-a-proxy-in-front.md.
#web.base-url = https://files.example.com/
"""

_TUB = """\
# Where other nodes reach this one: an endpoint, and what they are told.
tub.port = {tub_port}
tub.location = {tub_location}
"""

_CLIENT = """
[client]
# Any "needed" of the "total" shares give a file back. An upload succeeds when its shares
# are on at least "happy" {places}.
shares.needed = {needed}
shares.happy = {happy}
shares.total = {total}
# File data of all uploads in memory.
#upload.memory-limit = 128MiB
# The largest file that is taken.
#upload.max-size = 1T
# The largest file that is spooled (encrypted), to find its convergent key or its length.
#upload.spool-limit = 64GiB
# An upload that comes in pieces is given up so long after its last byte.
#upload.expire-after = 1 day
"""

_UNKNOWN = """\
# The largest file of unannounced length: room for it is asked for on every server.
#upload.max-unknown-size = 4GiB
"""

_RENEW = """\
# Servers may delete what nobody renews: docs/how-to-keep-files-alive.md. A line for each
# alias of a directory; all that is below it is renewed.
#renew = tahoe, every 7 days
# Repair what is unhealthy there, too.
#renew.repair = true
"""

_STORAGE = """
[storage]
enabled = {enabled}
"""

_OFFERED = """\
# Disk space that shares never use.
reserved_space = {reserved_space}
#readonly = true
#storage_dir = storage
"""

_USED_HELPER = """\
# Uploads go through it while it is connected; the address is in private/helper.furl there.
helper.furl = {furl}
#helper.enabled = false
# A file counts as stored when this node finds its shares on the servers itself.
#helper.verify = true
"""

_HELPER = """
[helper]
enabled = true
# Ciphertext of all uploads together on this disk, and of one file.
#spool-limit = 64GiB
#max-size = 1TiB
# Uploads that are under way at once.
#max-uploads = 64
# The same for one gateway: by default half.
#client-spool-limit = 32GiB
#client-max-uploads = 32
# What nobody came back for is deleted so long after its last byte.
#expire-after = 14 days
"""

_GRID = """
[grid]
# Point each at a disk of its own; move what is in it along. Paths are relative to this
# file's directory, or absolute. When a disk dies: truckee storage --help
storage_dirs =
{storage_dirs}
# Disk space that shares never use.
reserved_space = {reserved_space}
"""

DISABLED = "disabled"


def _literal(text: str) -> str:
    """Return *text* as a value that is read back as it is."""
    return text.replace("%", "%%")


def _client(shape: GridShape, places: str) -> str:
    return _CLIENT.format(
        needed=shape.needed, happy=shape.happy, total=shape.total, places=places
    )


def _head(nickname: str, web_port: str | None, tub_port: str, tub_location: str) -> str:
    web = "" if web_port is None else _WEB.format(web_port=_literal(web_port))
    tub = _TUB.format(tub_port=_literal(tub_port), tub_location=_literal(tub_location))
    return _NODE.format(nickname=_literal(nickname)) + web + tub


def grid_config(
    nickname: str,
    web_port: str,
    shape: GridShape,
    storage_dirs: Sequence[str],
    reserved_space: str = "1G",
) -> str:
    """Return the configuration of a gateway with storage directories of its own."""
    return (
        _head(nickname, web_port, DISABLED, DISABLED)
        + _client(shape, "storage directories")
        + _STORAGE.format(enabled="false")
        + _GRID.format(
            storage_dirs="\n".join(f"    {name}" for name in storage_dirs),
            reserved_space=reserved_space,
        )
    )


def helper_config(
    nickname: str, web_port: str | None, tub_port: str, tub_location: str, shape: GridShape
) -> str:
    """Return the configuration of a helper, which is a gateway too if it has a web port."""
    return (
        _head(nickname, web_port, tub_port, tub_location)
        + _client(shape, "servers")
        + _STORAGE.format(enabled="false")
        + _HELPER
    )


def client_config(
    nickname: str, web_port: str, shape: GridShape, helper: str | None = None
) -> str:
    """Return the configuration of a gateway to a grid of other machines."""
    used = "" if helper is None else _USED_HELPER.format(furl=_literal(helper))
    return (
        _head(nickname, web_port, DISABLED, DISABLED)
        + _client(shape, "servers")
        + _UNKNOWN
        + _RENEW
        + used
        + _STORAGE.format(enabled="false")
    )


def storage_config(
    nickname: str, tub_port: str, tub_location: str, reserved_space: str
) -> str:
    """Return the configuration of a storage server for others."""
    return (
        _head(nickname, None, tub_port, tub_location)
        + _STORAGE.format(enabled="true")
        + _OFFERED.format(reserved_space=reserved_space)
    )
