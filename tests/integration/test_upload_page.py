"""The page /upload in a real browser."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from tests.integration.browser import Browser, missing
from tests.integration.helper_line import Line
from tests.integration.tus_client import MIB, TusCase, close_room, content
from tests.processes import GridProcess, ask, eventually

FORM = "await page.setInputFiles('#file', args)"
CAPS = "return await page.locator('.cap').evaluateAll((all) => all.map((e) => e.value))"
TOLD = "return await page.locator('.told').allTextContents()"
PRESS = "await page.getByRole('button', { name: args[0] }).press('Enter')"


@cache
def visitor() -> tuple[Browser, Callable[[], None]]:
    """Return a browser, started once, and what ends it; each test has another origin."""
    with ExitStack() as cleanup:
        profile = cleanup.enter_context(
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        )
        browser = cleanup.enter_context(Browser(Path(profile)))
        return browser, cleanup.pop_all().close
    raise AssertionError


def tearDownModule() -> None:
    """End the node and the browser."""
    if visitor.cache_info().currsize:
        visitor()[1]()
    close_room()


def port_of(url: str) -> int:
    """Return the port in an address."""
    port = urlsplit(url).port
    assert port is not None
    return port


class PageCase(TusCase):
    skip = missing(browser=True)

    def setUp(self) -> None:
        super().setUp()
        place = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)
        line = Line(port_of(self.url))
        self.line = line.__enter__()
        self.addCleanup(line.__exit__)
        self.browser = visitor()[0]
        self.visit()

    def visit(self) -> None:
        """Show the page."""
        page = f"http://127.0.0.1:{self.line.port}/upload"
        self.browser.do("page.errors.length = 0; await page.goto(args[0])", page)

    def open(self) -> None:
        """Show the page in a browser of this test alone, the same one each time."""
        self.browser = Browser(self.place / "profile")
        self.addCleanup(self.browser.close)
        self.visit()

    def remembered(self) -> bool:
        """Tell whether the browser of this test has on its disk what it shall remember."""
        kept = (self.place / "profile").rglob("Local Storage/leveldb/*.log")
        return any(b"/tus/" in each.read_bytes() for each in kept)

    def file(self, name: str, size: int) -> tuple[str, bytes]:
        """Return the path of a new file, and its bytes."""
        data = content(size, len(name))
        (self.place / name).write_bytes(data)
        return str(self.place / name), data

    def caps(self, count: int) -> list[str]:
        """Wait for so many caps."""
        found: list[str] = []

        def there() -> bool:
            found[:] = self.browser.do(CAPS)
            return len(found) == count

        eventually(there)
        return found

    def until(self, condition: Callable[[str], object]) -> None:
        """Wait until what is told of the first file is so."""
        eventually(lambda: condition("".join(self.browser.do(TOLD)[:1])))

    def check_quiet(self) -> None:
        """The browser complained of nothing, and remembers no upload."""
        self.assertEqual(self.browser.do("return page.errors"), [])
        self.assertEqual(self.kept("truckee-upload:"), 0)

    def kept(self, prefix: str) -> int:
        """Return how many things of a kind the browser remembers."""
        keys = self.browser.do("return page.evaluate(() => Object.keys(localStorage))")
        return sum(key.startswith(prefix) for key in keys)


class UploadPageTests(PageCase):
    def test_several(self) -> None:
        """Several files are stored, each with its cap, and nothing is left behind."""
        files = [self.file(f"{size}.bin", size) for size in (0, 1, 56, MIB, 5 * MIB)]
        self.browser.do(FORM, *[path for path, _ in files])
        caps = self.caps(len(files))
        for cap, (_, data) in zip(caps, files, strict=True):
            self.check_file(cap, data)
        self.check_quiet()

    def test_drop(self) -> None:
        """A file that is dropped on the page is uploaded."""
        self.browser.do(
            """
            const data = await page.evaluateHandle(() => {
              const moved = new DataTransfer();
              moved.items.add(new File(["dropped text"], "a.txt"));
              return moved;
            });
            await page.dispatchEvent("body", "drop", { dataTransfer: data });
            """
        )
        self.check_file(self.caps(1)[0], b"dropped text")

    def test_keyboard(self) -> None:
        """Pause, resume, cancel and copy are reached and used with the keyboard alone."""
        self.line.rate = 2 * MIB
        path, data = self.file("a.bin", 8 * MIB)
        self.browser.do("await page.locator('#file').focus()")
        self.browser.do(FORM, path)
        self.until(lambda told: "MB/s" in told)
        self.browser.do("await page.keyboard.press('Tab')")
        focus = "return page.evaluate(() => document.activeElement.ariaLabel)"
        self.assertEqual(self.browser.do(focus), "Pause: a.bin")
        self.browser.do("await page.keyboard.press('Enter')")
        self.until(lambda told: "Paused" in told)
        said = "return await page.getByRole('status').textContent()"
        self.assertEqual(self.browser.do(said), "a.bin is paused.")
        self.assertEqual(self.browser.do(focus), "Resume: a.bin")
        self.line.rate = 0
        self.browser.do("await page.keyboard.press('Enter')")
        self.check_file(self.caps(1)[0], data)
        self.browser.do(
            "await context.grantPermissions(['clipboard-read', 'clipboard-write'])"
        )
        self.browser.do(PRESS, "Copy cap")
        copied = "return page.evaluate(() => navigator.clipboard.readText())"
        self.assertEqual(self.browser.do(copied), self.caps(1)[0])
        self.browser.do(PRESS, "Forget cap: a.bin")
        self.assertEqual(self.browser.do(CAPS), [])
        self.assertIn("Nothing is deleted", self.browser.do(said))
        self.assertEqual(self.kept("truckee-cap:"), 0)
        self.check_quiet()

    def test_cancel(self) -> None:
        """A file that is cancelled leaves nothing, on the grid or in the browser."""
        self.line.rate = 2 * MIB
        before = len(self.grid.shares())
        path, _ = self.file("a.bin", 8 * MIB)
        self.browser.do(FORM, path)
        self.until(lambda told: "MB/s" in told)
        self.browser.do(PRESS, "Cancel")
        eventually(lambda: not self.grid.incoming())
        self.assertEqual(len(self.grid.shares()), before)
        self.check_quiet()

    def test_lost_line(self) -> None:
        """An upload whose line breaks, twice, goes on by itself."""
        self.line.rate = 4 * MIB
        path, data = self.file("a.bin", 9 * MIB)
        before = self.line.sent
        self.browser.do(FORM, path)
        for share in (2, 5):
            eventually(lambda share=share: self.line.sent - before > share * MIB)  # type: ignore[misc]
            self.line.reset()
        self.check_file(self.caps(1)[0], data)
        self.assertLess(self.line.sent - before, len(data) + MIB)

    def test_first_page(self) -> None:
        """The first page uploads too, and goes on when its line breaks."""
        page = f"http://127.0.0.1:{self.line.port}/"
        self.browser.do("await page.goto(args[0])", page)
        self.test_lost_line()

    def test_keys_alone(self) -> None:
        """On the first page keys store a file, copy its cap, forget it, bring it back."""
        page = f"http://127.0.0.1:{self.line.port}/"
        path, data = self.file("a.bin", 3000)
        self.browser.do(
            """
            await context.grantPermissions(["clipboard-read", "clipboard-write"]);
            await page.goto(args[0]);
            const choosing = page.waitForEvent("filechooser");
            for (const key of ["Tab", "Enter", "Tab", "Enter"])
              await page.keyboard.press(key);
            await (await choosing).setFiles(args[1]);
            """,
            page,
            path,
        )
        [cap] = self.caps(1)
        self.check_file(cap, data)
        self.press_by_keys("Copy cap: a.bin")
        copied = "return page.evaluate(() => navigator.clipboard.readText())"
        eventually(lambda: self.browser.do(copied) == cap)
        self.press_by_keys("Forget cap: a.bin")
        self.assertEqual(self.browser.do(CAPS), [])
        self.press_by_keys("Undo")
        self.assertEqual(self.caps(1), [cap])
        self.press_by_keys("Forget all caps")
        self.check_quiet()

    def press_by_keys(self, name: str) -> None:
        """Reach a button with Tab alone, forwards from where the focus is, and press it."""
        self.browser.do(
            """
            const at = () => page.evaluate(() =>
              document.activeElement.ariaLabel ?? document.activeElement.textContent);
            for (let step = 0; await at() !== args[0]; step++) {
              if (step > 40) throw new Error(`Tab does not reach ${args[0]}`);
              await page.keyboard.press("Tab");
            }
            await page.keyboard.press("Enter");
            """,
            name,
        )

    def test_killed_browser(self) -> None:
        """After a crash caps are there, and the same file goes on; 1 MiB is sent again."""
        self.open()
        earlier, _ = self.file("earlier.bin", 1000)
        self.browser.do(FORM, earlier)
        [kept] = self.caps(1)
        self.line.rate = MIB
        path, data = self.file("a.bin", 16 * MIB)
        before = self.line.sent
        self.browser.do(FORM, path)
        eventually(self.remembered)
        # What the system buffers arrives after all: much more than that is left.
        eventually(lambda: self.line.sent - before > 4 * MIB)
        self.browser.kill()
        self.line.rate = 0
        self.open()
        self.assertEqual(self.caps(1), [kept])
        eventually(lambda: "Choose this file again" in "".join(self.browser.do(TOLD)))
        self.browser.do(FORM, path)
        [cap] = set(self.caps(2)) - {kept}
        self.check_file(cap, data)
        self.assertLess(self.line.sent - before, len(data) + MIB)
        self.check_quiet()

    def test_stored_meanwhile(self) -> None:
        """A page that is opened again shows the cap that it missed, without the file."""
        path, data = self.file("a.bin", MIB)
        self.browser.do("await page.route(/\\/tus\\/.+/, (route) => route.abort())")
        self.browser.do(FORM, path)
        self.until(lambda told: "tried again" in told)
        url = self.browser.do(
            "return page.evaluate(() => JSON.parse(Object.values(localStorage)[0]).url)"
        )
        self.assertEqual(self.patch(url, 0, data).status, 204)
        self.browser.do("await page.unroute(/\\/tus\\/.+/); await page.reload()")
        self.check_file(self.caps(1)[0], data)


class KeptCapsTests(PageCase):
    def stored(self, *names: str) -> list[str]:
        """Return the caps of new files."""
        files = [self.file(name, 1000 + at) for at, name in enumerate(names)]
        self.browser.do(FORM, *[path for path, _ in files])
        return self.caps(len(files))

    def test_kept(self) -> None:
        """Caps outlive a reload, another page and the way back; another tab has them."""
        caps = self.stored("a.bin", "b.txt", "c d.html")
        for leave in (
            "await page.reload()",
            "await page.goto(new URL('/status', page.url()).href); await page.goBack()",
            "await page.goto('about:blank'); await page.goto(args[0])",
            # A stored file itself, as people look whether it is there.
            "await page.goto(new URL('/uri/' + args[1], page.url()).href);"
            "await page.goBack()",
        ):
            address = f"http://127.0.0.1:{self.line.port}/upload"
            self.browser.do(leave, address, caps[0])
            self.assertEqual(sorted(self.caps(3)), sorted(caps))
        seen = self.browser.do(
            """
            const other = await context.newPage();
            await other.goto(page.url());
            await other.getByRole("button", { name: "Forget cap: b.txt" }).click();
            const count = (n) => document.querySelectorAll(".cap").length === n;
            await page.waitForFunction(count, 2);
            await other.getByRole("button", { name: "Undo" }).click();
            await page.waitForFunction(count, 3);
            await other.close();
            return await page.locator(".cap").evaluateAll((all) => all.map((e) => e.value));
            """
        )
        self.assertEqual(sorted(seen), sorted(caps))
        self.check_quiet()

    def test_all_at_once(self) -> None:
        """All caps are copied, downloaded, forgotten by one click, and brought back."""
        caps = self.stored("a.bin", "b c.txt")
        listed = {
            f"{cap} {name}" for cap, name in zip(caps, ("a.bin", "b c.txt"), strict=True)
        }
        self.browser.do(
            "await context.grantPermissions(['clipboard-read', 'clipboard-write'])"
        )
        self.browser.do(PRESS, "Copy all caps")
        copied = "return page.evaluate(() => navigator.clipboard.readText())"
        eventually(lambda: set(self.browser.do(copied).splitlines()) == listed)
        path = self.browser.do(
            """
            const [got] = await Promise.all([page.waitForEvent("download"),
              page.getByRole("button", { name: "Download all caps" }).click()]);
            if (got.suggestedFilename() !== "caps.txt") throw new Error("another name");
            await got.saveAs(args[0]);
            return args[0];
            """,
            str(self.place / "caps.txt"),
        )
        self.assertEqual(set(Path(path).read_text().splitlines()), listed)
        self.browser.do(PRESS, "Forget all caps")
        self.assertEqual(self.browser.do(CAPS), [])
        self.assertEqual(self.kept("truckee-cap:"), 0)
        self.browser.do(PRESS, "Undo")
        self.assertEqual(set(self.caps(2)), set(caps))
        self.browser.do("await page.reload()")
        self.assertEqual(set(self.caps(2)), set(caps))
        self.check_quiet()

    def test_open(self) -> None:
        """A stored file opens in a new tab, which cannot read what the page keeps."""
        self.browser.do(
            """
            const data = await page.evaluateHandle(() => {
              const moved = new DataTransfer();
              moved.items.add(new File(["<p>hello"], "a.html", { type: "text/html" }));
              return moved;
            });
            await page.dispatchEvent("body", "drop", { dataTransfer: data });
            """
        )
        self.caps(1)
        found = self.browser.do(
            """
            const [popup] = await Promise.all([page.waitForEvent("popup"),
              page.getByRole("link", { name: "Open in a new tab" }).click()]);
            await popup.waitForLoadState();
            const read = await popup.evaluate(() => {
              try { return localStorage.length; } catch (error) { return error.name; }
            });
            await popup.close();
            return [read, await page.locator(".cap").count()];
            """
        )
        self.assertEqual(found, ["SecurityError", 1])

    def test_damaged(self) -> None:
        """What it cannot read of the browser's memory spoils nothing else."""
        caps = self.stored("a.bin")
        self.browser.do(
            """
            await page.evaluate(() => {
              for (const text of ["", "{", "[]", "null", '{"cap": 3}', '{"cap": "x"}',
                  '{"cap": "URI:x", "size": "y"}', '{"cap": "URI:x", "size": 1e99}'])
                localStorage.setItem("truckee-cap:" + Math.random(), text);
            });
            await page.reload();
            """
        )
        self.assertEqual(self.caps(1), caps)
        self.check_quiet()

    def test_full(self) -> None:
        """A browser that keeps nothing says so, and the gateway gives the cap again."""
        self.browser.do(
            """
            await page.evaluate(() => {
              const set = Storage.prototype.setItem;
              Storage.prototype.setItem = function (key, value) {
                if (key.startsWith("truckee-cap:")) throw new Error("full");
                set.call(this, key, value);
              };
            });
            """
        )
        caps = self.stored("a.bin")
        self.until(lambda told: "cannot keep" in told)
        self.browser.do("await page.reload()")
        self.assertEqual(self.caps(1), caps)
        self.assertEqual(self.kept("truckee-cap:"), 1)

    def test_leaving(self) -> None:
        """Leaving while a file is under way is asked about; afterwards it is not."""
        self.line.rate = MIB
        path, _ = self.file("a.bin", 6 * MIB)
        leave = """return page.evaluate(() =>
            dispatchEvent(new Event("beforeunload", { cancelable: true })))"""
        self.assertTrue(self.browser.do(leave))
        self.browser.do(FORM, path)
        self.until(lambda told: "MB" in told)
        self.assertFalse(self.browser.do(leave))
        self.line.rate = 0
        self.caps(1)
        self.assertTrue(self.browser.do(leave))


class KilledGatewayTests(PageCase):
    def node(self) -> GridProcess:
        """Return a node of this test alone."""
        place = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(place.cleanup)
        grid = GridProcess.create(
            Path(place.name) / "node", needed=2, happy=2, total=3, storage_dirs=3
        )
        grid.start()
        self.addCleanup(grid.stop)
        return grid

    def test_killed_gateway(self) -> None:
        """When the gateway dies and comes back, the page goes on; 1 MiB is sent again."""
        self.line.rate = 2 * MIB
        path, data = self.file("a.bin", 7 * MIB)
        before = self.line.sent
        self.browser.do(FORM, path)
        eventually(lambda: self.line.sent - before > 3 * MIB)
        self.grid.kill()
        self.grid.start()
        self.url = self.grid.url
        self.line.target = port_of(self.url)
        self.check_file(self.caps(1)[0], data)
        self.assertLess(self.line.sent - before, len(data) + MIB)
        self.assertEqual(self.kept("truckee-upload:"), 0)


class WithoutScriptTests(TusCase):
    def test_policy(self) -> None:
        """The page takes no script but ours, and nothing from elsewhere."""
        page = ask(f"{self.url}upload")
        self.assertEqual(page.status, 200)
        policy = page.headers["content-security-policy"]
        self.assertIn("default-src 'none'; script-src 'self';", policy)
        self.assertNotIn("unsafe", policy)
        self.assertNotIn(b"onclick", page.body)
        script = ask(f"{self.url}static/upload.js")
        self.assertTrue(script.headers["content-type"].startswith("text/javascript"))
        same = ask(
            "-H", f"If-None-Match: {script.headers['etag']}", self.url + "static/upload.js"
        )
        self.assertEqual(same.status, 304)
        for path in ("static/", "static/x.js", "static/upload.js/x", "static/../setup.py"):
            self.assertEqual(ask("--path-as-is", self.url + path).status, 404)

    def test_form(self) -> None:
        """Without a script the form of the page stores one file."""
        page = ask(f"{self.url}upload").body
        self.assertIn(b'action="uri?t=upload"', page)
        data = content(5000)
        reply = ask("-F", "file=@-", f"{self.url}uri?t=upload", data=data)
        self.check_file(reply.text, data)
