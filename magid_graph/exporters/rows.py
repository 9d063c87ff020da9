"""A picture as one flat row: what `imagefolder`, `csv`, `webdataset` and the Parquet files of pairs are made of."""

from __future__ import annotations

from collections.abc import Iterator

from typing_extensions import TypedDict

from magid_graph.exporters.samples import Picture, Sample


class PictureRow(TypedDict):
    """One picture. Every row has every key; text is empty where there is none, because a column that is null in its
    first thousands of rows cannot hold text later.
    """

    id: str
    text: str
    """The caption of a pair; of a dialogue's picture, the description that it was drawn from."""
    description: str
    prompt: str
    group: str
    """The dialogue's key, or the chain's."""
    batch: int | None
    """Of pairs, like `chain` and `iteration`: together, the pair's place in the matrix S."""
    chain: int | None
    iteration: int | None
    topic: str
    turn: int
    """0-based; the iteration for pairs."""
    utterance: str
    speaker: str
    parent: str
    """Id of the pair whose caption was drawn."""
    clip_similarity: float | None
    clip_utterance: float | None
    clip_description: float | None
    aesthetic: float | None
    nsfw: float | None
    agreement: float | None
    """Cosine between picture and caption."""
    drift_text: float | None
    drift_image: float | None
    seed: int | None
    attempt: int
    """0-based: how often this moment was drawn before; the iteration for pairs."""
    width: int
    height: int
    model: str
    captioner: str
    license: str
    sha256: str


def picture_rows(sample: Sample) -> Iterator[tuple[Picture, PictureRow]]:
    """A row for every picture of the sample, in order."""
    for number, picture in enumerate(sample["pictures"]):
        name = sample["key"] if sample["kind"] == "pair" else f"{sample['key']}/{picture['turn']}/{number}"
        yield picture, _row(sample, picture, name)


def _row(sample: Sample, picture: Picture, name: str) -> PictureRow:
    scores, link, said = picture["scores"], sample["link"], sample["turns"][picture["turn"]]
    return PictureRow(
        id=name,
        text=picture["caption"] or picture["description"] or "",
        description=picture["description"] or "",
        prompt=picture["prompt"] or "",
        group=sample["group"],
        batch=link["batch"] if link else None,
        chain=link["chain"] if link else None,
        iteration=link["iteration"] if link else None,
        topic=(link and link["topic"]) or "",
        turn=link["iteration"] if link else picture["turn"],
        utterance="" if link else said["text"],
        speaker="" if link else said["speaker"] or "",
        parent=(link and link["parent"]) or "",
        clip_similarity=scores["clip_similarity"],
        clip_utterance=scores["clip_utterance"],
        clip_description=scores["clip_description"],
        aesthetic=scores["aesthetic"],
        nsfw=scores["nsfw"],
        agreement=link["agreement"] if link else None,
        drift_text=link["drift"]["text"] if link else None,
        drift_image=link["drift"]["image"] if link else None,
        seed=picture["seed"],
        attempt=picture["attempt"],
        width=picture["image"]["width"],
        height=picture["image"]["height"],
        model=picture["model"] or "",
        captioner=link["captioner"] if link else "",
        license=str(sample["source"].get("license") or ""),
        sha256=picture["image"]["sha256"],
    )
