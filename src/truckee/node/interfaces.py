"""The addresses of this machine, and a port on it, for nodes that are told neither."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import cffi

from truckee.flow.durable import write_durably
from truckee.grid.addresses import MAX_HINTS, Reach, reach_of

_INTERFACE = re.compile(r":interface=([0-9.]+)(?:$|:)")
_MOST = 1000  # addresses that are looked at

_ffi: Any = cffi.FFI()
# The beginning of these structures, which is the same on Linux and BSD systems.
_ffi.cdef(
    """
    struct ifaddrs {
        struct ifaddrs *ifa_next;
        char *ifa_name;
        unsigned int ifa_flags;
        unsigned char *ifa_addr;
    };
    int getifaddrs(struct ifaddrs **found);
    void freeifaddrs(struct ifaddrs *found);
    """
)


def local_addresses() -> list[IPv4Address]:
    """Return the IPv4 addresses of all interfaces that have one; loopback at least."""
    found = {IPv4Address("127.0.0.1")}
    first = _ffi.new("struct ifaddrs **")
    library = _ffi.dlopen(None)
    if library.getifaddrs(first) != 0:
        return list(found)
    try:
        each = first[0]
        for _ in range(_MOST):
            if each == _ffi.NULL:
                break
            if each.ifa_addr != _ffi.NULL:
                # Its family is the first two bytes, or on BSD systems the second one.
                head = bytes(_ffi.buffer(each.ifa_addr, 2))
                families = (int.from_bytes(head, "little"), head[1])
                if socket.AF_INET in families:
                    found.add(IPv4Address(bytes(_ffi.buffer(each.ifa_addr, 8))[4:]))
            each = each.ifa_next
    finally:
        library.freeifaddrs(first[0])
    return sorted(found)


def automatic_hints(endpoint: str, addresses: Sequence[IPv4Address]) -> list[str]:
    """
    Return the connection hints that ``AUTO`` stands for, the widest reach first.

    An *endpoint* on one interface is reached at its address alone.
    """
    number = next((part for part in endpoint.split(":") if part.isdecimal()), None)
    if number is None:
        return []
    bound = _INTERFACE.search(endpoint)
    if bound is not None and bound[1] != "0.0.0.0":
        return [f"tcp:{bound[1]}:{number}"]
    reaches = [(reach_of(str(address)), address) for address in addresses]
    usable = [pair for pair in reaches if pair[0] is not Reach.NOWHERE]
    usable.sort(key=lambda pair: (-pair[0], pair[1]))
    return [f"tcp:{address}:{number}" for _, address in usable[:MAX_HINTS]]


def choose_port(path: Path) -> str:
    """Return an endpoint on a free port, noted in the file *path*; blocks."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        endpoint = f"tcp:{probe.getsockname()[1]}"
    write_durably(path, f"{endpoint}\n".encode("ascii"))
    return endpoint
