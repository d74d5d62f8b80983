"""
Every command in 350 bad surroundings and more.

    python -m tests.soak.surroundings

It prints each case that does not end with one sentence and the right code, and how many
cases there were; the exit code is 1 if there was any such case.
"""

from __future__ import annotations

import sys

from tests.hostile.test_surroundings import run_cases


def main() -> int:
    """Run them all."""
    count, faults = run_cases(lambda cases: cases)
    for fault in faults:
        print(fault)
    print(f"{count} cases, {len(faults)} of them wrong")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
