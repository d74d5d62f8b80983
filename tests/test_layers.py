"""
The layers: which module may import which, and what each promises of itself.

A layer imports only layers below it, and packages on one layer do not know each other, so
that any part can be read, tested and replaced with what is below it alone.  Modules do not
import each other in circles, a module that says it is pure is, and tests stand where the
module stands that they test.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

SOURCE = Path(__file__).parents[1] / "src" / "truckee"

TESTS = Path(__file__).parent

# From the bottom up.  Names on one line are packages of one layer.
LAYERS = [
    ["errors"],
    ["codec"],
    ["flow", "status"],
    ["net"],
    ["storage"],
    ["grid"],
    ["immutable"],
    ["mutable"],
    ["helper", "uploads"],
    ["tree", "accounts"],
    ["renewal"],
    ["frontends"],
    ["node"],
    ["cli", "plugin"],
    ["__main__"],
]
HEIGHTS = {name: height for height, names in enumerate(LAYERS) for name in names}
# The packages inside a layer's package: which of them may import which.  A module beside
# them is below all of them.
FRONTENDS: dict[str, set[str]] = {
    "http": set(),
    "web": {"http"},
    "tus": {"http"},
    "webdav": {"http"},
    "sftp": set(),
}
# Two ends of one wire: what they share stands beside them.
HELPER: dict[str, set[str]] = {"gateway": set(), "server": set()}
INSIDE = {"frontends": FRONTENDS, "helper": HELPER}
# Test doubles that are shipped: they may know all, nobody may know them.
DOUBLES = "testing"

PURE = {"errors", "codec"}
# A module outside these packages is pure when its docstring says so.
MARK = re.compile(r"\bPure\b")
IMPURE = {
    "twisted",
    "os",
    "io",
    "socket",
    "time",
    "logging",
    "foolscap",
    "treq",
    "threading",
}
# What of them is only memory.
MEMORY = {"io.BytesIO"}
REACTOR = "twisted.internet.reactor"


def may_use_reactor(module: tuple[str, ...]) -> bool:
    """Tell whether *module* is one of the few that meet the global reactor."""
    return module[:2] == ("node", "build") or module[0] in ("cli", "plugin")


def imports_of(tree: ast.Module, package: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """
    Give every dotted name that the module imports, and its line.

    ``from a import b`` gives ``a.b``, which may be a module or a name in one.  *package*
    is what relative names start from.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            if node.level:
                up = len(package) - (node.level - 1)
                base = [*package[:up], *base]
            for alias in node.names:
                yield ".".join([*base, alias.name]), node.lineno


def is_impure(imported: str) -> bool:
    """Tell whether a pure module may not import what has this dotted name."""
    return imported.split(".", maxsplit=1)[0] in IMPURE and imported not in MEMORY


def forbidden_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Give uses of what no module uses, however it was imported."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="inlineCallbacks") | ast.Attribute(attr="inlineCallbacks"):
                yield "inlineCallbacks", node.lineno
            case ast.Attribute(
                attr="reactor",
                value=ast.Name(id="internet") | ast.Attribute(attr="internet"),
            ):
                yield REACTOR, node.lineno


def is_under(name: str, top: str) -> bool:
    """Tell whether the dotted *name* is *top* or in it."""
    return name == top or name.startswith(f"{top}.")


def why_not(module: tuple[str, ...], target: tuple[str, ...]) -> str | None:
    """Return why *module* may not import *target*, both without the package's name."""
    here, there = module[0], target[0]
    if DOUBLES in (here, there):
        return None if here == DOUBLES else "nothing imports the test doubles"
    # What is not on a layer is a name in the package itself, such as its version.
    if there not in HEIGHTS:
        return None
    if HEIGHTS[there] > HEIGHTS[here]:
        return "upward"
    if HEIGHTS[there] == HEIGHTS[here] and there != here:
        return "sideways"
    if here == there and here in INSIDE:
        packages = INSIDE[here]
        package, other = module[1:2], target[1:2]
        known = packages.get(package[0], set()) if package else set()
        if other and other != package and other[0] in packages and other[0] not in known:
            return "sideways"
    return None


def check_module(module: tuple[str, ...], is_package: bool, source: str) -> Iterator[str]:
    """Give one line for everything wrong with a module, named without ``truckee``."""
    name = ".".join(("truckee", *module))
    if module and module[0] not in HEIGHTS and module[0] != DOUBLES:
        yield f"{name}: on no layer"
        return
    if module[:1] == ("frontends",) and len(module) > 1 and module[1] not in FRONTENDS:
        yield f"{name}: no such package"
    tree = ast.parse(source, filename=name)
    package = ("truckee", *module) if is_package else ("truckee", *module[:-1])
    for imported, line in imports_of(tree, package):
        top, *rest = imported.split(".")
        here = f"{name}:{line}: {imported}"
        if top == "truckee" and rest:
            # The package itself stands under all layers.
            why = why_not(module, tuple(rest)) if module else "the package imports nothing"
            if why:
                yield f"{here}: {why}"
        if module and module[0] in PURE and is_impure(imported):
            yield f"{here}: not pure"
        if top == "asyncio" or imported.endswith(".inlineCallbacks"):
            yield f"{here}: never"
        if is_under(imported, REACTOR) and not (module and may_use_reactor(module)):
            yield f"{here}: the reactor is passed in"
    for used, line in forbidden_names(tree):
        if used != REACTOR or not (module and may_use_reactor(module)):
            yield f"{name}:{line}: {used}: never"


def check(files: Mapping[str, str]) -> list[str]:
    """Return all that is wrong with a tree of modules, by path inside the package."""
    wrong: list[str] = []
    for path, source in sorted(files.items()):
        *folders, last = path.removesuffix(".py").split("/")
        is_package = last == "__init__"
        module = tuple(folders if is_package else [*folders, last])
        wrong += check_module(module, is_package, source)
    return wrong


def modules_of(files: Mapping[str, str]) -> dict[str, str]:
    """Return the source of every module of a tree, by its name without ``truckee``."""
    return {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): source
        for path, source in files.items()
        if path != "__init__.py"
    }


def graph_of(modules: Mapping[str, str]) -> dict[str, set[str]]:
    """Return which modules of ours each module imports, but for packages it is in."""
    graph: dict[str, set[str]] = {}
    for name, source in modules.items():
        imported = {
            each
            for full, _ in imports_of(ast.parse(source), ("truckee", *name.split(".")[:-1]))
            for each in (full.removeprefix("truckee."), full[8:].rpartition(".")[0])
            if full.startswith("truckee.") and each in modules
        }
        graph[name] = {each for each in imported if not is_under(name, each)}
    return graph


def circles_of(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return every group of modules that import each other in a circle, in order."""
    below: dict[str, set[str]] = {}
    for name in graph:
        seen, ahead = set[str](), [name]
        while ahead:
            fresh = graph[ahead.pop()] - seen
            seen |= fresh
            ahead += fresh
        below[name] = seen
    groups = {
        tuple(sorted(other for other in below[name] if name in below[other]))
        for name in graph
        if name in below[name]
    }
    return [list(group) for group in sorted(groups)]


def impure_of(modules: Mapping[str, str]) -> list[str]:
    """Return one line for each import that makes a module impure that says it is pure."""
    trees = {name: ast.parse(source) for name, source in modules.items()}
    pure = {
        name
        for name, tree in trees.items()
        if name.split(".")[0] in PURE or MARK.search(ast.get_docstring(tree) or "")
    }
    wrong: list[str] = []
    for name, imports in graph_of(modules).items():
        if name not in pure:
            continue
        own = {each for each in imports if each not in pure and "." in each}
        outer = {
            full.split(".")[0]
            for full, _ in imports_of(trees[name], ("truckee", *name.split(".")[:-1]))
            if is_impure(full)
        }
        wrong += [f"{name}: {each}" for each in sorted(own | outer)]
    return wrong


def strays_of(tests: Iterable[str], modules: Iterable[str]) -> list[str]:
    """
    Return the test files that stand in a package's folder and test no module of it.

    ``test_NAME.py`` tests NAME, a module or a package; ``test_NAME_more.py`` more of it.
    """
    known = set(modules)
    packages = {name.rpartition(".")[0] for name in known}
    strays: list[str] = []
    for path in tests:
        *folders, last = path.split("/")
        package, about = ".".join(folders), last.removesuffix(".py").removeprefix("test_")
        if package not in packages or not package or not last.startswith("test_"):
            continue
        words = about.split("_")
        names = ("_".join(words[:count]) for count in range(len(words), 0, -1))
        if not any(f"{package}.{name}" in known for name in names):
            strays.append(path)
    return sorted(strays)


def sources() -> dict[str, str]:
    """Return the text of every module, by its path inside the package."""
    return {
        path.relative_to(SOURCE).as_posix(): path.read_text("utf-8")
        for path in SOURCE.rglob("*.py")
    }


class LayerTests(SynchronousTestCase):
    def test_layers(self) -> None:
        """The project keeps to its layers, without an exception."""
        files = sources()
        self.assertIn("codec/caps.py", files)
        self.assertEqual(check(files), [])

    def test_circles(self) -> None:
        """No modules import each other in a circle, inside a package neither."""
        self.assertEqual(circles_of(graph_of(modules_of(sources()))), [])

    def test_pure(self) -> None:
        """What says that it is pure imports nothing that is not."""
        self.assertEqual(impure_of(modules_of(sources())), [])

    def test_mirrored(self) -> None:
        """A test of a package stands in its folder and has the name of a module of it."""
        tests = [path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")]
        self.assertEqual(strays_of(tests, modules_of(sources())), [])


class TreeTests(SynchronousTestCase):
    def test_circle(self) -> None:
        """Circles are found, whether of two or more, also where a function imports."""
        tree = {
            "a": "from truckee.b import x",
            "b": "def f():\n    from truckee import c",
            "c": "import truckee.a\nimport truckee.d",
            "d": "",
        }
        self.assertEqual(circles_of(graph_of(tree)), [["a", "b", "c"]])
        self.assertEqual(circles_of(graph_of(tree | {"c": ""})), [])

    def test_marked(self) -> None:
        """A mark is kept: neither the reactor nor a module without the mark."""
        tree = {
            "flow.a": '"""Numbers.  Pure."""\nfrom truckee.flow import b, c',
            "flow.b": '"""Pure: no clock."""\nimport time',
            "flow.c": '"""Files."""\nimport os',
        }
        self.assertEqual(impure_of(tree), ["flow.a: flow.c", "flow.b: time"])

    def test_stray(self) -> None:
        """A test that is named for no module of its package is found."""
        modules = ["flow.cpu", "flow.limits", "net.http.site"]
        tests = ["flow/test_cpu.py", "flow/test_limits_more.py", "flow/test_things.py"]
        tests += ["net/http/test_cpu.py", "integration/test_all.py", "test_layers.py"]
        self.assertEqual(
            strays_of(tests, modules), ["flow/test_things.py", "net/http/test_cpu.py"]
        )


class CheckTests(SynchronousTestCase):
    def assertWrong(self, path: str, source: str, why: str) -> None:
        """Fail unless *source* at *path* is wrong in one way, that of *why*."""
        wrong = check({path: source})
        self.assertEqual(len(wrong), 1, (path, source, wrong))
        self.assertIn(why, wrong[0])

    def assertRight(self, path: str, source: str) -> None:
        """Fail unless *source* may stand at *path*."""
        self.assertEqual(check({path: source}), [])

    def test_upward(self) -> None:
        """A lower layer does not import a higher one, however it is written."""
        for path, source in (
            ("errors.py", "import truckee.codec"),
            ("codec/caps.py", "from truckee.flow import inbound"),
            ("codec/caps.py", "from truckee import flow"),
            ("codec/caps.py", "from ..flow.inbound import Inbound"),
            ("codec/caps.py", "from .. import flow"),
            ("codec/__init__.py", "from ..grid import permute"),
            ("codec/caps.py", "def f():\n    import truckee.storage.server as s"),
            ("flow/spool.py", "if TYPE_CHECKING:\n    from truckee.storage import server"),
            ("net/http/site.py", "from truckee.storage import interfaces"),
            ("storage/server.py", "from truckee.grid import pool"),
            ("grid/pool.py", "from truckee.immutable.upload.uploader import upload"),
            ("immutable/upload/uploader.py", "from truckee.mutable import file"),
            ("mutable/file.py", "from truckee.helper.gateway.push_session import Session"),
            ("helper/gateway/push_sink.py", "from truckee.tree import nodes"),
            ("tree/nodes.py", "from truckee.frontends.http import ranges"),
            ("frontends/web/files.py", "from truckee.node.keys import Key"),
            ("node/build.py", "import truckee.cli"),
            ("cli/run.py", "from truckee import __main__"),
        ):
            self.assertWrong(path, source, "upward")

    def test_sideways(self) -> None:
        """Packages on one layer do not import each other; only web knows http."""
        for path, source in (
            ("frontends/http/ranges.py", "from truckee.frontends.web import pages"),
            ("frontends/http/ranges.py", "from truckee.frontends import web"),
            ("frontends/http/ranges.py", "from ..web import pages"),
            ("frontends/web/pages.py", "from truckee.frontends.tus.uploads import Upload"),
            ("frontends/tus/uploads.py", "from truckee.frontends.web import pages"),
            ("frontends/sftp/server.py", "from truckee.frontends.http import ranges"),
            ("frontends/sftp/server.py", "from ..webdav import locks"),
            ("frontends/__init__.py", "from truckee.frontends.web import pages"),
            ("helper/errors.py", "from truckee.uploads import registry"),
            ("helper/errors.py", "from truckee.helper.server import registry"),
            ("helper/gateway/route.py", "from truckee.helper.server.registry import Busy"),
            ("helper/server/upload.py", "from ..gateway import push_session"),
            ("cli/run.py", "from truckee import plugin"),
            ("plugin.py", "from truckee.cli.run import main"),
        ):
            self.assertWrong(path, source, "sideways")
        self.assertRight(
            "frontends/web/pages.py", "from truckee.frontends.http import ranges"
        )
        self.assertRight("frontends/web/pages.py", "from ..http.ranges import parse")

    def test_downward(self) -> None:
        """Lower layers and one's own package are open to all."""
        for path, source in (
            ("errors.py", "from attrs import define"),
            ("codec/caps.py", "from truckee.errors import Misuse"),
            ("codec/caps.py", "from truckee.codec import base32"),
            ("codec/caps.py", "from . import base32"),
            ("codec/caps.py", "from truckee import __version__"),
            ("flow/inbound.py", "from twisted.internet.defer import Deferred"),
            ("codec/caps.py", "from io import BytesIO"),
            ("frontends/tus/uploads.py", "from truckee.frontends.tus import protocol"),
            ("helper/gateway/route.py", "from truckee.helper.errors import HelperBusy"),
            ("helper/server/upload.py", "from truckee.helper.server import state"),
            (
                "frontends/web/files.py",
                "from truckee.immutable.upload.uploader import upload",
            ),
            ("cli/run.py", "from truckee.node.build import build"),
            ("plugin.py", "from truckee.node.build import build"),
            ("__main__.py", "from truckee.cli import main"),
        ):
            self.assertRight(path, source)

    def test_doubles(self) -> None:
        """Test doubles may import everything, and nothing imports them."""
        self.assertRight("testing/grid.py", "from truckee.node import build")
        self.assertRight("testing/grid.py", "from truckee.testing.clock import Clock")
        self.assertRight("testing/__init__.py", "from . import clock")
        self.assertWrong("cli/run.py", "from truckee import testing", "test doubles")
        self.assertWrong("codec/caps.py", "import truckee.testing.grid", "test doubles")

    def test_pure(self) -> None:
        """Codec and errors know neither Twisted nor files, clocks, threads and logs."""
        for module in sorted(IMPURE):
            for path in ("codec/caps.py", "errors.py", "codec/__init__.py"):
                self.assertWrong(path, f"import {module}", "not pure")
                self.assertWrong(path, f"from {module} import x", "not pure")
            self.assertRight("flow/spool.py", f"import {module}")
        self.assertWrong("codec/caps.py", "from os.path import join", "not pure")
        self.assertRight("codec/caps.py", "from . import io\nfrom .time import now")

    def test_reactor(self) -> None:
        """The global reactor is met where things are wired, and only there."""
        ways = [
            "from twisted.internet import reactor",
            "import twisted.internet.reactor",
            "from twisted.internet.reactor import callLater",
            "def f():\n    from twisted.internet import defer, reactor",
        ]
        for source in ways:
            for path in ("flow/limits.py", "node/tub.py", "testing/grid.py", "__init__.py"):
                self.assertWrong(path, source, "reactor")
            for path in ("node/build.py", "cli/run.py", "cli/__init__.py", "plugin.py"):
                self.assertRight(path, source)
        by_attribute = "from twisted import internet\ninternet.reactor.run()"
        self.assertWrong("flow/limits.py", by_attribute, "reactor")
        self.assertRight("plugin.py", by_attribute)

    def test_one_asynchronous_style(self) -> None:
        """asyncio and inlineCallbacks stand nowhere."""
        for path in ("flow/limits.py", "plugin.py", "testing/grid.py"):
            for source in (
                "import asyncio",
                "from asyncio.events import get_event_loop",
                "from twisted.internet.defer import inlineCallbacks",
                "from twisted.internet import defer\ndefer.inlineCallbacks(f)",
            ):
                self.assertWrong(path, source, "never")

    def test_every_module_has_a_layer(self) -> None:
        """A module on no layer, and a room nobody planned, are wrong."""
        self.assertWrong("utils.py", "", "on no layer")
        self.assertWrong("misc/things.py", "import os", "on no layer")
        self.assertWrong("frontends/ftp/server.py", "", "no such package")

    def test_the_package_itself(self) -> None:
        """The package holds its version and imports nothing of its own."""
        self.assertRight("__init__.py", '__version__ = "1"')
        self.assertWrong("__init__.py", "from truckee.codec import caps", "imports nothing")

    def test_bad_tree(self) -> None:
        """All that is wrong in a tree is told, with module and line."""
        tree = {
            "__init__.py": "",
            "codec/caps.py": "import re\nimport time\nfrom truckee.grid import pool\n",
            "grid/pool.py": "from truckee.codec import caps\n",
            "tree/walk.py": "\nimport asyncio\n",
            "plugin.py": "from twisted.internet import reactor\nimport truckee.cli.run\n",
        }
        self.assertEqual(
            check(tree),
            [
                "truckee.codec.caps:2: time: not pure",
                "truckee.codec.caps:3: truckee.grid.pool: upward",
                "truckee.plugin:2: truckee.cli.run: sideways",
                "truckee.tree.walk:2: asyncio: never",
            ],
        )
