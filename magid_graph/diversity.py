"""How different texts are: near-duplicates by embedding, mean pairwise distance, distinct-n, balance of topics."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from magid_graph.protocol import normalised

if TYPE_CHECKING:
    import numpy as np

    Vector = np.ndarray[Any, np.dtype[np.float32]]

LATEST = 1000
"""Texts over which distinct-n is taken: it falls with every text more, so that only equal numbers can be compared."""


class Seen:
    """The first descriptions of a run so far. Costs about 1 KB for each, with embeddings of 512 numbers."""

    def __init__(self) -> None:
        self._words: set[str] = set()
        self._texts: list[str] = []
        self._vectors: Any = None
        """Rows of half precision; those from `len(self)` on are room for more."""
        self._sum: Any = 0.0
        self._told: deque[tuple[str | None, str]] = deque(maxlen=LATEST)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str, vector: Vector, topic: str | None = None) -> None:
        """Take in one more; `vector` is its unit embedding."""
        import numpy as np

        if self._vectors is None:
            self._vectors = np.zeros((64, len(vector)), np.float16)
        if len(self) == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._vectors[len(self)] = vector
        self._sum = self._sum + vector.astype(np.float64)
        self._words.add(normalised(text))
        self._texts.append(text)
        self._told.append((topic, text))

    def repeats(self, text: str) -> bool:
        """Whether the words of the text are those of an earlier one."""
        return normalised(text) in self._words

    def nearest(self, vector: Vector) -> tuple[float, str]:
        """The cosine to the nearest earlier text, and that text; -1 where there is none."""
        import numpy as np

        if not self._texts:
            return -1.0, ""
        cosines = self._vectors[: len(self)].astype(np.float32) @ vector
        at = int(cosines.argmax())
        return float(cosines[at]), self._texts[at]

    def distance(self) -> float | None:
        """Mean of 1 - cosine over all pairs of texts: the square of their sum has each pair twice, each text once."""
        count = len(self)
        if count < 2:
            return None
        return round(1 - (float(self._sum @ self._sum) - count) / (count * (count - 1)), 4)

    def latest(self) -> list[str]:
        """The last texts, the oldest of them first."""
        return [text for _, text in self._told]

    def topics(self) -> Counter[str]:
        """How many of the last texts are about each topic."""
        return Counter(topic or "anything" for topic, _ in self._told)

    def worth_telling(self, topic: str | None, count: int) -> list[str]:
        """What a model asked about this topic is likeliest to repeat: the latest on it, then the latest of all."""
        told = list(reversed(self._told))
        same = [text for about, text in told if about == topic]
        return [*same, *(text for about, text in told if about != topic)][:count]


def distinct(texts: Iterable[str], n: int) -> float | None:
    """Different n-grams of words over all of them; `None` where there is none."""
    grams = [gram for text in texts for gram in _grams(normalised(text).split(), n)]
    return round(len(set(grams)) / len(grams), 4) if grams else None


def balance(counts: Mapping[str, int]) -> float | None:
    """Entropy of the shares over that of equal shares: 1 where every topic has as many. `None` for fewer than two."""
    total = sum(counts.values())
    if len(counts) < 2 or not total:
        return None
    shares = [count / total for count in counts.values() if count]
    return round(-sum(share * math.log(share) for share in shares) / math.log(len(counts)), 4)


def _grams(words: Sequence[str], n: int) -> Iterable[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)
