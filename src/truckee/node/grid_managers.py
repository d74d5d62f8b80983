"""
Grid managers in ``tahoe.cfg``: whose certificates count, and which we have ourselves.

Source: ``docs/how-to-use-grid-managers.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from truckee.codec.grid_certificate import (
    GridCertificate,
    SignedCertificate,
    parse_public_key,
)
from truckee.node.config_file import BadConfig, ConfigFile
from truckee.node.config_keys import Mistake
from truckee.node.config_values import parse_path

_MANAGERS = "grid_managers"
_CERTIFICATES = "grid_manager_certificates"
_MAX_FILE = 8192  # bytes; about 400 are usual
# An announcement with all of them has to be taken by others.
_MAX_FILES = 8192  # bytes of all certificates together
_SOON = 7 * 86400.0  # seconds before it expires that people hear of it
_FIELDS = {"certificate", "signature"}


@frozen
class OwnCertificate:
    """A certificate that is announced with our storage."""

    name: str  # in tahoe.cfg
    document: Mapping[str, str] = field(repr=False)  # as it is announced
    content: GridCertificate


def grid_managers(file: ConfigFile) -> list[Ed25519PublicKey]:
    """Return the keys in ``[grid_managers]``.  :raises BadConfig: when one is none."""
    keys = []
    for name, text in file.section(_MANAGERS).items():
        try:
            keys.append(parse_public_key(text))
        except ValueError as error:
            reason = f"{error}; ask who runs the grid manager for its public identity"
            raise BadConfig(file.path, f"[{_MANAGERS}] {name}", reason) from None
    return keys


def own_certificates(directory: Path, file: ConfigFile) -> list[OwnCertificate]:
    """
    Return what is announced with our storage, as ``[grid_manager_certificates]`` says.

    Blocks.  :raises BadConfig: when a file is missing, or is no certificate.
    """
    if not file.boolean("storage", "grid_management", False):
        return []
    found: list[OwnCertificate] = []
    size = 0
    for name, text in file.section(_CERTIFICATES).items():
        where = f"[{_CERTIFICATES}] {name}"
        try:
            found.append(_own_certificate(name, parse_path(directory, text)))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            reason = f"{text}: {reason}. Ask who runs the grid manager for the file"
            raise BadConfig(file.path, where, reason) from None
        size += len(json.dumps(found[-1].document))
        if size > _MAX_FILES:
            reason = "all certificates together are too large to be announced. Remove some"
            raise BadConfig(file.path, where, reason)
    return found


def certificate_mistakes(file: ConfigFile) -> list[Mistake]:
    """Return what has no effect, and was meant to."""
    on = file.boolean("storage", "grid_management", False)
    names = file.section(_CERTIFICATES)
    if names and not on:
        text = (
            f"[{_CERTIFICATES}] has no effect without [storage] grid_management = true, so "
            "nothing is announced of them."
        )
        return [Mistake(file.line_of(_CERTIFICATES, next(iter(names))), text)]
    if on and not names:
        text = (
            "[storage] grid_management is true, and there is no certificate in the section "
            f"[{_CERTIFICATES}]: clients with a grid manager upload nothing to this server."
        )
        return [Mistake(file.line_of("storage", "grid_management"), text)]
    return []


def certificate_troubles(
    certificates: Sequence[OwnCertificate], public_key: str, now: float
) -> dict[str, str]:
    """Return why clients do not accept some of ours, or soon will not, by their names."""
    troubles = {}
    for each in certificates:
        if each.content.public_key != public_key:
            troubles[each.name] = (
                "It is that of another server, and clients pass over it. The public key of "
                "this one is in node.pubkey."
            )
        elif each.content.expires <= now:
            troubles[each.name] = (
                f"It expired on {each.content.day}, and clients pass over it. Ask who runs "
                "the grid manager for a new one, and restart this node."
            )
        elif each.content.expires <= now + _SOON:
            troubles[each.name] = (
                f"It expires on {each.content.day}, and clients will pass over it. Ask who "
                "runs the grid manager for a new one, and restart this node."
            )
    return troubles


def _own_certificate(name: str, path: Path) -> OwnCertificate:
    """:raises OSError: :raises ValueError: when it is no certificate."""
    with path.open("rb") as file:
        data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise ValueError("it is too large")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if isinstance(document, dict) and document.keys() - _FIELDS:
        raise ValueError("it has other fields than certificate and signature")
    content = SignedCertificate.parse(document).read()
    return OwnCertificate(name, document, content)
