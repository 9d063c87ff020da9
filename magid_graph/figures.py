"""The figures of a run: what `stats` prints and a data set's card shows. Memory grows with scores, not with texts."""

from __future__ import annotations

import math
import statistics
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from magid_graph.exporters.layout import SPLITS, Layout
from magid_graph.exporters.samples import Sample, samples
from magid_graph.journal import Journal
from magid_graph.records import Attempt
from magid_graph.run_dir import RunDir

SCORES = {"clip_similarity": 0.02, "aesthetic": 0.1, "nsfw": 0.02}
"""What is plotted, and the width of its bars."""


@dataclass(slots=True)
class Part:
    """Running counts over a split, or over everything."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, sample: Sample) -> None:
        """Count a sample in."""
        pictures = sample["pictures"]
        texts = [turn["text"] for turn in sample["turns"]]
        self.counts.update(
            samples=1,
            turns=len(texts),
            images=len(pictures),
            given=sum(one["description"] is None for one in pictures),
            illustrated=bool(pictures),
            words=sum(len(text.split()) for text in texts),
            description_words=sum(len((one["description"] or "").split()) for one in pictures),
            caption_words=sum(len((one["caption"] or "").split()) for one in pictures),
        )

    def figures(self, kind: str) -> dict[str, int | float]:
        """As in Table 5 of the MAGID paper; for pairs, their number and the length of their texts."""
        n = self.counts
        if kind == "pairs":
            return {
                "pairs": n["samples"],
                "words_per_caption": _ratio(n["caption_words"], n["images"]),
                "words_per_description": _ratio(n["description_words"], n["images"] - n["given"]),
            }
        return {
            "dialogues": n["samples"],
            "images": n["images"],
            "turns": n["turns"],
            "turns_per_dialogue": _ratio(n["turns"], n["samples"]),
            "images_per_dialogue": _ratio(n["images"], n["samples"]),
            "dialogues_with_images": n["illustrated"],
            "images_per_dialogue_with_images": _ratio(n["images"], n["illustrated"]),
            "words_per_utterance": _ratio(n["words"], n["turns"]),
            "words_per_description": _ratio(n["description_words"], n["images"]),
        }


@dataclass(slots=True)
class Attempts:
    """What was drawn, how it was judged, and its scores."""

    drawn: Counter[int] = field(default_factory=Counter)
    accepted: Counter[int] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    fitted: Counter[str] = field(default_factory=Counter)
    unread: int = 0
    """Descriptions that were refused before anything was drawn."""
    scores: dict[str, tuple[array[float], array[float]]] = field(
        default_factory=lambda: {name: (array("d"), array("d")) for name in SCORES}
    )
    """Of accepted and of refused pictures."""

    def add(self, attempt: Attempt) -> None:
        """Count an attempt in."""
        n, is_accepted = attempt["n"], attempt["verdict"] == "accept"
        self.drawn[n] += 1
        self.accepted[n] += is_accepted
        self.fitted[attempt["fitted"]] += 1
        self.unread += attempt["image"] is None
        if attempt["reason"] is not None:
            self.refused[attempt["reason"]] += 1
        for name, both in self.scores.items():
            value = attempt["scores"][name]  # type: ignore[literal-required]
            if value is not None:
                both[0 if is_accepted else 1].append(value)

    def figures(self) -> dict[str, Any]:
        return {
            "drawn": self.drawn.total() - self.unread,
            "accepted": self.accepted.total(),
            "by_attempt": [
                {"attempt": n + 1, "judged": self.drawn[n], "accepted": self.accepted[n]} for n in sorted(self.drawn)
            ],
            "refused": dict(self.refused.most_common()),
            "descriptions": dict(sorted(self.fitted.items())),
        }

    def safety(self, max_nsfw: float) -> dict[str, Any]:
        accepted, refused = self.scores["nsfw"]
        return {
            "pictures_measured": len(accepted) + len(refused),
            "pictures_refused": self.refused["unsafe"] - self.unread,
            "descriptions_refused": self.unread,
            "highest_accepted": round(max(accepted), 4) if accepted else None,
            "limit": max_nsfw,
        }


@dataclass(slots=True)
class Chains:
    """How pairs change along their chains."""

    chains: set[str] = field(default_factory=set)
    sums: dict[int, Counter[str]] = field(default_factory=dict)
    """By iteration."""

    def add(self, sample: Sample) -> None:
        """Count a pair in."""
        if (link := sample["link"]) is None:
            return
        self.chains.add(sample["group"])
        sums = self.sums.setdefault(link["iteration"], Counter())
        drift = link["drift"]
        values = {"agreement": link["agreement"], "drift_text": drift["text"], "drift_image": drift["image"]}
        known = {name: value for name, value in values.items() if value is not None}
        sums.update({"pairs": 1, **{f"{name} known": 1 for name in known}})
        for name, value in known.items():
            sums[name] += value  # type: ignore[assignment]

    def figures(self) -> dict[str, Any]:
        names = ("agreement", "drift_text", "drift_image")
        return {
            "count": len(self.chains),
            "by_iteration": [
                {
                    "iteration": n,
                    "pairs": sums["pairs"],
                    **{name: _ratio(sums[name], sums[f"{name} known"]) for name in names if sums[f"{name} known"]},
                }
                for n, sums in sorted(self.sums.items())
            ],
        }


def figures_of(run: RunDir, journal: Journal, layout: Layout) -> dict[str, Any]:
    """Everything that is known of a run in figures; plain JSON."""
    kind = run.kind()
    parts = {name: Part() for name in ("all", *SPLITS)}
    sources: Counter[tuple[str, str]] = Counter()
    chains = Chains()
    for sample in samples(run, journal, layout):
        parts["all"].add(sample)
        parts[sample["split"]].add(sample)
        if sample["source"]:
            source = sample["source"]
            sources[str(source.get("dataset") or source["file"]), str(source.get("license") or "")] += 1
        chains.add(sample)
    attempts = _attempts(journal)
    settings = run.settings()
    limits = settings.qa.limits()
    is_open = kind == "pairs" and settings.cycle.qa == "off"
    return {
        "kind": kind,
        "items": dict(journal.counts()),
        "rejected": journal.reasons("rejected"),
        "failed": journal.reasons("failed"),
        "all": parts["all"].figures(kind),
        "splits": {name: parts[name].figures(kind) for name in SPLITS if parts[name].counts},
        **({"chains": chains.figures()} if kind == "pairs" else {}),
        "attempts": attempts.figures(),
        "scores": {name: _spread(name, *both) for name, both in attempts.scores.items() if any(both)},
        "checks": [check for check in settings.qa.checks if not is_open or check == "safety"],
        "limits": dict(limits),
        "safety": attempts.safety(limits["max_nsfw"]),
        "provenance": {
            "written": settings.run.provenance,
            "generated": not settings.models.text_to_image.startswith("retrieval:"),
            "given": parts["all"].counts["given"],
        },
        "models": run.manifest.get("opened", {}),
        "prompts": run.manifest["prompts"],
        "sources": [
            {"name": name, "license": licence or None, "samples": count}
            for (name, licence), count in sorted(sources.items())
        ],
    }


def _attempts(journal: Journal) -> Attempts:
    gathered = Attempts()
    for item in journal.items(("accepted", "rejected")):
        for attempt in journal.attempts(item.position):
            gathered.add(attempt)
    return gathered


def _spread(name: str, accepted: array[float], refused: array[float]) -> dict[str, Any]:
    """Mean, deviation and quantiles of the accepted pictures' scores, and bars for those of all."""
    width = SCORES[name]
    bars = [Counter(math.floor(value / width) for value in values) for values in (accepted, refused)]
    places = range(min(min(bar) for bar in bars if bar), max(max(bar) for bar in bars if bar) + 1)
    return {
        **_quantiles(accepted),
        "bars": {
            "from": round(places[0] * width, 6),
            "width": width,
            "accepted": [bars[0][place] for place in places],
            "refused": [bars[1][place] for place in places],
        },
    }


def _quantiles(values: array[float]) -> dict[str, float | int]:
    if not values:
        return {"pictures": 0}
    ordered = sorted(values)
    at = {"min": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}
    quantiles = {name: round(ordered[round(share * (len(ordered) - 1))], 4) for name, share in at.items()}
    mean, deviation = statistics.fmean(ordered), statistics.pstdev(ordered)
    return {"pictures": len(ordered), "mean": round(mean, 4), "deviation": round(deviation, 4), **quantiles}


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 3) if whole else 0.0
