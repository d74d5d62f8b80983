"""
LOCK and UNLOCK.

Source: RFC 4918, sections 9.10 and 9.11.
"""

from __future__ import annotations

from attrs import evolve

from truckee.codec.children_json import GivenChild
from truckee.frontends.webdav.asked import Asked
from truckee.frontends.webdav.emptied import EMPTY, settle
from truckee.frontends.webdav.errors import BadHeader, LockedByOther, OtherToken
from truckee.frontends.webdav.finding import HEADERS, shown_locks, shows_locks
from truckee.frontends.webdav.guard import Guard, Touched
from truckee.frontends.webdav.lock_table import (
    MAX_OWNER,
    Lock,
    LockConflict,
    NoSuchLock,
    wanted_timeout,
)
from truckee.frontends.webdav.places import writable_place
from truckee.frontends.webdav.properties import lock_discovery
from truckee.frontends.webdav.way import Way
from truckee.frontends.webdav.xml_in import LockInfo, parse_lockinfo
from truckee.frontends.webdav.xml_out import HEAD
from truckee.net.http.respond import Answer
from truckee.tree.directories import ReadOnlyDirectory
from truckee.tree.links import NameTaken, Replace


async def lock(asked: Asked, body: bytes) -> Answer:
    """Lock something, which is made if it is not there, or renew a lock."""
    depth = asked.depth("infinity")
    if depth == "1":
        raise BadHeader("Depth", "a lock has 0 or infinity")
    timeout = wanted_timeout(asked.header("timeout"))
    if not body:
        return await _renew(asked, timeout)
    info = parse_lockinfo(body)
    if len(info.owner.encode()) > MAX_OWNER:
        info = evolve(info, owner="")
    way = await _place(asked)
    guard = Guard(asked)
    if way.exists:
        # Whoever has a lock above is in the way by the table, not by the guard.
        await guard.check(way)
    else:
        await guard.check(way, Touched(way, name=True))
    new = await _take(asked, way, info, depth == "infinity", timeout)
    if not way.exists:
        try:
            given = {way.name: GivenChild(EMPTY, None)}
            await asked.dav.links.set(way.parent.cap, given, Replace.NOTHING)
        except NameTaken:
            pass  # somebody has put a file there, and it is locked now
        except BaseException:
            async with asked.dav.locks.changing() as table:
                table.remove(new.token, way.keys, asked.dav.locks.now())
            raise
    return await _answer(asked, 200 if way.exists else 201, new.token)


async def _place(asked: Asked) -> Way:
    if asked.names:
        return await writable_place(asked)
    way = await asked.way()
    if not shows_locks(way):
        raise ReadOnlyDirectory
    return way


async def _take(asked: Asked, way: Way, info: LockInfo, deep: bool, timeout: int) -> Lock:
    locks = asked.dav.locks
    *above, key = way.keys
    new = Lock(
        locks.new_token(),
        key,
        tuple(above),
        info.exclusive,
        deep and way.directory is not None,
        info.owner,
        asked.request.client_address,
        timeout,
        locks.now() + timeout,
    )
    async with locks.changing() as table:
        try:
            table.add(new, locks.now())
        except LockConflict as error:
            hrefs = [
                asked.href(way.names[: way.keys.index(each)], True)
                for each in error.keys
                if each in above
            ]
            raise LockedByOther(hrefs or [asked.href(way.names, False)]) from None
    return new


async def _renew(asked: Asked, timeout: int) -> Answer:
    """Let a lock last longer.  :raises BadHeader: :raises NoSuchLock:"""
    if asked.header("if") is None:
        raise BadHeader("If", "without a body it has the token of the lock to renew")
    way, guard, locks = await _place(asked), Guard(asked), asked.dav.locks
    await guard.check(way)
    async with locks.changing() as table:
        renewed = table.renew(guard.tokens, way.keys, timeout, locks.now())
    return await _answer(asked, 200, None, renewed.token)


async def _answer(
    asked: Asked, status: int, new: str | None, token: str | None = None
) -> Answer:
    wanted = new or token
    shown = await shown_locks(asked, await asked.way())
    discovery = lock_discovery([each for each in shown if each.token == wanted])
    text = f'{HEAD}<D:prop xmlns:D="DAV:">{discovery}</D:prop>\n'
    headers = HEADERS if new is None else {**HEADERS, "lock-token": f"<{new}>"}
    return Answer(text.encode(), status, headers)


async def unlock(asked: Asked) -> Answer:
    """
    Give a lock back; a file that was emptied under it is linked as an empty one before.

    :raises BadHeader: :raises OtherToken:
    """
    text = asked.header("lock-token")
    if text is None:
        raise BadHeader("Lock-Token", "it is missing")
    # Windows leaves the brackets out.
    token = text.strip().removeprefix("<").removesuffix(">")
    way, locks = await _place(asked), asked.dav.locks
    await settle(asked, way, token)
    async with locks.changing() as table:
        try:
            table.remove(token, way.keys, locks.now())
        except NoSuchLock:
            raise OtherToken from None
    return Answer(b"", 204)
