"""How the cycle of a run of pairs fares, iteration by iteration, and how different its descriptions are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from magid_graph.diversity import LATEST, balance, distinct
from magid_graph.pair_rows import describes, wanted_pairs
from magid_graph.phash import SAME, bits_apart
from magid_graph.records import Batch, Pair

if TYPE_CHECKING:
    from magid_graph.config import Settings
    from magid_graph.journal import Journal

_COMPARED = 2000
"""Pictures of an iteration that are compared with one another, at most: the first ones."""


class Iteration(TypedDict):
    """Accepted pairs of one iteration; means over those where the figure is known, `None` where it is of none."""

    iteration: int
    pairs: int
    agreement: float | None
    """Cosine of picture and caption."""
    drift_text: float | None
    drift_image: float | None
    fixed_points: float
    """Share of captions that repeat an earlier text of their chain."""
    unmoved: float
    """Share of pictures that look like the one before in their chain, by perceptual hash."""
    alike: float
    """Share of pictures that look like one of another chain at this iteration, by perceptual hash."""
    distinct_2: float | None
    """Different pairs of neighbouring words over all of them, in the captions of at most 1000 chains."""


class Diversity(TypedDict):
    """How different the first descriptions are."""

    descriptions: int
    distance: float | None
    """Mean pairwise distance, 1 - cosine of text embeddings."""
    distinct_1: float | None
    distinct_2: float | None
    """Different n-grams over all n-grams, of the latest 1000 descriptions."""
    topics: dict[str, int]
    """First descriptions by topic."""
    topic_balance: float | None
    """Entropy of the topics' shares over that of equal shares."""
    dropped: dict[str, int]
    """Lines that became no first description, by reason."""
    questions: int


@dataclass(slots=True)
class _Sums:
    """What is kept of the pairs of one iteration."""

    pairs: int = 0
    figures: dict[str, list[float]] = field(default_factory=dict)
    """By name: the sum, and of how many."""
    fixed_points: int = 0
    unmoved: int = 0
    hashes: list[int] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)

    def add(self, pair: Pair, before: Pair | None) -> None:
        self.pairs += 1
        drift = pair["drift"]
        known = {"agreement": pair["agreement"], "drift_text": drift["text"], "drift_image": drift["image"]}
        for name, value in known.items():
            if value is not None:
                total = self.figures.setdefault(name, [0.0, 0])
                total[0] += value
                total[1] += 1
        self.fixed_points += pair["is_fixed_point"]
        self.unmoved += before is not None and bits_apart(before["phash"], pair["phash"]) <= SAME
        if len(self.hashes) < _COMPARED:
            self.hashes.append(int(pair["phash"], 16))
        if len(self.captions) < LATEST:
            self.captions.append(pair["caption"])

    def mean(self, name: str) -> float | None:
        total = self.figures.get(name)
        return round(total[0] / total[1], 4) if total else None


def iterations(pairs: Iterable[Pair]) -> list[Iteration]:
    """The figures of each iteration, from pairs in order of chain and iteration. Memory is bounded."""
    sums: dict[int, _Sums] = {}
    before: Pair | None = None
    for pair in pairs:
        same_chain = before is not None and before["key"] == pair["key"]
        sums.setdefault(pair["iteration"], _Sums()).add(pair, before if same_chain else None)
        before = pair
    return [_iteration(number, sums[number]) for number in sorted(sums)]


def _iteration(number: int, sums: _Sums) -> Iteration:
    return Iteration(
        iteration=number,
        pairs=sums.pairs,
        agreement=sums.mean("agreement"),
        drift_text=sums.mean("drift_text"),
        drift_image=sums.mean("drift_image"),
        fixed_points=round(sums.fixed_points / sums.pairs, 4),
        unmoved=round(sums.unmoved / sums.pairs, 4),
        alike=_alike(sums.hashes),
        distinct_2=distinct(sums.captions, 2),
    )


def _alike(hashes: list[int]) -> float:
    """Share of the hashes that differ from another one in few bits."""
    import numpy as np

    if len(hashes) < 2:
        return 0.0
    values = np.array(hashes, np.uint64)
    found = 0
    for at, value in enumerate(values):
        near = np.bitwise_count(values ^ value) <= SAME
        near[at] = False
        found += bool(near.any())
    return round(found / len(hashes), 4)


def diversity(batches: Iterable[Batch]) -> Diversity:
    """Over the first descriptions of a run, from what the describer was asked for."""
    texts: list[str] = []
    topics: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    descriptions, questions, distance = 0, 0, None
    for batch in batches:
        found = batch["descriptions"]
        texts = [*texts, *found][-LATEST:]
        topics[batch["topic"] or "anything"] += len(found)
        dropped.update(line["why"] for line in batch["dropped"])
        descriptions, questions = descriptions + len(found), questions + batch["questions"]
        distance = batch["distance"] if batch["distance"] is not None else distance
    return Diversity(
        descriptions=descriptions,
        distance=distance,
        distinct_1=distinct(texts, 1),
        distinct_2=distinct(texts, 2),
        topics=dict(topics),
        topic_balance=balance(topics),
        dropped=dict(dropped),
        questions=questions,
    )


def of_pairs(journal: Journal, settings: Settings) -> dict[str, Any]:
    """How a run of pairs stands, for its summary."""
    rows, cycle = journal.pair_rows, settings.cycle
    batches = rows.batches()
    found = rows.verdicts()
    is_used_up = not describes(journal) and not journal.pending_count()
    return {
        "pairs": {
            "wanted": wanted_pairs(journal, settings),
            **found,
            # Only what was given can be used up: the describer goes on until there are enough.
            "is_short": is_used_up and cycle.count is not None and found["accepted"] < cycle.count,
            "ends": journal.reasons("accepted"),
            "batches": batches,
        },
        "cycle": iterations(journal.pairs()),
        "diversity": diversity(journal.batches()) if batches else None,
    }
