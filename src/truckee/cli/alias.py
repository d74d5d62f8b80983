"""``truckee alias``."""

from __future__ import annotations

import click

from truckee.cli.aliases import Aliases
from truckee.cli.finding import node_directory, node_url
from truckee.cli.grid import Grid, checked_cap
from truckee.cli.problems import Problem
from truckee.cli.session import Session, cap_in
from truckee.codec.caps import DirectoryCap, MalformedCap, MutableWriteCap, parse_cap

_NAME = click.argument("name", metavar="NAME")


@click.group("alias", short_help="Names for the caps of directories.")
def alias_command() -> None:
    """
    Names for the caps of directories, so that paths begin with NAME: instead of a cap.

    \b
    truckee alias create tahoe            a new directory; tahoe: is the default alias
    truckee alias add shared - < the.cap  a directory that somebody gave you
    truckee alias list
    truckee ls shared:photos

    They are in private/aliases of the node directory, where tahoe has them too. A cap is
    all that is needed to read, and often to change, what is in its directory: keep a copy
    of that file.
    """


@alias_command.command("create", short_help="Make a directory and its alias.")
@_NAME
@node_url
@node_directory
def create_command(name: str, node_url: str | None, node_directory: str | None) -> None:
    """
    Make a new, empty directory, and let NAME stand for its cap.

    \b
    truckee alias create photos
    truckee cp -r pictures photos:
    """
    aliases = Aliases.of(node_directory)
    name = _checked(aliases, name)
    aliases.prepare()

    async def work(grid: Grid) -> None:
        cap = await grid.change(f"{name}:", "POST", "uri", {"t": "mkdir"})
        aliases.add(name, checked_cap(cap))

    Session(node_url, node_directory, None, aliases).run(work)
    click.echo(f"{name}: is a new directory. Its cap is in {aliases.file}.")


@alias_command.command("add", short_help="Let a name stand for a cap.")
@_NAME
@click.argument("cap", metavar="CAP|-")
@node_directory
def add_command(name: str, cap: str, node_directory: str | None) -> None:
    """
    Let NAME stand for CAP, the cap of a directory.

    \b
    truckee alias add shared - < the.cap    # the cap is not in ps then
    """
    aliases = Aliases.of(node_directory)
    name = _checked(aliases, name)
    text = cap_in("-") if cap == "-" else cap.strip()
    if _directory_of(text) is None:
        raise Problem(
            "that is no cap of a directory: one begins with URI:DIR2 and is one line of "
            "letters, digits and punctuation"
        )
    aliases.add(name, text)


@alias_command.command("list", short_help="Show the aliases.")
@click.option("--caps", is_flag=True, help="With their caps, which are secret.")
@node_directory
def list_command(caps: bool, node_directory: str | None) -> None:
    """
    Show the aliases, and whether each gives the right to change its directory.

    \b
    truckee alias list
    truckee alias list --caps > aliases.txt    # a copy to keep in a safe place
    """
    for name, cap in sorted(Aliases.of(node_directory).read().items()):
        click.echo(f"{name}: {cap if caps else _right(cap)}")


@alias_command.command("remove", short_help="Forget an alias.")
@_NAME
@click.option("--yes", is_flag=True, help="Do not ask.")
@node_directory
def remove_command(name: str, yes: bool, node_directory: str | None) -> None:
    """
    Forget NAME and its cap; the directory stays in the grid.

    \b
    truckee alias remove shared

    Without another copy of the cap nobody finds the directory again, so it asks first.
    """
    aliases = Aliases.of(node_directory)
    name = name.removesuffix(":")
    aliases.cap_of(name)
    question = (
        f"Without a copy of its cap, what is in {name}: cannot be found again. Forget it?"
    )
    if not (yes or click.confirm(question, err=True)):
        raise Problem(f"{name}: was not removed")
    aliases.remove(name)


def _checked(aliases: Aliases, name: str) -> str:
    name = name.removesuffix(":")
    aliases.check_new(name)
    return name


def _directory_of(cap: str) -> DirectoryCap | None:
    try:
        parsed = parse_cap(cap)
    except MalformedCap:
        return None
    return parsed if isinstance(parsed, DirectoryCap) else None


def _right(cap: str) -> str:
    found = _directory_of(cap)
    if found is None:
        return "not a directory"
    if isinstance(found.inner, MutableWriteCap):
        return "read and write"
    return "read only"
