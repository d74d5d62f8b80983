"""
Random segments through the extension and through the libraries; some minutes.

    python -m tests.soak.segments [--segments 100000] [--seed N]

Sizes, k and N vary; blocks, hashes and what is decoded are compared byte for byte.
"""

from __future__ import annotations

import argparse
from random import Random, SystemRandom

from tests.codec.speed_cases import what_is_used, wrong_of


def main() -> None:
    """Print how many files of 1 to 3 segments were right; exit with 1 if one was not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}, by {what_is_used()}")
    random, wrong = Random(options.seed), 0
    files = options.segments // 2  # which have two segments on average
    for _ in range(files):
        for line in wrong_of(random):
            wrong += 1
            print(line)
    print(f"{files} files of 1 to 3 segments, {wrong} faults")
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
