"""``truckee account``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from truckee.accounts.account import Account, SshKey
from truckee.accounts.lines import MAX_PASSWORD, check_name, parse_key, root_of
from truckee.accounts.passwords import hash_password
from truckee.cli.account_files import EditedAccounts
from truckee.cli.aliases import Aliases
from truckee.cli.finding import node_directory, node_url
from truckee.cli.grid import Grid, checked_cap
from truckee.cli.problems import Problem, reason_within, tell
from truckee.cli.session import Session
from truckee.codec.caps import DirectoryCap, parse_cap

_NAME = click.argument("name", metavar="NAME")
_MAX_KEY_FILE = 65536  # characters


@click.group("account", short_help="Who may log in with WebDAV and SFTP.")
def account_command() -> None:
    """
    Accounts: names and passwords or keys, in place of caps, for WebDAV and SFTP.

    \b
    truckee account add alice                 asks for a password; a new directory
    truckee account add alice --key id_ed25519.pub
    truckee account add guest --root photos: --read-only
    truckee account list
    truckee account remove alice

    They are in private/accounts of the node directory, where tahoe has them, too, and in
    private/accounts.passwords. A running node uses what changed at once.
    """


@account_command.command("add", short_help="Make an account, or change one.")
@_NAME
@click.option("--password-stdin", is_flag=True, help="Read the password from there.")
@click.option(
    "--key",
    "key_files",
    metavar="FILE.pub",
    multiple=True,
    help="A public key of SSH that logs in; may come again.",
)
@click.option("--root", metavar="PATH|CAP", help="Their directory; else a new one.")
@click.option("--read-only", is_flag=True, help="They may not change it.")
@node_url
@node_directory
def add_command(
    name: str,
    password_stdin: bool,
    key_files: tuple[str, ...],
    root: str | None,
    read_only: bool,
    node_url: str | None,
    node_directory: str | None,
) -> None:
    """
    Let NAME log in; or give NAME, who may already, another password or one more key.

    \b
    truckee account add alice --root photos:
    truckee account add alice --key ~/.ssh/id_ed25519.pub
    truckee account add bob --password-stdin < the.password

    Without --password-stdin and --key it asks for a password. Passwords are hashed.
    """
    accounts = EditedAccounts.of(node_directory)
    _check_name(name)
    accounts.prepare()
    before = accounts.find(name)
    keys = [_key_in(file) for file in key_files]
    password = _password(password_stdin) if password_stdin or not keys else ""
    session = Session(node_url, node_directory, None, Aliases.of(node_directory))
    if root is None and before is None and read_only:
        raise Problem("--read-only needs --root: nobody could put anything into a new one")
    where = None if before is None else before.root
    if root is not None:
        where = _root_at(session, root)
    elif where is None:
        where = _new_root(session, name)
    where = _diminished(where) if read_only else where
    if before is not None and where != before.root:
        raise Problem(
            f"{name} has another directory, or another right to it; first: "
            f"truckee account remove {name}"
        )
    hashed = hash_password(password) if password else ""
    file = accounts.add(Account(name, where, root_of(where)[1], tuple(keys), hashed))
    if before is None and root is None:
        click.echo(f"{name} has a new directory. Its cap is in {file}.")


@account_command.command("list", short_help="Show the accounts.")
@click.option("--caps", is_flag=True, help="With their caps, which are secret.")
@node_directory
def list_command(caps: bool, node_directory: str | None) -> None:
    """
    Show the accounts: with what each logs in, and whether it may change its directory.

    \b
    truckee account list
    truckee account list --caps > accounts.txt    # a copy to keep in a safe place
    """
    found = EditedAccounts.of(node_directory).read()
    for problem in found.problems:
        tell(f"Warning: {problem}")
    for name, account in sorted(found.accounts.items()):
        right = "read only" if account.read_only else "read and write"
        parts = [*_credentials(account), right, *([account.root] if caps else ())]
        click.echo(f"{name}: {', '.join(parts)}")


@account_command.command("remove", short_help="Remove an account.")
@_NAME
@click.option("--yes", is_flag=True, help="Do not ask.")
@node_directory
def remove_command(name: str, yes: bool, node_directory: str | None) -> None:
    """
    Let NAME log in no more; the directory stays in the grid.

    \b
    truckee account remove alice

    On a terminal it asks first: without another copy of its cap nobody finds the
    directory again. What is connected is refused from the next request on.
    """
    accounts = EditedAccounts.of(node_directory)
    question = (
        f"Without a copy of its cap, what is in the directory of {name} cannot be found "
        "again. Remove the account?"
    )
    asks = not yes and _is_terminal() and accounts.find(name) is not None
    if asks and not click.confirm(question, err=True):
        raise Problem(f"{name} was not removed")
    accounts.remove(name)


def _check_name(name: str) -> None:
    try:
        check_name(name)
    except ValueError as error:
        raise Problem(str(error)) from None
    if not name or name.startswith("#") or ":" in name or len(name.split()) != 1:
        raise Problem("a name is one word without a colon, and does not begin with #")


def _key_in(file: str) -> SshKey:
    """Return the public key in a file of OpenSSH.  :raises Problem:"""
    try:
        with Path(file).open(encoding="utf-8", errors="replace") as opened:
            text = opened.read(_MAX_KEY_FILE)
    except OSError as error:
        raise Problem(f"cannot read {file}: {reason_within(error)}") from None
    if "PRIVATE KEY" in text:
        raise Problem(f"{file} is a private key; name the public one, which ends in .pub")
    try:
        return parse_key(text.split())
    except ValueError:
        raise Problem(f"{file} has no public key of SSH") from None


def _password(from_stdin: bool) -> str:
    """Return a password that somebody types, or pipes.  :raises Problem:"""
    if from_stdin:
        try:
            line = "" if sys.stdin is None else sys.stdin.readline(MAX_PASSWORD + 2)
        except UnicodeDecodeError:
            raise Problem("the password on standard input is not UTF-8") from None
        password = line.rstrip("\r\n")
    elif _is_terminal():
        password = click.prompt(
            "Password", hide_input=True, confirmation_prompt=True, err=True
        )
    else:
        raise Problem("no password: name --password-stdin or --key, or use a terminal")
    if not password or len(password.encode("utf-8", "replace")) > MAX_PASSWORD:
        raise Problem(f"a password has 1 to {MAX_PASSWORD} bytes")
    return password


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _root_at(session: Session, text: str) -> str:
    """Return the cap of the directory that is meant by *text*.  :raises Problem:"""
    place = session.path(text)
    found = [place.root]
    if place.names:

        async def look(grid: Grid) -> None:
            node = await grid.find(place)
            found[0] = node.cap

        session.run(look)
    try:
        return root_of(found[0])[0]
    except ValueError:
        raise Problem(f"{place.shown} is no directory that can be read") from None


def _new_root(session: Session, name: str) -> str:
    """Make a directory; return its cap.  :raises Problem:"""
    made: list[str] = []

    async def work(grid: Grid) -> None:
        cap = await grid.change(f"a directory for {name}", "POST", "uri", {"t": "mkdir"})
        made.append(checked_cap(cap))

    session.run(work)
    return root_of(made[0])[0]


def _diminished(root: str) -> str:
    """Return the cap that reads the directory of *root* and cannot change it."""
    cap = parse_cap(root)
    return str(cap.read_cap() if isinstance(cap, DirectoryCap) else cap)


def _credentials(account: Account) -> list[str]:
    """Return with what an account logs in, for people."""
    found = [f"key ({key.kind})" for key in account.keys]
    if account.password:
        found.insert(0, "password" if account.is_hashed else "password (not hashed)")
    return found
