"""The page of a directory in a real browser: each task with keys and with the mouse."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlsplit

from tests.integration.browser import BrowserCase, missing
from tests.integration.helper_line import Line
from tests.integration.test_accessibility import AXE, CHECK, FOCUS, PICTURES, no_axe
from tests.processes import curl, eventually
from truckee.codec.caps import LiteralCap

NAMES = "return page.locator('#children tbody bdi').allTextContents()"
SAID = "return page.locator('#said').textContent()"
CHOOSE = "await page.getByLabel(`Select ${args[0]}`, { exact: true }).check()"
MENU = """
await page.getByLabel(`More on ${args[0]}`).press('Enter');
await page.getByRole('dialog').getByRole('button', { name: args[1] }).press('Enter');
"""
IN_DIALOG = """
await page.getByRole('dialog').getByRole('button', { name: args[0], exact: true }).click()
"""
DIALOG = "return page.getByRole('dialog').innerText()"
LINK = "await page.getByRole('link', { name: args[0], exact: true }).focus()"
SORTED = """
return page.locator('th[aria-sort]').evaluateAll(
  (all) => all.map((e) => [e.innerText.trim(), e.ariaSort]));
"""
TIMES = """
return page.locator('time').first().evaluate((e) => [e.title, e.textContent]);
"""
FILES = "await page.setInputFiles('#file', args)"
CLICKS = """
await page.getByLabel(`More on ${args[0]}`).click();
await page.getByRole('dialog').getByRole('button', { name: args[1] }).click();
"""
BUTTON = "await page.getByRole('button', { name: args[0] }).click()"


class DirectoryCase(BrowserCase):
    skip = missing(browser=True)

    def setUp(self) -> None:
        self.cap = self.mkdir()

    def mkdir(self) -> str:
        """Return the write cap of a new directory."""
        return curl("-X", "POST", f"{self.grid.url}uri?t=mkdir").decode()

    def at(self, *names: str, cap: str = "") -> str:
        """Return an address in the directory of the test."""
        parts = [cap or self.cap, *names]
        return self.grid.url + "uri/" + "/".join(quote(each, safe="") for each in parts)

    def fill(self, files: dict[str, bytes], cap: str = "") -> None:
        """Link files."""
        children = {
            name: ["filenode", {"ro_uri": self.store(data), "metadata": {"is": name}}]
            for name, data in files.items()
        }
        self.set(children, cap)

    def store(self, data: bytes) -> str:
        """Return the cap of a file."""
        if len(data) <= 55:
            return str(LiteralCap(data))
        return curl("-T", "-", f"{self.grid.url}uri", data=data).decode()

    def set(self, children: object, cap: str = "") -> None:
        """Link children."""
        address = f"{self.at(cap=cap)}?t=set_children"
        curl("--data-binary", "@-", address, data=json.dumps(children).encode())

    def children(self, *names: str, cap: str = "") -> dict[str, Any]:
        """Return what a directory has, in the words of the gateway."""
        return json.loads(curl(f"{self.at(*names, cap=cap)}?t=json"))[1]["children"]  # type: ignore[no-any-return]

    def visit(self, *names: str, cap: str = "", width: int = 1000) -> None:
        """Show the directory."""
        self.browser.do(
            "page.errors.length = 0;"
            "await page.setViewportSize({ width: args[1], height: 900 });"
            "await page.goto(args[0])",
            self.at(*names, cap=cap) + "/",
            width,
        )

    def names(self) -> list[str]:
        """Return the names in the table, in its order."""
        return self.browser.do(NAMES)  # type: ignore[no-any-return]

    def said(self, text: str) -> None:
        """Wait until the page says something."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [self.browser.do(SAID)]
            return text in found[0]

        try:
            eventually(there)
        except AssertionError:
            self.fail(f"{text!r} was not said, but {found}")

    def check_quiet(self) -> None:
        """The browser complained of nothing."""
        self.assertEqual(self.browser.do("return page.errors"), [])

    def keys(self, *keys: str) -> None:
        """Press keys, one after the other."""
        self.browser.do("for (const key of args) await page.keyboard.press(key)", *keys)

    def focus_on(self, text: str) -> None:
        """Wait until what is called *text* has the focus; a dialog gives it back late."""
        focused = (
            "return page.evaluate(() => document.activeElement.ariaLabel"
            " || document.activeElement.textContent)"
        )
        eventually(lambda: self.browser.do(focused) == text)


class TableTests(DirectoryCase):
    def test_sort_and_filter(self) -> None:
        """Heads sort, with the mouse or a key; the filter shows what it is asked for."""
        self.fill({"b10.txt": b"1", "B2.txt": b"22" * 9, "a.png": b"333"})
        self.visit()
        self.assertEqual(self.names(), ["B2.txt", "a.png", "b10.txt"])
        self.browser.do(BUTTON, "Name")
        eventually(lambda: self.names() == ["a.png", "B2.txt", "b10.txt"])
        self.browser.do("await page.getByRole('button', { name: 'Size' }).press('Enter')")
        eventually(lambda: self.names() == ["B2.txt", "a.png", "b10.txt"])
        self.assertEqual(self.browser.do(SORTED), [["Size", "descending"]])
        self.focus_on("Size")
        self.browser.do("await page.getByLabel('Filter').fill('TXT')")
        eventually(lambda: self.names() == ["B2.txt", "b10.txt"])
        self.said("2 of 3 are shown.")
        self.keys("Escape")
        eventually(lambda: len(self.names()) == 3)
        summary = "return page.locator('#summary').textContent()"
        self.assertEqual(self.browser.do(summary), "3 files, 22 bytes")
        title, text = self.browser.do(TIMES)
        self.assertRegex(title, r"^\d+ \w+ \d{4}, \d\d:\d\d UTC$")
        self.assertNotIn("UTC", text)
        self.check_quiet()

    def test_changes_with_keys(self) -> None:
        """F2, Delete, undo, a new directory: keys alone, and the focus stays near."""
        self.fill({"a.txt": b"a", "b.txt": b"b", "c.txt": b"c"})
        self.visit()
        self.browser.do(LINK, "a.txt")
        self.keys("ArrowDown", "F2")
        self.browser.do("await page.keyboard.type('new')")
        self.keys("Enter")
        self.said("b.txt is now new.txt.")
        self.focus_on("new.txt")
        self.assertEqual(list(self.children()), ["a.txt", "c.txt", "new.txt"])
        self.keys("F2", "Escape")
        self.focus_on("new.txt")
        # A name that is taken is refused, and nothing is lost.
        self.keys("F2", "ControlOrMeta+a")
        self.browser.do("await page.keyboard.type('c.txt')")
        self.keys("Enter")
        self.said("already")
        self.keys("Escape", "ArrowUp", "Delete")
        self.said("“c.txt” is unlinked.")
        self.focus_on("new.txt")
        self.assertEqual(list(self.children()), ["a.txt", "new.txt"])
        self.keys("ControlOrMeta+z")
        self.said("Undone: unlink “c.txt”.")
        self.assertEqual(self.children()["c.txt"][1]["metadata"]["is"], "c.txt")
        self.keys("ControlOrMeta+z")
        self.said("Undone: rename “b.txt”.")
        self.assertEqual(self.names(), ["a.txt", "b.txt", "c.txt"])
        self.browser.do("await page.getByLabel('New directory').focus()")
        self.browser.do("await page.keyboard.type('deep')")
        self.keys("Enter")
        self.said("The directory deep is made.")
        self.assertEqual(self.names()[3], "deep")
        self.assertEqual(self.children()["deep"][0], "dirnode")
        self.check_quiet()

    def test_changes_with_the_mouse(self) -> None:
        """The same by clicks: what a row has is behind its dots."""
        other = self.mkdir()
        self.fill({"a.txt": b"a", "b.txt": b"b"})
        self.visit()
        self.browser.do("await page.emulateMedia({ colorScheme: 'dark' })")
        self.browser.do(CLICKS, "a.txt", "Rename")
        self.browser.do("await page.getByLabel('New name of a.txt').fill('c.txt')")
        self.browser.do("await page.locator('h1').click()")
        self.said("a.txt is now c.txt.")
        self.assertEqual(list(self.children()), ["b.txt", "c.txt"])
        self.browser.do(CLICKS, "c.txt", "Move")
        cap = "await page.getByLabel('Or the cap of another directory').fill(args[0])"
        self.browser.do(cap, other)
        self.browser.do(IN_DIALOG, "Go there")
        self.browser.do(IN_DIALOG, "Move here")
        self.said("“c.txt” is moved.")
        self.assertEqual(list(self.children(cap=other)), ["c.txt"])
        self.browser.do(CLICKS, "b.txt", "Unlink")
        self.said("“b.txt” is unlinked.")
        text = "return page.locator('main').innerText()"
        self.assertIn("This directory is empty", self.browser.do(text))
        for what in ("unlink", "move", "rename"):
            self.browser.do("await page.locator('#undo').click()")
            self.said(f"Undone: {what}")
        self.assertEqual(self.names(), ["a.txt", "b.txt"])
        self.browser.do("await page.getByLabel('New directory').fill('deep')")
        self.browser.do(BUTTON, "Make")
        self.said("The directory deep is made.")
        opened = "page.getByRole('link', { name: 'deep', exact: true }).click()"
        self.browser.do(f"await Promise.all([page.waitForNavigation(), {opened}])")
        self.assertIn("This directory is empty", self.browser.do(text))
        self.check_quiet()

    def test_refused(self) -> None:
        """What the directory refuses is said, and nothing is changed here or there."""
        self.fill({"a.txt": b"a"})
        self.visit()
        self.fill({"b.txt": b"b"})  # by somebody else
        self.browser.do(LINK, "a.txt")
        self.keys("F2", "ControlOrMeta+a")
        self.browser.do("await page.keyboard.type('b.txt')")
        self.keys("Enter")
        self.said("There is something named 'b.txt' already")
        self.keys("Escape")
        curl("-X", "DELETE", self.at("a.txt"))
        self.keys("Delete")
        self.said("There is no child named 'a.txt'")
        self.assertEqual(self.names(), ["a.txt"])
        self.assertEqual(list(self.children()), ["b.txt"])

    def test_several(self) -> None:
        """Several are chosen, unlinked, brought back with all they were, and moved."""
        other, mutable = (
            self.mkdir(),
            curl("-T", "-", f"{self.grid.url}uri?format=SDMF", data=b"m").decode(),
        )
        self.fill({"a": b"a", "b\u202e": b"b", "z": b"z"})
        self.set(
            {
                "d": ["dirnode", {"rw_uri": other}],
                "m": ["filenode", {"rw_uri": mutable}],
                "later": ["unknown", {"ro_uri": "ro.URI:FUTURE:abc"}],
            }
        )
        before = self.children()
        self.visit(width=360)
        for name in ("a", "b[U+202E]", "later", "m"):
            self.browser.do(CHOOSE, name)
        self.browser.do(BUTTON, "Unlink")
        self.said("4 children are unlinked.")
        self.assertEqual(list(self.children()), ["d", "z"])
        self.browser.do(BUTTON, "Undo")
        self.said("Undone")
        after = self.children()
        for each in (*before.values(), *after.values()):
            each[1]["metadata"].pop("tahoe")
        self.assertEqual(after, before)
        self.browser.do(CHOOSE, "a")
        self.browser.do(CHOOSE, "m")
        self.browser.do("await page.getByRole('button', { name: 'Move' }).press('Enter')")
        inside = "await page.getByRole('dialog').getByRole('button', { name: 'd' }).focus()"
        self.browser.do(inside)
        self.keys("Enter")
        eventually(lambda: "Directory / d" in self.browser.do(DIALOG))
        self.browser.do("await page.getByRole('button', { name: 'Move here' }).focus()")
        self.keys("Enter")
        self.said("2 children are moved.")
        self.assertEqual(sorted(self.children("d")), ["a", "m"])
        self.assertEqual(self.children("d")["m"][1]["rw_uri"], mutable)
        self.browser.do("await page.getByRole('button', { name: 'Undo' }).press('Enter')")
        self.said("Undone")
        self.assertEqual(sorted(self.children()), sorted(before))
        self.assertEqual(self.children("d"), {})
        self.check_quiet()


# Files that are dropped, in directories; webkitGetAsEntry gives what a desktop would.
DROP = """
await page.evaluate((tree) => {
  const entry = ([name, inside]) => typeof inside === "string" || Array.isArray(inside)
    ? { name, isFile: true, isDirectory: false,
        file: (done) => done(new File(Array.isArray(inside)
          ? [new Uint8Array(inside[0])] : [inside], name)) }
    : { name, isFile: false, isDirectory: true, createReader() {
        const rest = Object.entries(inside).map(entry);
        return { readEntries: (done) => done(rest.splice(0, 2)) };
      } };
  const entries = Object.entries(tree).map(entry);
  const event = new Event("drop", { bubbles: true, cancelable: true });
  event.dataTransfer = { types: ["Files"], files: [],
    items: entries.map((each) => ({ webkitGetAsEntry: () => each })) };
  document.querySelector(":is(" + (window.target ?? "#drop") + ")").dispatchEvent(event);
}, args[0]);
"""


class UploadTests(DirectoryCase):
    def content(self, *names: str) -> bytes:
        """Return the bytes of a file in the directory."""
        return curl(self.at(*names))

    def test_drop_of_directories(self) -> None:
        """Whole directories are dropped; few writes link all their files."""
        many = {f"f{number:02}.txt": f"file {number}" for number in range(40)}
        self.visit()
        self.browser.do(
            "page.links = [];"
            "page.on('request', (each) => each.url().includes('set_children')"
            " && page.links.push(each.url()))"
        )
        self.browser.do(
            DROP, {"top.txt": "top", "photos": {"a.png": "a", "2026": many, "none": {}}}
        )
        self.said("42 files are stored and linked.")
        eventually(lambda: "none" in self.children("photos"))
        self.assertEqual(self.names(), ["photos", "top.txt"])
        self.assertEqual(list(self.children("photos")), ["2026", "a.png", "none"])
        self.assertEqual(list(self.children("photos", "2026")), list(many))
        self.assertEqual(self.content("photos", "2026", "f07.txt"), b"file 7")
        writes = self.browser.do("return page.links")
        self.assertLess(len(writes), 9)
        self.check_quiet()

    def test_taken_names(self) -> None:
        """What is there is not replaced unless the person says so."""
        self.fill({"a.txt": b"old", "b.txt": b"old"})
        self.visit()
        for answer, expected in (
            ("Skip", {"a.txt": b"old"}),
            ("Keep both", {"a.txt": b"old", "a (2).txt": b"new"}),
            ("Replace", {"a.txt": b"new", "a (2).txt": b"new"}),
        ):
            self.browser.do(DROP, {"a.txt": "new"})
            self.browser.do(IN_DIALOG, answer)
            if answer != "Skip":
                self.said("1 file is stored and linked.")
            found = {name: self.content(name) for name in self.children()}
            self.assertEqual(found, {**expected, "b.txt": b"old"}, answer)
            self.browser.do("await page.reload()")
        # Below, where the page has not looked, it is asked when the files are linked.
        self.set({"d": ["dirnode", {"rw_uri": (inner := self.mkdir())}]})
        self.fill({"x.txt": b"old"}, inner)
        self.visit()
        self.browser.do(DROP, {"d": {"x.txt": "new", "y.txt": "new"}})
        self.browser.do(IN_DIALOG, "Keep both")
        self.said("2 files are stored and linked.")
        self.assertEqual(
            {name: self.content("d", name) for name in self.children("d")},
            {"x.txt": b"old", "x (2).txt": b"new", "y.txt": b"new"},
        )
        self.check_quiet()

    def test_break(self) -> None:
        """An upload is paused, goes on, is broken off by a reload, and goes on."""
        port = urlsplit(self.grid.url).port
        assert port is not None
        data = bytes(range(256)) * (64 << 10)  # 16 MiB
        path = self.grid.directory.parent / "long.bin"
        path.write_bytes(data)
        small = self.grid.directory.parent / "small.bin"
        small.write_bytes(b"small")
        with Line(port) as line:
            line.rate = 2 << 20
            address = self.at().replace(f":{port}/", f":{line.port}/") + "/"
            self.browser.do("page.errors.length = 0; await page.goto(args[0])", address)
            self.browser.do(FILES, str(path), str(small))
            eventually(lambda: "MB/s" in self.told())
            self.browser.do("await page.getByLabel('Pause: long.bin').press('Enter')")
            self.said("long.bin is paused.")
            eventually(lambda: "small.bin" in self.names())
            eventually(lambda: "1 of 2 files" in self.told())
            self.browser.do("await page.getByLabel('Resume: long.bin').press('Enter')")
            eventually(lambda: "MB/s" in self.told())
            self.browser.do(
                "await page.goto('about:blank'); await page.goto(args[0])", address
            )
            left = "return page.locator('#left').textContent()"
            eventually(lambda: "long.bin was broken off" in self.browser.do(left))
            before = line.sent
            line.rate = 0
            self.browser.do(FILES, str(path))
            self.said("1 file is stored and linked.")
            self.assertLess(line.sent - before, len(data))
            self.browser.do("await page.goto('about:blank')")
        self.assertEqual(self.content("long.bin"), data)
        kept = "return page.evaluate(() => Object.keys(localStorage))"
        self.visit()
        self.assertEqual(self.browser.do(kept), [])
        self.check_quiet()

    def told(self) -> str:
        """Return what the page tells of its uploads."""
        return self.browser.do("return page.locator('#sending').innerText()")  # type: ignore[no-any-return]

    def test_cancel(self) -> None:
        """All that is under way is cancelled, and nothing of it is left."""
        port = urlsplit(self.grid.url).port
        assert port is not None
        path = self.grid.directory.parent / "long.bin"
        path.write_bytes(bytes(8 << 20))
        with Line(port) as line:
            line.rate = 1 << 20
            address = self.at().replace(f":{port}/", f":{line.port}/") + "/"
            self.browser.do("page.errors.length = 0; await page.goto(args[0])", address)
            self.browser.do(FILES, str(path))
            eventually(lambda: "kB/s" in self.told() or "MB/s" in self.told())
            self.browser.do(BUTTON, "Cancel all")
            self.said("1 upload is cancelled.")
            eventually(lambda: not self.grid.incoming())
            self.assertEqual(self.children(), {})
            self.check_quiet()
            self.browser.do("await page.goto('about:blank')")

    def test_folder_chooser(self) -> None:
        """A chooser of directories is there beside that of files, for keys."""
        place = self.grid.directory.parent / "chosen"
        (place / "sub").mkdir(parents=True)
        (place / "sub" / "one.txt").write_text("one")
        (place / "two.txt").write_text("two")
        self.visit()
        self.browser.do("await page.setInputFiles('#folder', args[0])", str(place))
        self.said("2 files are stored and linked.")
        self.assertEqual(self.content("chosen", "sub", "one.txt"), b"one")
        self.check_quiet()


SENDING = "return page.locator('#sending').innerText()"
FRAME = """
const [frame] = page.frames().slice(1);
try {
  return [frame.url(), await frame.evaluate(
    () => [self.origin, document.body?.innerText ?? "",
      document.querySelector("img, video, embed")?.localName ?? ""])];
} catch { return null; }
"""
FORM = """
await Promise.all([page.waitForNavigation(),
  page.getByRole("button", { name: args[0], exact: true }).press("Enter")]);
"""
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]>>endobj
trailer<</Root 1 0 R>>"""


class LookTests(DirectoryCase):
    def frame(self, name: str) -> list[str]:
        """Wait for the preview of a file; return its origin, its text and its element."""
        found: list[Any] = []

        def there() -> bool:
            found[:] = [self.browser.do(FRAME)]
            return bool(found[0] and found[0][0].endswith(name))

        eventually(there)
        return found[0][1]  # type: ignore[no-any-return]

    def test_preview(self) -> None:
        """Pictures, texts, sounds and PDFs are shown in a sandbox that reaches nothing."""
        script = b"<script>parent.ran = 1; document.title = parent.location</script>"
        svg = b'<svg xmlns="http://www.w3.org/2000/svg">' + script + b"</svg>"
        files = {"a.svg": svg, "b.csv": script, "c.wav": b"RIFF", "d.html": script}
        self.fill({**files, "e.pdf": PDF})
        self.visit()
        self.browser.do(LINK, "a.svg")
        self.keys("Enter")
        self.assertEqual(self.frame("a.svg")[0], "null")
        self.focus_on("Close")
        self.keys("ArrowRight")
        origin, text, _ = self.frame("preview.txt")
        self.assertEqual((origin, text), ("null", script.decode()))
        self.keys("ArrowRight")
        self.assertEqual(self.frame("c.wav")[2], "video")
        self.keys("ArrowRight")  # a page is opened by itself
        self.frame("e.pdf")
        eventually(lambda: self.browser.do("return page.frames().length") > 2)
        self.keys("Escape")
        self.focus_on("e.pdf")
        self.assertIsNone(self.browser.do(FRAME))
        self.browser.do(LINK, "b.csv")
        self.browser.do(
            "await page.getByRole('link', { name: 'b.csv', exact: true }).click()"
        )
        self.frame("preview.txt")
        self.browser.do(BUTTON, "Previous")
        self.frame("a.svg")
        self.browser.do(BUTTON, "Close")
        self.assertEqual(self.browser.do("return page.evaluate(() => self.ran ?? 0)"), 0)
        errors = self.browser.do("return page.errors")
        # The browser tells of the script that it did not run.
        self.assertEqual([each for each in errors if "script" not in each.lower()], [])

    def test_copy_and_download(self) -> None:
        """A link that only reads is copied, of a directory too; a file is downloaded."""
        inner = self.mkdir()
        self.fill({"a.txt": b"hello"})
        self.set({"d": ["dirnode", {"rw_uri": inner}]})
        self.visit()
        allow = "await context.grantPermissions(['clipboard-read', 'clipboard-write'])"
        self.browser.do(allow)
        copied = "return page.evaluate(() => navigator.clipboard.readText())"
        reader = curl(f"{self.at('d')}?t=readonly-uri").decode()
        self.browser.do(MENU, "d", "Copy read-only cap")
        self.said("is copied")
        self.assertEqual(self.browser.do(copied), reader)
        self.browser.do(MENU, "d", "Copy read-only link")
        self.said("The read-only link of d is copied.")
        link = self.browser.do(copied)
        self.assertIn(quote(reader, safe=""), link)
        self.focus_on("More on d")
        loaded = """
        const coming = page.waitForEvent("download");
        await page.getByLabel("More on a.txt").click();
        await page.getByRole("dialog").getByRole("button", { name: "Download" }).click();
        const download = await coming;
        const { readFileSync } = await import("node:fs");
        return [download.suggestedFilename(), readFileSync(await download.path(), "utf8")];
        """
        self.assertEqual(self.browser.do(loaded), ["a.txt", "hello"])
        # Who has the link looks, and changes nothing.
        self.browser.do("await page.goto(args[0])", link)
        text = self.browser.do("return page.locator('main').innerText()")
        self.assertIn("Read-only", text)
        self.assertIn("This directory is empty", text)
        self.assertEqual(self.browser.do("return page.locator('form').count()"), 0)
        self.check_quiet()

    def test_other_origin(self) -> None:
        """Nothing on the page sends its address, which has a cap, to anybody else."""
        self.fill({"a.html": b"<a href=//x.example>x</a>"})
        self.visit()
        self.browser.do(
            "page.referers = []; page.on('request', (each) =>"
            " page.referers.push(each.headers().referer ?? ''));"
            "await Promise.all([page.waitForNavigation(), page.getByRole('link',"
            " { name: 'a.html', exact: true }).click()])"
        )
        self.assertIn("a.html", self.browser.do("return page.url()"))
        self.assertEqual(set(self.browser.do("return page.referers")), {""})

    def test_forms(self) -> None:
        """Without a script forms upload, make, rename, move and unlink."""
        self.browser.do("await page.route('**/static/*.js', (route) => route.abort())")
        self.addCleanup(self.browser.do, "await page.unroute('**/static/*.js')")
        self.visit()
        self.browser.do(
            """await page.setInputFiles("#file", { name: "a.bin",
                mimeType: "text/plain", buffer: Buffer.alloc(3000) })"""
        )
        self.browser.do(FORM, "Upload")
        self.assertEqual(self.names(), ["a.bin"])
        self.browser.do("await page.getByLabel('New directory').fill('d')")
        self.browser.do(FORM, "Make")
        self.assertEqual(self.names(), ["a.bin", "d"])
        more = """await Promise.all([page.waitForNavigation(),
            page.getByLabel(`More on ${args[0]}`).press("Enter")])"""
        self.browser.do(more, "a.bin")
        self.browser.do("await page.getByLabel('New name').fill('b.bin')")
        self.browser.do(FORM, "Rename")
        self.assertEqual(self.names(), ["b.bin", "d"])
        self.browser.do(more, "b.bin")
        label = "await page.getByLabel('The cap of that directory').fill(args[0])"
        self.browser.do(label, f"{self.cap}/d")
        self.browser.do(FORM, "Move")
        self.assertEqual(self.names(), ["d"])
        self.assertEqual(list(self.children("d")), ["b.bin"])
        self.visit("d")
        self.browser.do(more, "b.bin")
        self.browser.do(FORM, "Unlink")
        self.assertEqual(self.names(), [])
        self.browser.do(
            "await Promise.all([page.waitForNavigation(),"
            " page.getByRole('navigation', { name: 'Path' }).getByRole('link').click()])"
        )
        self.assertEqual(self.names(), ["d"])

    def test_new_directory(self) -> None:
        """The first page makes a directory and shows it."""
        self.browser.do("page.errors.length = 0; await page.goto(args[0])", self.grid.url)
        self.browser.do(FORM, "Make a directory")
        self.assertIn("/uri/URI%3ADIR2%3A", self.browser.do("return page.url()"))
        text = self.browser.do("return page.locator('main').innerText()")
        self.assertIn("This directory is empty", text)
        self.check_quiet()


class EverybodyTests(DirectoryCase):
    skip = no_axe()

    def test_focus(self) -> None:
        """Whatever Tab reaches can be seen, and shows that it is reached."""
        self.fill({f"{number}.txt": b"x" for number in range(9)})
        self.visit()
        self.browser.do(CHOOSE, "3.txt")
        found = self.browser.do(FOCUS)
        self.assertGreaterEqual(len(found), 15)
        self.assertEqual([name for name, seen in found if not seen], [])

    def check(self, name: str) -> None:
        """Nobody is shut out of the page."""
        found, passed = self.browser.do(CHECK, str(AXE), PICTURES, f"directory-{name}")
        self.assertEqual(found, [], name)
        self.assertGreater(passed, 20, name)  # behind a dialog there is less

    def test_pages(self) -> None:
        """axe-core finds nothing, wide and narrow, light and dark."""
        self.visit()
        self.check("empty")
        word = "a long name " * 9
        self.fill({"a.txt": b"a", "b\u202e.mp4": b"b", word: b"c", "w" * 90: b"d"})
        self.set(
            {
                "d": ["dirnode", {"rw_uri": self.mkdir()}],
                "later": ["unknown", {"ro_uri": "ro.URI:FUTURE:abc"}],
            }
        )
        self.visit()
        self.browser.do(CHOOSE, "a.txt")
        self.browser.do(BUTTON, "Unlink")
        self.said("unlinked")
        self.browser.do(CHOOSE, "d")
        self.check("full")
        self.browser.do("await page.getByLabel('More on later').click()")
        self.check("menu")
        self.keys("Escape")
        self.browser.do(BUTTON, "Move")
        self.check("move")
        self.keys("Escape")
        self.browser.do("await page.route('**/tus/**', (route) => route.abort())")
        self.browser.do(DROP, {"sent.txt": "x" * 99, word: {"deep.bin": "y"}})
        eventually(lambda: "tried again" in self.browser.do(SENDING))
        self.check("uploads")
        self.browser.do(BUTTON, "Cancel all")
        self.said("2 uploads are cancelled.")
        self.browser.do("await page.unroute('**/tus/**')")
        self.browser.do("page.errors.length = 0")  # of what was aborted
        self.browser.do(LINK, "bU+202E.mp4")
        self.keys("Enter")
        self.check("preview")
        self.keys("Escape")
        reader = curl(f"{self.at()}?t=readonly-uri").decode()
        self.visit(cap=reader)
        self.check("reader")
        self.visit("d")
        self.browser.do("await page.goto(args[0])", f"{self.at()}/?t=rename-form&name=d")
        self.check("change")
        self.check_quiet()
