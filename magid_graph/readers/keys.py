"""Which keys of an input are taken, and by which row."""

from __future__ import annotations

from array import array


class Keys:
    """A set of keys with a number for each, in 32 bytes a key or less.

    A 2 GB input has millions of dialogues: a dict of their keys alone would take more memory than reading them may,
    and SQLite 4 microseconds a key, a third of the time of reading. Keys are told apart by 64-bit hashes: among a
    million keys, two are taken for one another once in 37 million inputs.
    """

    def __init__(self) -> None:
        self._hashes, self._numbers = array("q", bytes(8 << 10)), array("q", bytes(8 << 10))
        self._count = 0

    def claim(self, key: str, number: int) -> int | None:
        """Take the key. Returns the number under which it was taken already, if it was."""
        if 3 * self._count > 2 * len(self._hashes):
            self._grow()
        wanted = hash(key) or 1  # an empty place holds 0
        place = self._place(wanted)
        if self._hashes[place]:
            return self._numbers[place]
        self._hashes[place], self._numbers[place] = wanted, number
        self._count += 1
        return None

    def count(self, key: str) -> int:
        """Take the key once more. Returns how often it is taken now, if this is the only way it was."""
        before = self.claim(key, 1)
        if before is None:
            return 1
        self._numbers[self._place(hash(key) or 1)] = before + 1
        return before + 1

    def _place(self, wanted: int) -> int:
        """Where the hash stands, or the empty place for it."""
        hashes, mask = self._hashes, len(self._hashes) - 1
        place = wanted & mask
        while (found := hashes[place]) and found != wanted:
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        hashes, numbers = self._hashes, self._numbers
        self._hashes, self._numbers = array("q", bytes(16 * len(hashes))), array("q", bytes(16 * len(hashes)))
        for wanted, number in zip(hashes, numbers, strict=True):
            if wanted:
                place = self._place(wanted)
                self._hashes[place], self._numbers[place] = wanted, number
