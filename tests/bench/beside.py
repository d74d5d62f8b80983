"""
One benchmark of this work tree and of another one, alternating in one run.

    python -m tests.bench.beside OTHER [--rounds 3] throughput --mib 256 --runs 1

OTHER is the top of a checkout with a ``.venv`` of its own, such as the last release's.
Prints each figure of both, as medians, and their ratio: above 1 this tree's is larger.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.report import report

HERE = Path(__file__).parents[2]

Figures = dict[tuple[str, str], list[float]]  # (row, column): one a round


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("benchmark", help="a module of tests.bench")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="for the benchmark")
    options = parser.parse_args()
    trees = {"here": HERE, "other": options.other.resolve()}
    seen: dict[str, Figures] = {name: {} for name in trees}
    for turn in range(options.rounds):
        # Each is the first one as often as the other.
        for name in sorted(trees, reverse=bool(turn % 2)):
            text = _run(trees[name], options.benchmark, options.arguments)
            for row, column, number in _figures(text):
                seen[name].setdefault((row, column), []).append(number)
    rows: list[dict[str, object]] = []
    for (row, column), numbers in seen["here"].items():
        others = seen["other"].get((row, column))
        if others:
            here, other = median(numbers), median(others)
            ratio = here / other if other else float("nan")
            rows.append(
                {
                    "what": f"{row.strip()}: {column}",
                    "here": here,
                    "other": other,
                    "ratio": ratio,
                }
            )
    report(f"{options.benchmark}, {options.rounds} rounds", rows)


def _run(tree: Path, benchmark: str, arguments: list[str]) -> str:
    command = [str(tree / ".venv/bin/python"), "-m", f"tests.bench.{benchmark}", *arguments]
    done = subprocess.run(command, cwd=tree, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def _figures(text: str) -> Iterator[tuple[str, str, float]]:
    """Return (row, column, number) of each figure that was reported."""
    for line in text.splitlines():
        if line.startswith('{"benchmark"'):
            for row in json.loads(line)["rows"]:
                name, *cells = row.items()
                for column, value in cells:
                    if isinstance(value, int | float):
                        yield str(name[1]), column, float(value)


if __name__ == "__main__":
    main()
