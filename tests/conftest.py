"""What holds for all tests."""

from __future__ import annotations

import signal

# A suite that runs in the background ignores SIGINT, and so would the nodes that it starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
