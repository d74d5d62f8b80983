"""
The headers that keep what is sent apart from all other pages in a browser.

Every answer has those of ``USUAL``, which suit what a stranger wrote: an address that
says nothing of its own is safe.  Pages of ours say another policy.

Source: ``docs/reference/web-api.md``, "Browsers".
"""

from __future__ import annotations

# No scripts, forms, frames or workers, no rights of our origin, and nothing from or to
# anywhere: what a page loads could tell its address, which is a cap.  A film is loaded by
# the browser's own player, which counts as media of this origin.
CONTENT_POLICY = "; ".join(
    (
        "sandbox",
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "font-src data:",
        "media-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

# Of a file: pages of ours show it in a frame, where it is as sandboxed as elsewhere.  Files
# are of no origin, so none can frame another.
FRAMED = {
    "content-security-policy": CONTENT_POLICY.replace(
        "ancestors 'none'", "ancestors 'self'"
    ),
    "x-frame-options": "SAMEORIGIN",
}

USUAL = {
    b"Content-Security-Policy": CONTENT_POLICY.encode("ascii"),
    b"Cross-Origin-Opener-Policy": b"same-origin",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Referrer-Policy": b"no-referrer",
    b"X-Content-Type-Options": b"nosniff",
    b"X-Frame-Options": b"DENY",
}
