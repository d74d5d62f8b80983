"""
Tests that take long, as commands of their own.

With ``TRUCKEE_SOAK=1`` in its environment the suite, too, does in full what it does in part
otherwise: each file of the cross-reads, each kill.
"""

from __future__ import annotations

import os

WHOLE = os.environ.get("TRUCKEE_SOAK", "") not in ("", "0")
