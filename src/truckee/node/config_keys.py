"""
Which sections and keys ``tahoe.cfg`` has, and the names in a file that are none.  Pure.

A name that is not known has no effect, so it is reported with its line.  Where it can only
be a typo of a key that protects somebody, it stops the start: what was written there would
be believed to hold.

Source: ``docs/reference/node-directory.md``, "tahoe.cfg".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from attrs import frozen

_EXPIRE = """expire.enabled expire.mode expire.override_lease_duration expire.cutoff_date
    expire.immutable expire.mutable"""

# By section: keys of this program, and of stock nodes, those of old versions too.
_KNOWN = {
    "node": """nickname web.port web.static web.allowed-hosts tub.port tub.location
        timeout.keepalive timeout.disconnect reveal-ip-address tempdir log_gatherer.furl
        share-channels web.base-url web.trusted-proxies web.ambient_upload_authority
        web.reveal_storage_furls""",
    "connections": "tcp announced-addresses",
    "tor": """enabled launch socks.port control.port tor.executable onion onion.local_port
        onion.external_port onion.private_key_file""",
    "i2p": """enabled launch sam.port i2p.configdir i2p.executable dest dest.port
        dest.private_key_file""",
    "client": """introducer.furl helper.furl helper.enabled helper.verify shares.needed
        shares.happy shares.total shares.segment-size
        shares._max_immutable_segment_size_for_testing
        mutable.format peers.preferred force_foolscap storage.transport storage.plugins
        key_generator.furl stats_gatherer.furl upload.memory-limit upload.max-size
        upload.max-unknown-size upload.spool-limit upload.expire-after
        upload.keep-stored upload.default-key
        download.memory-limit cache.limit cache.expire-after cache.check-interval renew
        renew.repair""",
    "storage": f"""enabled anonymous readonly reserved_space storage_dir force_foolscap
        plugins grid_management debug_discard debug_discard_storage incomplete.keep
        {_EXPIRE}""",
    "helper": """enabled spool-limit max-size max-uploads client-spool-limit
        client-max-uploads expire-after""",
    "grid": "storage_dirs reserved_space",
    "sftpd": "enabled port accounts.file accounts.url host_pubkey_file host_privkey_file",
    "ftpd": "enabled port accounts.file accounts.url",
    "drop_upload": "enabled upload.dircap local.directory",
    "magic_folder": "enabled local.directory download.umask",
}
KNOWN = {section: frozenset(keys.split()) for section, keys in _KNOWN.items()}

# Sections whose keys are names of somebody's choice.
FREE = ("grid_managers", "grid_manager_certificates")
_FREE_STARTS = ("storageclient.plugins.", "storageserver.plugins.")

# What keeps somebody from being seen, files from being lost or a disk from being filled.
PROTECTING = {
    "node": frozenset(("reveal-ip-address", "web.allowed-hosts", "web.trusted-proxies")),
    "connections": KNOWN["connections"],
    "client": frozenset(
        ("helper.verify", "shares.needed", "shares.happy", "shares.total", "renew")
    ),
    "storage": frozenset(f"readonly anonymous reserved_space {_EXPIRE}".split()),
    "grid": KNOWN["grid"],
}

_CLOSE = 0.8  # of 1: one wrong, missing or doubled letter, or two of a long name
_SIMILAR = 0.6  # enough for "did you mean"


@frozen
class Entry:
    """One line of the file that sets something."""

    line: int  # from 1
    section: str
    key: str  # in lower case


@frozen
class Mistake:
    """A part of the file that has no effect, or not the one that was meant."""

    line: int  # 0: it is not in the file
    text: str  # a sentence or two, without values
    fatal: bool = False

    @property
    def where(self) -> str:
        """The file and the line, as people are told."""
        return f"tahoe.cfg line {self.line}" if self.line else "tahoe.cfg"


def entries_of(text: str) -> Iterator[Entry]:
    """Return all lines that set something, of a *text* that ``ConfigParser`` takes."""
    section = ""
    within = False  # a value that goes on in indented lines
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare[0] in "#;" or (within and line[0].isspace()):
            continue
        if bare[0] == "[" and "]" in bare:
            section, within = bare[1 : bare.rindex("]")], False
            yield Entry(number, section, "")
            continue
        ends = [at for at in (bare.find("="), bare.find(":")) if at > 0]
        if ends:
            within = True
            yield Entry(number, section, bare[: min(ends)].strip().lower())


def mistakes_of(entries: Sequence[Entry]) -> list[Mistake]:
    """Return the sections and keys that are not known; the fatal ones are first."""
    found = []
    given = {(each.section, each.key) for each in entries}
    for each in entries:
        if _is_free(each.section) or each.section == "DEFAULT":
            continue
        if each.section not in KNOWN:
            if not each.key:
                found.append(_of_section(each, entries))
        elif each.key and each.key not in KNOWN[each.section]:
            found.append(_of_key(each, given))
    return sorted(found, key=lambda mistake: not mistake.fatal)


def _is_free(section: str) -> bool:
    return section in FREE or section.startswith(_FREE_STARTS)


def _of_section(entry: Entry, entries: Iterable[Entry]) -> Mistake:
    """Return what is wrong with a section that is not known."""
    names = {name.lower(): name for name in (*KNOWN, *FREE)}
    plain = entry.section.strip().lower()
    close = get_close_matches(plain, names, 1, _CLOSE)
    similar = close or get_close_matches(plain, names, 1, _SIMILAR)
    text = f"There is no section [{_shown(entry.section)}], and it has no effect."
    if similar:
        text += f" Did you mean [{names[similar[0]]}]?"
    fatal = False
    if close:
        meant = names[close[0]]
        keys = {each.key for each in entries if each.section == entry.section} - {""}
        fatal = bool(keys) if meant in FREE else False
        fatal = fatal or bool(keys & PROTECTING.get(meant, frozenset()))
    return Mistake(entry.line, text, fatal)


def _of_key(entry: Entry, given: Iterable[tuple[str, str]]) -> Mistake:
    """Return what is wrong with a key that is not known in its section."""
    where = f"[{entry.section}] {_shown(entry.key)}"
    elsewhere = [name for name, keys in KNOWN.items() if entry.key in keys]
    keys = KNOWN[entry.section]
    swapped = [key for key in keys if sorted(key) == sorted(entry.key)]
    close = swapped or get_close_matches(entry.key, keys, 1, _CLOSE)
    similar = close or get_close_matches(entry.key, keys, 1, _SIMILAR)
    text = f"{where} is not known and has no effect."
    meant = None
    if close:
        meant = (entry.section, close[0])
        text += f" Did you mean {close[0]}?"
    elif elsewhere:
        meant = (elsewhere[0], entry.key)
        text += f" Did you mean it for the section [{elsewhere[0]}]?"
    elif similar:
        text += f" Did you mean {similar[0]}?"
    fatal = (
        meant is not None
        and meant[1] in PROTECTING.get(meant[0], frozenset())
        # The right one counts, and this is left over.
        and meant not in given
    )
    return Mistake(entry.line, text, fatal)


def _shown(name: str) -> str:
    """Return what somebody wrote, short and in one line."""
    return "".join(each if each.isprintable() else "?" for each in name[:80])
