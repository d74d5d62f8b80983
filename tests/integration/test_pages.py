"""The pages for people, in a real browser: seen, used with the keyboard, and quiet."""

from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack
from pathlib import Path

from tests.integration.browser import BrowserCase, missing
from tests.integration.helper_line import Line
from tests.processes import GridProcess, Wire, curl, eventually, running

MIB = 1 << 20
TASK = "0123456789abcdef0123"
# Where pictures of the pages are put, if somebody wants to look at them.
PICTURES = os.environ.get("TRUCKEE_PICTURES")

# How full the bars are: on the status page those of what is under way.
BARS = """
const bars = page.locator("#uploads progress, #active progress");
return await bars.evaluateAll((all) => all.map((each) => each.value));
"""
# What Tab reaches, one after the other, until it comes back.
TABBED = """
const found = [];
await page.evaluate(() => {
  document.body.tabIndex = -1;
  document.body.focus();
  document.body.removeAttribute("tabindex");
});
for (let step = 0; step < 40; step++) {
  await page.keyboard.press("Tab");
  const told = await page.evaluate(() => {
    const at = document.activeElement;
    return at === document.body ? null : at.textContent.trim() || at.name || at.id;
  });
  if (told === null || (found.length > 1 && told === found[0])) break;
  found.push(told);
}
return found;
"""


class PagesTests(BrowserCase):
    skip = missing(browser=True)

    def visit(self, path: str) -> None:
        """Show a page."""
        self.browser.do(
            "page.errors.length = 0; await page.goto(args[0])", self.grid.url + path
        )

    def look(self, name: str) -> None:
        """Look at the page, in the light and in the dark, wide and narrow."""
        for scheme, width in (("light", 800), ("dark", 360)):
            self.browser.do(
                "await page.emulateMedia({ colorScheme: args[0] });"
                "await page.setViewportSize({ width: args[1], height: 900 });",
                scheme,
                width,
            )
            # Nothing is cut off at the side.
            wide = self.browser.do(
                "return page.evaluate(() => document.documentElement.scrollWidth)"
            )
            self.assertLessEqual(wide, width, name)
            if PICTURES:
                path = str(Path(PICTURES) / f"{name}-{scheme}.png")
                self.browser.do("await page.screenshot({ path: args[0] })", path)
        self.browser.do("await page.setViewportSize({ width: 800, height: 900 })")

    def check_quiet(self) -> None:
        """The browser complained of nothing."""
        self.assertEqual(self.browser.do("return page.errors"), [])

    def test_welcome(self) -> None:
        """All of the first page is reached with the keyboard; status is one key further."""
        self.visit("")
        reached = self.browser.do(TABBED)
        self.assertEqual(reached[0], "Skip to the content")
        for name in (
            "truckee",
            "Files",
            "Status",
            "3 of 3 directories",
            "file",
            "uri",
            "Open",
        ):
            self.assertIn(name, reached)
        self.look("welcome")
        text = self.browser.do("return page.locator('main').innerText()")
        self.assertIn("Free space", text)
        told = json.loads(curl(f"{self.grid.url}?t=json"))["servers"]
        self.assertGreater(min(each["available_space"] for each in told), 0)
        self.browser.do(
            "await page.getByRole('link', { name: 'Status' }).focus();"
            "await page.keyboard.press('Enter'); await page.waitForURL('**/status')"
        )
        self.check_quiet()

    def test_status(self) -> None:
        """Bars of three uploads move on a page that is never loaded again."""
        with ExitStack() as stack:
            wires = [stack.enter_context(Wire(self.grid.url)) for _ in range(3)]
            for wire in wires:
                wire.request("PUT /uri", f"Content-Length: {8 * MIB}")
                wire.send(bytes(3 * MIB))
            self.visit("status")
            self.browser.do("await page.evaluate(() => { window.same = true })")
            eventually(lambda: len(self.bars()) == 3 and min(self.bars()) > 0.2)
            before = self.bars()
            self.look("status")
            for wire in wires:
                wire.send(bytes(3 * MIB))
            eventually(lambda: min(self.bars()) > max(before) + 0.2)
            for wire in wires:
                wire.send(bytes(2 * MIB))
            for wire in wires:
                self.assertEqual(wire.reply().status, 200)
            text = "return page.locator('#live').innerText()"
            eventually(lambda: "Nothing is under way" in self.browser.do(text))
            # What is finished is folded, and what was unfolded stays so.
            self.assertNotIn("3 shares on 3 directories", self.browser.do(text))
            self.browser.do("await page.locator('summary').press('Enter')")
            self.look("status-over")
            folded = "return page.locator('summary').textContent()"
            before_it = self.browser.do(folded)
            curl("-T", "-", f"{self.grid.url}uri", data=bytes(100))
            eventually(lambda: self.browser.do(folded) != before_it)
            self.assertIn("3 shares on 3 directories", self.browser.do(text))
            self.assertTrue(self.browser.do("return page.evaluate(() => window.same)"))
            self.check_quiet()

    def bars(self) -> list[float]:
        """Return how full the bars of the page are."""
        return [float(each) for each in self.browser.do(BARS)]

    def test_unknown_size(self) -> None:
        """The bar of an upload of unknown size has no end, and says how much came."""
        with Wire(self.grid.url) as wire:
            wire.request("PUT /uri", "Transfer-Encoding: chunked")
            wire.chunk(bytes(2 * MIB))
            self.visit("status")
            endless = "return page.locator('progress:indeterminate').getAttribute(args[0])"
            eventually(lambda: "done" in (self.browser.do(endless, "aria-label") or ""))
            self.assertIsNone(self.browser.do(endless, "value"))
            self.look("status-unknown")
            text = "return page.locator('#live').innerText()"
            self.assertIn("so far", self.browser.do(text))
            wire.chunk(b"")
            self.assertEqual(wire.reply().status, 200)
            endless = "return page.locator('progress:indeterminate').count()"
            eventually(lambda: self.browser.do(endless) == 0)
            self.check_quiet()

    def test_late_answer(self) -> None:
        """A page whose gateway is slow says so, and asks again until it is not."""
        # The page's own request may still be under way when this route ends.
        sooner = """
        if (route.request().resourceType() !== "document") {
          return route.continue().catch(() => {});
        }
        const answer = await route.fetch();
        const text = await answer.text();
        const body = text.replace('data-every="5"', 'data-every="0.4"');
        await route.fulfill({ response: answer, body });
        """
        self.browser.do(f"await page.route('**/status', async (route) => {{{sooner}}})")
        self.visit("status")
        self.browser.do(
            "await page.unroute('**/status'); await page.route('**/status', () => {});"
        )
        curl("-T", "-", f"{self.grid.url}uri", data=bytes(1000))
        text = "return page.locator('body').innerText()"
        eventually(lambda: "does not answer" in self.browser.do(text))
        self.browser.do("await page.unroute('**/status')")
        eventually(lambda: "does not answer" not in self.browser.do(text))
        self.check_quiet()

    def test_hidden(self) -> None:
        """A page that nobody sees keeps no line to its gateway, and catches up."""
        self.visit("status")
        eventually(lambda: self.listeners() == 1)
        turn = """
        await page.evaluate((hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }, args[0]);
        """
        self.browser.do(turn, True)
        eventually(lambda: self.listeners() == 0)
        cap = curl("-T", "-", f"{self.grid.url}uri", data=bytes(1234)).decode()
        self.browser.do(turn, False)
        eventually(lambda: self.listeners() == 1)
        text = "return page.locator('#live').textContent()"
        eventually(lambda: "1.2 kB" in self.browser.do(text))
        self.assertNotIn(cap, self.browser.do("return page.content()"))
        self.check_quiet()

    def test_health(self) -> None:
        """The head of a page that is looked at tells of a disk that goes and comes back."""
        self.visit("status")
        health = "return page.locator('#health').innerText()"
        self.assertEqual(self.browser.do(health), "3 of 3 directories")
        self.browser.do("await page.evaluate(() => { window.same = true })")
        disk = self.grid.directory / "storage" / "1"
        away = disk.with_name("away")
        disk.rename(away)
        eventually(lambda: "2 of 3 directories" in self.browser.do(health))
        self.assertIn("1 problem", self.browser.do(health))
        told = "return page.getByRole('alert').innerText()"
        self.assertIn("Nothing more is stored there", self.browser.do(told))
        link = "await page.getByRole('link', { name: '1 problem' }).press('Enter')"
        self.browser.do(link)
        away.rename(disk)
        eventually(lambda: self.browser.do(health) == "3 of 3 directories")
        self.assertTrue(self.browser.do("return page.evaluate(() => window.same)"))
        self.check_quiet()

    def listeners(self) -> int:
        """Return how many hear of what the gateway does."""
        metrics = curl(f"{self.grid.url}metrics").decode()
        [line] = re.findall("^truckee_event_listeners (.*)$", metrics, re.M)
        return int(float(line))

    def test_upload(self) -> None:
        """With keys alone a file is chosen, paused, resumed and stored."""
        port = int(self.grid.url.rstrip("/").rpartition(":")[2])
        path = self.grid.directory.parent / "holiday.bin"
        path.write_bytes(bytes(16 * MIB))
        with Line(port) as line:
            line.rate = 2 * MIB
            self.browser.do(
                "page.errors.length = 0; await page.goto(args[0])",
                f"http://127.0.0.1:{line.port}/upload",
            )
            self.look("upload")
            self.browser.do(
                "const choosing = page.waitForEvent('filechooser');"
                "await page.keyboard.press('Tab'); await page.keyboard.press('Enter');"
                # The first leads past the head of the page, to the files.
                "await page.keyboard.press('Tab'); await page.keyboard.press('Enter');"
                "await (await choosing).setFiles(args[0])",
                str(path),
            )
            eventually(lambda: "MB/s" in self.told())
            self.look("upload-during")
            self.assertGreater(min(self.bars()), 0)
            self.browser.do(
                "await page.keyboard.press('Tab'); await page.keyboard.press('Space')"
            )
            eventually(lambda: "Paused" in self.told())
            self.look("upload-paused")
            line.rate = 0
            self.browser.do("await page.keyboard.press('Space')")
            eventually(lambda: "stored. Its cap" in self.told())
            self.look("upload-over")
            reached = self.browser.do(TABBED)
            for name in ("Copy cap", "Forget cap", "Open in a new tab"):
                self.assertIn(name, reached)
            self.check_quiet()
            # What goes through the line ends before the line does.
            self.browser.do("await page.goto('about:blank')")

    def told(self) -> str:
        """Return what the page tells of its upload."""
        return "".join(self.browser.do("return page.locator('.told').allTextContents()"))

    def test_task(self) -> None:
        """Who has the id of an upload cancels it with the keyboard."""
        with Wire(self.grid.url) as wire:
            wire.request(
                "PUT /uri", f"Content-Length: {8 * MIB}", "X-Task-Id: 0123456789abcdef0123"
            )
            wire.send(bytes(3 * MIB))
            eventually(self.grid.incoming)
            self.visit(f"operations/{TASK}")
            self.look("task")
            self.assertIn("Cancel", self.browser.do(TABBED))
            self.browser.do(
                "await page.getByRole('button', { name: 'Cancel' }).focus();"
                "await page.keyboard.press('Enter')"
            )
            text = "return page.locator('#live').innerText()"
            eventually(lambda: "cancelled" in self.browser.do(text))
            self.assertEqual(self.grid.incoming(), [])
            self.assertNotIn("Cancel\n", self.browser.do(text))
            self.check_quiet()

    def test_gateway_away(self) -> None:
        """A page says that its gateway is away, and goes on when it is back."""
        grid = GridProcess.create(
            self.grid.directory.parent / "other",
            needed=1,
            happy=1,
            total=1,
            storage_dirs=1,
        )
        with running(grid):
            config = grid.directory / "tahoe.cfg"
            port = grid.url.rstrip("/").rpartition(":")[2]
            config.write_text(config.read_text().replace("tcp:0:", f"tcp:{port}:"))
            self.browser.do("await page.goto(args[0])", f"{grid.url}status")
            text = "return page.locator('body').textContent()"
            self.assertNotIn("does not answer", self.browser.do(text))
            grid.stop()
            eventually(lambda: "does not answer" in self.browser.do(text))
            grid.start()
            curl("-T", "-", f"{grid.url}uri", data=bytes(1000))
            eventually(lambda: "Upload 1" in self.browser.do(text))
            self.assertNotIn("does not answer", self.browser.do(text))
