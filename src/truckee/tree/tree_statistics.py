"""
What a tree has, counted as stock gateways do.

Source: ``docs/reference/web-api.md``, "Whole trees".
"""

from __future__ import annotations

from bisect import bisect_left

from attrs import define, field

from truckee.codec.caps import ChkReadCap, LiteralCap
from truckee.codec.children import Child

# The upper bounds of the buckets: 0, and powers of the square root of 10.  100,000 times
# more than the largest file.
_BOUNDS = [0, *(int(10 ** (power / 2)) for power in range(1, 50))]


@define(eq=False)
class TreeStatistics:
    """Counts and sums; sizes are bytes."""

    immutable_files: int = field(default=0, init=False)
    mutable_files: int = field(default=0, init=False)
    literal_files: int = field(default=0, init=False)
    directories: int = field(default=0, init=False)
    unknown: int = field(default=0, init=False)
    immutable_size: int = field(default=0, init=False)
    literal_size: int = field(default=0, init=False)
    directory_size: int = field(default=0, init=False)
    largest_directory: int = field(default=0, init=False)
    most_children: int = field(default=0, init=False)
    largest_file: int = field(default=0, init=False)
    _buckets: dict[int, int] = field(factory=dict, init=False)

    @property
    def files(self) -> int:
        """All files."""
        return self.immutable_files + self.mutable_files + self.literal_files

    @property
    def objects(self) -> int:
        """All there is."""
        return self.files + self.directories + self.unknown

    def add_other(self, child: Child) -> None:
        """Count what is no directory."""
        match child.cap:
            case None:
                self.unknown += 1
            case LiteralCap(data):
                self.literal_files += 1
                self.literal_size += len(data)
                self._bucket(len(data))
            case ChkReadCap() as cap:
                self.immutable_files += 1
                self.immutable_size += cap.size
                self.largest_file = max(self.largest_file, cap.size)
                self._bucket(cap.size)
            case _:
                self.mutable_files += 1

    def add_directory(self, size: int | None, children: int) -> None:
        """Count a directory, of which *size* is None if it could not be read."""
        self.directories += 1
        if size is not None:
            self.directory_size += size
            self.largest_directory = max(self.largest_directory, size)
            self.most_children = max(self.most_children, children)

    def _bucket(self, size: int) -> None:
        index = bisect_left(_BOUNDS, size)
        self._buckets[index] = self._buckets.get(index, 0) + 1

    def document(self) -> dict[str, object]:
        """Return what stock gateways tell."""
        histogram = [
            [0 if index == 0 else _BOUNDS[index - 1] + 1, _BOUNDS[index], found]
            for index, found in sorted(self._buckets.items())
        ]
        return {
            "api-version": 1,
            "count-immutable-files": self.immutable_files,
            "count-mutable-files": self.mutable_files,
            "count-literal-files": self.literal_files,
            "count-files": self.files,
            "count-directories": self.directories,
            "count-unknown": self.unknown,
            "size-immutable-files": self.immutable_size,
            "size-literal-files": self.literal_size,
            "size-directories": self.directory_size,
            "largest-directory": self.largest_directory,
            "largest-directory-children": self.most_children,
            "largest-immutable-file": self.largest_file,
            "size-files-histogram": histogram,
        }
