"""
Up to N - k of ten servers lie in random ways; some seconds each.

    python -m tests.soak.lying_mixtures --mixtures 50 --seed 0

It prints what became of each upload, and exits with 1 if a cap was given out that the
honest servers cannot serve, or if wrong bytes were read.
"""

from __future__ import annotations

import argparse
import os

import pytest


def main() -> None:
    """Run as many mixtures as are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixtures", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    arguments = parser.parse_args()
    os.environ["TRUCKEE_MIXTURES"] = str(arguments.mixtures)
    os.environ["TRUCKEE_SEED"] = str(arguments.seed)
    raise SystemExit(
        pytest.main(["-n", "0", "-q", "-s", "tests/hostile/test_lying_mixtures.py"])
    )


if __name__ == "__main__":
    main()
