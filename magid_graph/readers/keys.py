"""Which keys of an input are taken, and by which row."""

from __future__ import annotations

from array import array

_LARGE = 1 << 18
_MOST_LINES, _MOST_PARTS = (1 << 32) - 1, (1 << 16) - 1


class Keys:
    """A set of keys with a place for each, in 18 to 35 bytes a key where there are many.

    A 2 GB input has millions of dialogues: a dict of their keys alone would take more memory than reading them may,
    and SQLite 4 microseconds a key, a third of the time of reading. Keys are told apart by 64-bit hashes: among a
    million keys, two are taken for one another once in 37 million inputs.
    """

    def __init__(self) -> None:
        self._make(1 << 10)
        self._count = 0

    def claim(self, key: str, part: int, line: int) -> tuple[int, int] | None:
        """Take the key. Returns the part and line by which it was taken already, if it was."""
        if 5 * self._count > 4 * len(self._hashes):
            self._grow()
        wanted = hash(key) or 1  # an empty place holds 0
        place = wanted & (len(self._hashes) - 1)
        if self._hashes[place]:
            place = self._place(wanted)
            if self._hashes[place]:
                return self._parts[place], self._lines[place]
        self._put(place, wanted, min(part, _MOST_PARTS), min(line, _MOST_LINES))
        self._count += 1
        return None

    def count(self, key: str) -> int:
        """Take the key once more. Returns how often it is taken now, if this is the only way it was."""
        before = self.claim(key, 0, 1)
        if before is None:
            return 1
        self._lines[self._place(hash(key) or 1)] = min(before[1] + 1, _MOST_LINES)
        return before[1] + 1

    def _make(self, size: int) -> None:
        self._hashes, self._parts, self._lines = array("q"), array("H"), array("I")
        for column in (self._hashes, self._parts, self._lines):
            column.frombytes(bytes(size * column.itemsize))

    def _place(self, wanted: int) -> int:
        """Where the hash stands, or the empty place for it."""
        hashes = self._hashes
        mask = len(hashes) - 1
        place = wanted & mask
        while (found := hashes[place]) and found != wanted:
            place = (place + 1) & mask
        return place

    def _put(self, place: int, wanted: int, part: int, line: int) -> None:
        self._hashes[place], self._parts[place], self._lines[place] = wanted, part, line

    def _grow(self) -> None:
        taken = zip(self._hashes, self._parts, self._lines, strict=True)
        # Small tables grow fast: by doubling, a third of the time of taking keys went into moving them.
        self._make(len(self._hashes) * (4 if len(self._hashes) < _LARGE else 2))
        for wanted, part, line in taken:
            if wanted:
                self._put(self._place(wanted), wanted, part, line)
