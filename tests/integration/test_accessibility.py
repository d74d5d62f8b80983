"""
The pages for everybody: axe-core finds nothing, at two widths, in light and dark.

Pages whose states are hard to bring about are rendered here, and shown by a real gateway.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.integration.browser import JAVASCRIPT, BrowserCase, missing
from tests.processes import Wire, curl, eventually
from truckee.frontends.web import helper_status, storage_status
from truckee.frontends.web.frame import Frame, Health
from truckee.frontends.web.helper_report import HelperReport, KeptReport, UploadReport
from truckee.frontends.web.storage_report import DiskReport, StorageReport
from truckee.frontends.web.upload_routes import HelperSeen
from truckee.frontends.web.welcome import GridStatus, health_of, welcome_page
from truckee.grid.pool import ServerStatus
from truckee.helper.server.limits import HelperLimits
from truckee.status.problems import Problem
from truckee.storage.crawl_state import CrawlCounts, CrawlState
from truckee.storage.kept_shares import KeptTotals

MIB = 1 << 20
NOW = 1_700_000_000.0
HERE = "http://127.0.0.1:3456/"
TASK = "0123456789abcdef0124"
AXE = JAVASCRIPT / "node_modules" / "axe-core" / "axe.min.js"
# Where pictures of the pages are put, if somebody wants to look at them.
PICTURES = os.environ.get("TRUCKEE_PICTURES")

# What is wrong with the page as it is shown, and how many rules were tried.
CHECK = """
const [axe, pictures, name] = args;
const { readFileSync } = await import("node:fs");
const ALL = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const LOOKS = ["color-contrast", "link-in-text-block", "target-size",
  "scrollable-region-focusable", "region", "page-has-heading-one"];
const found = [];
let passed = 0;
await page.evaluate(readFileSync(axe, "utf8"));
for (const colorScheme of ["light", "dark"]) {
  for (const width of [390, 1280]) {
    const how = `${width} px, ${colorScheme}`;
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize({ width, height: 900 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wide > width) found.push(`${how}: it is ${wide} wide`);
    // No two cells of a list overlap.
    const over = await page.evaluate(() => {
      const all = [...document.querySelectorAll(".list tr")].map((row) =>
        [...row.children].map((cell) => cell.getBoundingClientRect()));
      const meet = (a, b) => a.width && b.width && a.left < b.right - 1 &&
        b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
      return all.some((row) =>
        row.some((a, at) => row.slice(at + 1).some((b) => meet(a, b))));
    });
    if (over) found.push(`${how}: cells overlap`);
    // Once with all rules, and then with those that a width or a colour can break.
    const told = await page.evaluate(async (rules) => {
      const { violations, passes } = await axe.run(document, {
        resultTypes: ["violations"],
        runOnly: rules,
      });
      return [passes.length, violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`)];
    }, passed ? LOOKS : ALL);
    passed += told[0];
    found.push(...told[1].map((each) => `${how}: ${each}`));
    if (pictures) {
      const path = `${pictures}/${name}-${width}-${colorScheme}.png`;
      await page.screenshot({ path, fullPage: true });
    }
  }
}
// Who needs large letters sees a page as narrow as this.
await page.setViewportSize({ width: 320, height: 600 });
if (await page.evaluate(() => document.documentElement.scrollWidth) > 320)
  found.push("it is wider than 320 px");
// Under any prefix a link leads to the same: none begins at the root.
found.push(...await page.evaluate(() =>
  [...document.querySelectorAll(":is([href], [src], [action]):not(#uploads *)")]
    .flatMap((each) => ["href", "src", "action"].map((name) => each.getAttribute(name)))
    .filter((link) => link !== null && /^[/]|^[a-z]+:(?!,$)/.test(link))));
return [found, passed];
"""

# What Tab reaches, and whether it is in sight and has an outline.
FOCUS = """
const found = [];
await page.setViewportSize({ width: 390, height: 600 });
for (let step = 0; step < 40; step++) {
  await page.keyboard.press("Tab");
  const told = await page.evaluate(() => {
    const at = document.activeElement;
    if (at === document.body || at.dataset.seen) return null;
    at.dataset.seen = "yes";
    const { top, bottom, left, right } = at.getBoundingClientRect();
    const style = getComputedStyle(at);
    const inside = top >= 0 && bottom <= innerHeight && left >= 0 && right <= innerWidth;
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    return [at.textContent || at.id, inside && outlined];
  });
  if (told === null) break;
  found.push(told);
}
return found;
"""


def no_axe() -> str | None:
    """Return why these tests cannot run here, if they cannot."""
    why = missing(browser=True)
    if why is None and not AXE.exists():
        why = "there is no axe-core here: npm install in tests/js"
    return why


class AccessibilityTests(BrowserCase):
    skip = no_axe()

    def check(self, name: str) -> None:
        """Nobody is shut out of the page."""
        found, passed = self.browser.do(CHECK, str(AXE), PICTURES, name)
        self.assertEqual(found, [], name)
        self.assertGreater(passed, 25, name)

    def visit(self, path: str) -> None:
        """Show a page."""
        self.browser.do("await page.goto(args[0])", self.grid.url + path)

    def test_pages(self) -> None:
        """Pages as a gateway has them whose grid is of its own."""
        data = bytes(300_000)
        cap = curl("-T", "-", f"{self.grid.url}uri", data=data).decode()
        mutable = curl("-T", "-", f"{self.grid.url}uri?format=SDMF", data=b"a").decode()
        directory = curl("-X", "POST", f"{self.grid.url}uri?t=mkdir").decode()
        for name, path in (
            ("info-mutable", f"uri/{mutable}?t=info"),
            ("info-directory", f"uri/{directory}?t=info"),
            ("files", ""),
            ("upload", "upload"),
            ("storage-none", "storage"),
            ("helper-none", "helper_status"),
            ("statistics", "statistics"),
            ("info", f"uri/{cap}?t=info"),
            ("error-cap", "uri/URI:nonsense"),
            ("error-address", "no/thing/here"),
        ):
            self.visit(path)
            self.check(name)

    def test_tasks(self) -> None:
        """Tasks under way and over, and one of them for its holder."""
        curl("-T", "-", f"{self.grid.url}uri", data=bytes(100))
        with Wire(self.grid.url) as known, Wire(self.grid.url) as unknown:
            known.request("PUT /uri", f"Content-Length: {8 * MIB}", f"X-Task-Id: {TASK}")
            known.send(bytes(3 * MIB))
            unknown.request("PUT /uri", "Transfer-Encoding: chunked")
            unknown.chunk(bytes(MIB))
            self.visit("status")
            bars = "return page.locator('#active progress').count()"
            eventually(lambda: self.browser.do(bars) == 2)
            self.browser.do("await page.locator('summary').click()")
            self.check("status")
            self.visit(f"operations/{TASK}")
            self.check("task")

    def test_walk(self) -> None:
        """A walk that the page about a directory begins."""
        directory = curl("-X", "POST", f"{self.grid.url}uri?t=mkdir").decode()
        self.visit(f"uri/{directory}?t=info")
        self.browser.do(
            """
            await Promise.all([page.waitForNavigation(),
              page.getByRole("button", { name: "Count all" }).press("Enter")]);
            """
        )
        self.assertIn("/operations/", self.browser.do("return page.url()"))
        self.check("walk")

    def test_forms(self) -> None:
        """What comes of forms: a file that is stored, and one that is checked."""
        self.browser.do("await page.route('**/upload.js', (route) => route.abort())")
        self.visit("")
        self.browser.do(
            """
            await page.setInputFiles("#file", { name: "a.bin",
              mimeType: "text/plain", buffer: Buffer.alloc(3000) });
            await Promise.all([page.waitForNavigation(),
              page.getByRole("button", { name: "Upload" }).press("Enter")]);
            await page.unroute("**/upload.js");
            """
        )
        self.check("stored")
        cap = self.browser.do("return page.locator('pre').innerText()")
        self.visit(f"uri/{cap}?t=info")
        check = """
            await Promise.all([page.waitForNavigation(),
              page.getByRole("button", { name: args[0] }).press("Enter")]);
            return page.locator("main").innerText();
        """
        self.assertIn("Healthy", self.browser.do(check, "Check and repair"))
        self.check("checked")
        link = "await page.getByRole('link', { name: 'Check, verify' }).press('Enter')"
        self.browser.do(link)
        self.assertIn("Healthy", self.browser.do(check, "Verify every byte"))

    def test_focus(self) -> None:
        """Whatever Tab reaches can be seen, and shows that it is reached."""
        self.visit("")
        found = self.browser.do(FOCUS)
        self.assertGreaterEqual(len(found), 8)
        self.assertEqual([name for name, seen in found if not seen], [])

    def test_uploader(self) -> None:
        """The first page with files that are stored, and one that is not."""
        self.visit("")
        self.browser.do(
            """
            await page.route("**/tus/", (route) => route.request().postData() === null &&
              route.request().headers()["upload-length"] === "7"
              ? route.fulfill({ status: 413, body: "The file is too large.\\n" })
              : route.continue());
            await page.setInputFiles("#file", ["a.txt", "b.txt"].map((name) => ({
              name, mimeType: "text/plain", buffer: Buffer.from(`${name} x`.slice(-7)) })));
            await page.setInputFiles("#file", { name: "c d.html", mimeType: "text/html",
              buffer: Buffer.from("<p>hello") });
            """
        )
        eventually(lambda: self.browser.do("return page.locator('.cap').count()") == 1)
        failed = "return page.locator('[data-state=failed]').count()"
        eventually(lambda: self.browser.do(failed) == 2)
        self.check("files-stored")
        self.browser.do("await page.unroute('**/tus/')")
        self.browser.do("await page.getByRole('button', { name: 'Forget all' }).click()")

    def test_states(self) -> None:
        """Pages of nodes that something is wrong with, and of those that serve others."""
        for name, path, page in states():
            self.browser.do(
                """
                await page.route("**/" + args[0], (route) =>
                  route.request().isNavigationRequest()
                    ? route.fulfill({ body: args[1], contentType: "text/html" })
                    : route.abort());
                await page.goto(args[2]);
                """,
                path,
                page.decode(),
                self.grid.url + path,
            )
            self.check(name)
            self.browser.do("await page.unroute('**/' + args[0])", path)


def states() -> list[tuple[str, str, bytes]]:
    """Return pages, each with a name and an address."""
    problems = [
        Problem("storage directory 1", "The disk is full. Nothing more is stored.", NOW),
        Problem("uploads", "The disk is not there. Resumable uploads are refused.", NOW),
    ]
    servers = [
        ServerStatus("v0-a", "heron", True, "tahoe-lafs/1.20.0", 5 * 10**11, NOW),
        ServerStatus("v0-b", "x" * 90, False),
        ServerStatus("v0-c", "pelican", True, "truckee/0.1", 0, NOW, over_https=True),
        ServerStatus("v0-d", "osprey", True, refusal="its certificate is of no manager"),
    ]
    helper = HelperSeen(True, False, "tahoe-lafs/1.20.0", NOW)
    full = GridStatus(servers, ["one: Connected"], helper, True, 3, problems=problems)

    def framed(status: GridStatus, stores: bool = False) -> Frame:
        return Frame("", health_of(status, stores))

    lonely = GridStatus([], helper=HelperSeen(False))
    serving = Frame("", Health(2, 4, 2, True, True))
    uploads = [
        UploadReport("abcde", 3 * MIB, 2 * MIB, 9 * MIB, "receiving", 1),
        UploadReport("fghij", 3 * MIB, 0, None, "receiving", 2),
    ]
    kept = [KeptReport("klmno", MIB, True, NOW, NOW + 10**6)]
    counted = (
        *("upload_requests", "upload_already_present", "upload_need_upload", "resumes"),
        *("fetched_bytes", "encoded_bytes"),
    )
    helping = HelperReport(
        *(HelperLimits(), 7 * MIB, 10**12, uploads, kept, 4),
        dict.fromkeys(counted, 12345),
        problems,
    )
    storing = StorageReport(
        *(DiskReport(10**12, 10**11, 10**11), 10**9, 10**10, False, None),
        *(CrawlState(started=NOW, cycles=1, last=CrawlCounts(3, 9, 10**9)), 0.4, None),
        *("The disk is full", 3 * 86400.0, KeptTotals(1234, 10**9, 5)),
    )
    pages: dict[str, tuple[str, Callable[[], bytes]]] = {
        "files-troubled": ("", lambda: welcome_page(full, HERE, framed(full, True))),
        "files-lonely": ("", lambda: welcome_page(lonely, HERE, framed(lonely))),
        "helper": ("helper_status", lambda: helper_status.report_page(helping, serving)),
        "storage": ("storage", lambda: storage_status.report_page(storing, serving)),
    }
    return [(name, path, make()) for name, (path, make) in pages.items()]
