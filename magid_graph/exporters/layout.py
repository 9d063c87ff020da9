"""How a data set is laid out: its splits, where pictures stand, what is scattered, how large a shard is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import get_args

from magid_graph.errors import UsageError
from magid_graph.records import Placement, Source, Split

PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
SPLITS: tuple[Split, ...] = get_args(Split)

Shares = tuple[tuple[Split, float], ...]
"""Splits and their shares of the data set, which add up to 1."""

EVERYTHING: Shares = (("train", 1.0),)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a person may choose about a data set."""

    placement: Placement = "after"
    shares: Shares = EVERYTHING
    """For what the source has not put into a split itself."""
    is_shuffled: bool = False
    """Samples in an order that scatters the pictures of a chain, the same every time; else in the order of the run."""
    shard_size: int = 1000
    """Samples in a shard, about."""

    def split(self, group: str, source: Source | None) -> Split:
        """Where a group belongs: the source's own split, else by a hash of its key, whatever else is in the run."""
        given = source.get("split") if source is not None else None
        if given is not None:
            return given
        place = _uniform(group)
        for name, share in self.shares:
            if place < share:
                return name
            place -= share
        return self.shares[-1][0]


def shares(text: str) -> Shares:
    """`train=0.9,valid=0.05,test=0.05` or `90,5,5` in that order; they need not add up to 1.

    Raises:
        UsageError: not written so, an unknown split, or a share below zero.
    """
    try:
        parts = [part.partition("=") if "=" in part else (name, "=", part) for name, part in _named(text)]
        found = {_split(name.strip()): float(share) for name, _, share in parts}
    except ValueError as error:
        raise UsageError(f"`--splits {text}`: {error}; write e.g. `train=0.9,valid=0.05,test=0.05`") from error
    total = sum(found.values())
    if not 0 < total < float("inf") or any(share < 0 for share in found.values()):
        raise UsageError(f"`--splits {text}`: shares are above zero; write e.g. `train=0.9,valid=0.05,test=0.05`")
    return tuple((name, share / total) for name, share in found.items() if share)


def _named(text: str) -> list[tuple[str, str]]:
    parts = text.split(",")
    if len(parts) > len(SPLITS):
        raise ValueError(f"there are {len(SPLITS)} splits")
    return list(zip(SPLITS, parts, strict=False))


def _split(name: str) -> Split:
    for split in SPLITS:
        if name == split:
            return split
    raise ValueError(f"there is no split `{name}`, but {', '.join(SPLITS)}")


def _uniform(group: str) -> float:
    """A number in [0, 1) that belongs to the group alone: more data later moves nobody from train to test."""
    return int.from_bytes(hashlib.sha256(f"split\x1f{group}".encode()).digest()[:8], "big") / 2**64
