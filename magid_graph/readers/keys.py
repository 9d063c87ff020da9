"""Which keys of an input are taken, and by which row."""

from __future__ import annotations

from array import array

_LARGE = 1 << 18
_MOST_LINES, _MOST_PARTS = (1 << 32) - 1, (1 << 16) - 1


class Keys:
    """A set of keys with a place for each, in 22 to 32 bytes a key where there are many.

    A 2 GB input has millions of dialogues: a dict of their keys alone would take more memory than reading them may,
    and SQLite 4 microseconds a key, a third of the time of reading. Keys are told apart by 64-bit hashes: among a
    million keys, two are taken for one another once in 37 million inputs.
    """

    def __init__(self) -> None:
        # What is known of each key, in the order in which they came, from 1 on: an empty slot holds 0.
        self._hashes, self._parts, self._lines = array("q", [0]), array("H", [0]), array("I", [0])
        self._slots = _zeros(1 << 10)

    def claim(self, key: str, part: int, line: int) -> tuple[int, int] | None:
        """Take the key. Returns the part and line by which it was taken already, if it was."""
        slots, hashes, wanted = self._slots, self._hashes, hash(key)
        mask = len(slots) - 1
        slot = wanted & mask
        while number := slots[slot]:
            if hashes[number] == wanted:
                return self._parts[number], self._lines[number]
            slot = (slot + 1) & mask
        number = slots[slot] = len(hashes)
        hashes.append(wanted)
        # `min` takes four times as long, and calls of our own functions a third of the whole.
        self._parts.append(part if part < _MOST_PARTS else _MOST_PARTS)
        self._lines.append(line if line < _MOST_LINES else _MOST_LINES)
        if 2 * number > mask:
            self._grow()
        return None

    def count(self, key: str) -> int:
        """Take the key once more. Returns how often it is taken now, if this is the only way it was."""
        before = self.claim(key, 0, 1)
        if before is None:
            return 1
        self._lines[self._number(hash(key))] = min(before[1] + 1, _MOST_LINES)
        return before[1] + 1

    def _number(self, wanted: int) -> int:
        """That of a key which is taken."""
        mask = len(self._slots) - 1
        slot = wanted & mask
        while self._hashes[self._slots[slot]] != wanted:
            slot = (slot + 1) & mask
        return self._slots[slot]

    def _grow(self) -> None:
        # Small tables grow fast: by doubling, a third of the time of taking keys went into moving them.
        slots = self._slots = _zeros(len(self._slots) * (4 if len(self._slots) < _LARGE else 2))
        mask = len(slots) - 1
        for number, wanted in enumerate(self._hashes):
            slot = wanted & mask
            while slots[slot]:
                slot = (slot + 1) & mask
            slots[slot] = number


def _zeros(count: int) -> array[int]:
    return array("I", bytes(4 * count))
