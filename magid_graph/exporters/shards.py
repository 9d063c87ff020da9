"""Cutting a stream into shards whose borders belong to the data, not to the count.

Where a shard ends follows from the key of its last sample. A resumed run, which adds samples anywhere, changes the
shards that they fall into and leaves the others as they are, to be kept by `Folder.keep`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from magid_graph.exporters.samples import Sample
from magid_graph.records import ImageFile

MOST_BYTES = 2 * 10**9
"""Of a shard's pictures, unpacked; packed they have about half of it."""


@dataclass(slots=True)
class Shard:
    """Neighbours in the stream that go into one file."""

    split: str
    samples: list[Sample] = field(default_factory=list)
    bytes: int = 0
    """Of its pictures, unpacked."""

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        self.bytes += sum(3 * one["image"]["width"] * one["image"]["height"] for one in sample["pictures"])

    def images(self) -> Iterator[ImageFile]:
        """The files of its pictures."""
        return (picture["image"] for sample in self.samples for picture in sample["pictures"])

    def content(self, *made_how: object) -> str:
        """A hash of everything that the file is made of; pictures by their hashes."""
        digest = hashlib.sha256(json.dumps(made_how, sort_keys=True).encode())
        for sample in self.samples:
            digest.update(json.dumps(sample, sort_keys=True).encode())
        return digest.hexdigest()


def sharded(samples: Iterable[Sample], size: int) -> Iterator[Shard]:
    """The stream, by split, in shards of about `size` samples: from a quarter of it to three times as many."""
    open_shards: dict[str, Shard] = {}
    for sample in samples:
        shard = open_shards.setdefault(sample["split"], Shard(sample["split"]))
        shard.add(sample)
        if _is_full(shard, size):
            yield open_shards.pop(sample["split"])
    yield from open_shards.values()


def _is_full(shard: Shard, size: int) -> bool:
    count, least = len(shard.samples), max(1, size // 4)
    if count >= 3 * size or shard.bytes > MOST_BYTES:
        return True
    # Few borders may come from counting: behind each of them, all is different until the next that comes from a key.
    return count >= least and _hash(shard.samples[-1]["key"]) % max(1, size - least) == 0


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"shard\x1f{key}".encode()).digest()[:8], "big")
