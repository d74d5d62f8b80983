"""``truckee run``."""

from __future__ import annotations

import contextlib
import sys

import click
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from truckee.cli.problems import sentence_of, tell
from truckee.cli.reacting import ignore_signals
from truckee.errors import TruckeeError
from truckee.node.build import Node
from truckee.node.config import GridShape
from truckee.node.create import create_grid
from truckee.node.layout import DEFAULT_NODEDIR, NodeDirectory
from truckee.node.process import (
    give_memory_back,
    make_private,
    spare_what_is_loaded,
    use_monotonic_clock,
)
from truckee.storage.directory_status import FINE


@click.command("run", short_help="Run a node until it is told to stop.")
@click.argument("nodedir", metavar="[NODEDIR]", required=False, type=click.Path())
@click.option(
    "-C", "--basedir", metavar="NODEDIR", type=click.Path(), help="Same as NODEDIR."
)
@click.option("-v", "--verbose", is_flag=True, help="Log more than warnings.")
def run_command(nodedir: str | None, basedir: str | None, verbose: bool) -> None:
    """
    Run the node in NODEDIR until it is told to stop (Ctrl-C or SIGTERM).

    Without NODEDIR it is ./truckee-node, and a grid of three storage directories is made
    there if there is none yet. Exits with 0 after a stop, with 1 when the node cannot
    start.
    """
    if nodedir and basedir:
        raise click.UsageError("name one node directory: NODEDIR or --basedir, not both")
    named = nodedir or basedir
    directory = NodeDirectory(named or DEFAULT_NODEDIR)
    make_private()
    give_memory_back()
    try:
        if named is None and not directory.path.exists():
            create_grid(directory, GridShape())
            click.echo(f"Made a 2-of-3 grid in {directory.path}")
        from twisted.internet import reactor  # noqa: PLC0415

        use_monotonic_clock(reactor)
        _log_to_stderr(LogLevel.info if verbose else LogLevel.warn)
        node = Node(directory, reactor)
    except (TruckeeError, OSError) as error:
        raise click.ClickException(sentence_of(error)) from None
    spare_what_is_loaded()
    sys.exit(_run(node))


def _run(node: Node) -> int:
    """Run *node* and its reactor; return the exit code."""
    reactor = node.reactor
    codes = [0]

    def failed(failure: Failure) -> None:
        codes.append(1)
        assert failure.value is not None
        tell(f"Error: {sentence_of(failure.value)}")
        # A signal that came first has stopped it already.
        with contextlib.suppress(ReactorNotRunning):
            reactor.stop()

    def begin() -> None:
        started = Deferred.fromCoroutine(node.start())
        started.addCallbacks(lambda _: _greet(node), failed)
        reactor.addSystemEventTrigger("before", "shutdown", ignore_signals)

    reactor.callWhenRunning(begin)
    reactor.addSystemEventTrigger(
        "before", "shutdown", lambda: Deferred.fromCoroutine(node.stop())
    )
    reactor.run()
    return codes[-1]


def _greet(node: Node) -> None:
    # A node does not stop because nobody reads what it says.
    with contextlib.suppress(OSError):
        _print_greeting(node)


def _print_greeting(node: Node) -> None:
    shape, directories = node.base.config.shape, node.base.disks.grid.statuses()
    if node.base.is_grid:
        away = sum(not each.is_there for each in directories)
        places = f"{len(directories)} storage directories"
        if away:
            places = f"{len(directories) - away} of {places}"
        click.echo(
            f"The grid in {node.directory.path} is running: any {shape.needed} of "
            f"{shape.total} shares on {places} give a file back."
        )
        troubled = [each for each in directories if each.state != FINE]
        for each in troubled:
            click.echo(f"Warning: {each.name}: {each.state}")
        if troubled:
            click.echo(f"See: truckee storage list -d {node.directory.path}")
    else:
        click.echo(f"The node in {node.directory.path} is running and looks for servers.")
    if node.offers.uploads is not None:
        furl = node.directory.private / "helper.furl"
        click.echo(f"It is a helper: gateways need what is in {furl}")
    if node.url:
        click.echo(f"\nPut a file into it, and get its cap:\n  curl -T FILE {node.url}uri")
        click.echo(f"Get it back:\n  curl {node.url}uri/CAP")
        click.echo(f"Or open {node.url} in a browser.  Ctrl-C stops it.")
    elif node.web_place:
        click.echo(f"The web API listens on {node.web_place}.  Ctrl-C stops it.")
    if node.sftp is not None and node.sftp.url:
        click.echo(f"Files over SFTP: {node.sftp.url}  (accounts: truckee account --help)")
    if node.exposure:
        click.echo(f"\nWarning: {node.exposure}")


def _log_to_stderr(level: LogLevel) -> None:
    if sys.stderr is None:
        globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
        return
    observer = FilteringLogObserver(
        textFileLogObserver(sys.stderr), [LogLevelFilterPredicate(defaultLogLevel=level)]
    )
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
