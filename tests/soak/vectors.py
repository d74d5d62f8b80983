"""
All published caps from files that come byte by byte; some minutes.

    python -m tests.soak.vectors
"""

from __future__ import annotations

from tests.integration.test_vectors import VECTORS, cap_of, in_bytes


def main() -> None:
    """Print how many caps are right; exit with 1 if one is not."""
    right = sum(cap_of(vector, in_bytes) == vector["cap"] for vector in VECTORS)
    print(f"{right} of {len(VECTORS)} caps from files that came byte by byte")
    raise SystemExit(right != len(VECTORS))


if __name__ == "__main__":
    main()
