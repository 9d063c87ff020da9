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
        for number, value in enumerate(self._values(text), 1):
            description, topic = self._described(value, number)
            if description.strip():
                found = True
                yield " ".join(description.split()), topic
        if not found:
            raise InputError(f"`{self.path}` holds no description: write one on each line")

    def _values(self, text: str) -> Iterator[Any]:
        if self.path.suffix == ".json":
            values = self._parsed(text, "it")
            if not isinstance(values, list):
                raise InputError(
                    f'`{self.path}` is no list: write `["a red boat", …]`, or one on each line of a `.txt`'
                )
            yield from values
        elif self.path.suffix == ".jsonl":
            for number, line in enumerate(text.splitlines(), 1):
                yield self._parsed(line, f"line {number}") if line.strip() else ""
        else:
            yield from text.splitlines()

    def _parsed(self, text: str, where: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"`{self.path}`: {where} is not JSON: {error}") from error

    def _described(self, value: Any, number: int) -> tuple[str, str | None]:
        if isinstance(value, str):
            return value, None
        if isinstance(value, dict) and isinstance(value.get("description"), str):
            topic = value.get("topic")
            return value["description"], topic if isinstance(topic, str) else None
        raise InputError(
            f"`{self.path}`: entry {number} is neither a string nor an object with a `description`: {str(value)[:60]}"
        )
