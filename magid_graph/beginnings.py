"""What chains of pairs begin with when it is not the describer: a folder of pictures, or one's own descriptions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from magid_graph.artifacts import Artifacts
from magid_graph.config import fingerprint
from magid_graph.errors import BadItem, DamagedPicture, InputError
from magid_graph.readers.text import normalise
from magid_graph.records import BadRow, Chain, Source

if TYPE_CHECKING:
    from magid_graph.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class Beginnings:
    """Chains, one for each picture of a folder or each description of a file, in its order."""

    path: Path
    begins_with: Literal["images", "descriptions"]

    def sha256(self) -> str:
        """Changes with whatever the chains depend on. Raises `InputError` where it cannot be read."""
        if self.begins_with == "descriptions":
            return fingerprint(list(self._descriptions()))
        from magid_graph.run_dir import sha256_of

        return fingerprint([[path.relative_to(self.path).as_posix(), sha256_of(path)] for path in self._pictures()])

    def count(self) -> int:
        """How many chains there are."""
        return sum(1 for _ in (self._pictures() if self.begins_with == "images" else self._descriptions()))

    def chains(self, run: RunDir) -> Iterator[Chain | BadRow]:
        """A row for each; given pictures are copied into the run. Those that cannot be read are failed items."""
        size = run.settings().cycle.descriptions
        if self.begins_with == "descriptions":
            for index, (description, topic) in enumerate(self._descriptions()):
                yield self._chain(index, size, topic, description)
            return
        artifacts = Artifacts(run.path)
        for index, path in enumerate(self._pictures()):
            yield self._begun_with(path, self._chain(index, size, None, None), artifacts)

    def _begun_with(self, path: Path, chain: Chain, artifacts: Artifacts) -> Chain | BadRow:
        from magid_graph.models.retrieval import read_picture

        source = Source(file=normalise(path.relative_to(self.path).as_posix()), index=chain["source"]["index"])
        chain["source"] = source
        try:
            chain["image"] = artifacts.save(read_picture(path))
        except DamagedPicture as error:
            return BadRow(key=chain["key"], cause=BadItem.cause, message=str(error), source=source)
        return chain

    def _chain(self, index: int, size: int, topic: str | None, description: str | None) -> Chain:
        batch, at = divmod(index, size)
        return Chain(
            key=f"b{batch:03d}-c{at:02d}",
            batch=batch,
            chain=at,
            topic=topic,
            description=description,
            source=Source(file=normalise(self.path.name), index=index),
        )

    def _pictures(self) -> list[Path]:
        from magid_graph.models.retrieval import candidates

        found = list(candidates(self.path)) if self.path.is_dir() else []
        if not found:
            raise InputError(f"there is no picture in `{self.path}`: give a folder of pictures")
        return found

    def _descriptions(self) -> Iterator[tuple[str, str | None]]:
        """Each with its topic: lines of text, JSON strings, or `{"description": …, "topic": …}`."""
        try:
            text = normalise(self.path.read_text("utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"`{self.path}` cannot be read as text: {error}") from error
        found = False
        for value in self._values(text):
            description, topic = _described(value)
            if description is not None and description.strip():
                found = True
                yield " ".join(description.split()), topic
        if not found:
            raise InputError(f"`{self.path}` holds no description: write one on each line")

    def _values(self, text: str) -> Iterator[Any]:
        try:
            if self.path.suffix == ".json":
                yield from json.loads(text)
            elif self.path.suffix == ".jsonl":
                yield from (json.loads(line) for line in text.splitlines() if line.strip())
            else:
                yield from text.splitlines()
        except (ValueError, TypeError) as error:
            raise InputError(f"`{self.path}` is not {self.path.suffix.removeprefix('.')}: {error}") from error


def _described(value: Any) -> tuple[str | None, str | None]:
    if isinstance(value, str):
        return value, None
    if isinstance(value, dict) and isinstance(value.get("description"), str):
        topic = value.get("topic")
        return value["description"], topic if isinstance(topic, str) else None
    return None, None
