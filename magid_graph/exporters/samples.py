"""What every format is given: a stream of samples, made from the journal here and nowhere else.

A sample is one dialogue with its accepted pictures, or one image-text pair. A pair is a dialogue of two turns, a
question with the picture and the caption as its answer, so that formats of conversations need not know of pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict

from magid_graph.records import Attempt, Dialogue, Drift, Fitted, ImageFile, Pair, Scores, Source, Turn

if TYPE_CHECKING:
    from magid_graph.exporters.layout import Layout
    from magid_graph.journal import Journal
    from magid_graph.run_dir import RunDir

QUESTION = "Please describe this image in detail."
"""What a pair's caption answers, in formats of conversations."""
ASKING, ANSWERING = "human", "gpt"
"""The speakers of a pair."""


class Picture(TypedDict):
    """An accepted picture, and what is known of it."""

    turn: int
    """0-based position of the turn that it belongs to."""
    image: ImageFile
    description: str | None
    """What it was drawn from; `None`: the picture was given."""
    caption: str | None
    """What was written from looking at it; `None` for the pictures of dialogues."""
    prompt: str | None
    """What was drawn: the description, fitted, with the style suffix."""
    fitted: Fitted | None
    seed: int | None
    attempt: int
    """0-based: how often this moment was drawn before; a pair's iteration for pairs."""
    scores: Scores
    model: str | None
    """The text-to-image model."""


class Link(TypedDict):
    """A pair's place in its chain."""

    batch: int
    chain: int
    iteration: int
    parent: str | None
    """Id of the pair whose caption was drawn."""
    topic: str | None
    agreement: float | None
    """Cosine between the embeddings of picture and caption, -1 to 1."""
    drift: Drift
    captioner: str


class Sample(TypedDict):
    """One dialogue, or one pair. Plain JSON."""

    kind: Literal["dialogue", "pair"]
    key: str
    group: str
    """What stays in one split: the dialogue's key, or that of the pair's chain."""
    split: str
    turns: list[Turn]
    """As they were read; where pictures stand among them is the format's affair (`placement.placed`)."""
    pictures: list[Picture]
    """By turn, and in the order in which they were drawn."""
    source: dict[str, object]
    """Where it comes from: file, index, data set, licence."""
    link: Link | None


def samples(run: RunDir, journal: Journal, layout: Layout) -> Iterator[Sample]:
    """Everything that was worked on to its end, in the order of the input; dialogues without pictures too."""
    model = str(run.manifest.get("opened", {}).get("text_to_image") or run.manifest["models"]["text_to_image"])
    if run.kind() == "pairs":
        for pair in journal.pairs(is_shuffled=layout.is_shuffled):
            yield sample_of_pair(pair, layout)
        return
    for item in journal.items(("accepted", "rejected"), is_shuffled=layout.is_shuffled):
        if item.dialogue is not None:
            attempts = journal.attempts(item.position) if item.state == "accepted" else []
            yield sample_of_dialogue(item.dialogue, attempts, layout, model=model)


def sample_of_dialogue(dialogue: Dialogue, attempts: list[Attempt], layout: Layout, *, model: str) -> Sample:
    """The dialogue with the accepted ones of its attempts."""
    source = dialogue["source"]
    return Sample(
        kind="dialogue",
        key=dialogue["key"],
        group=dialogue["key"],
        split=layout.split(dialogue["key"], source),
        turns=dialogue["turns"],
        pictures=[_picture(attempt, attempt["image"], model) for attempt in attempts if attempt["verdict"] == "accept"],
        source=_plain(source),
        link=None,
    )


def sample_of_pair(pair: Pair, layout: Layout) -> Sample:
    """The pair as a question and its answer."""
    picture = Picture(
        turn=0,
        image=pair["image"],
        description=pair["description"],
        caption=pair["caption"],
        prompt=pair["prompt"],
        fitted=pair["fitted"],
        seed=pair["seed"],
        attempt=pair["iteration"],
        scores=pair["scores"],
        model=pair["models"]["text_to_image"],
    )
    link = Link(
        batch=pair["batch"],
        chain=pair["chain"],
        iteration=pair["iteration"],
        parent=pair["parent"],
        topic=pair["topic"],
        agreement=pair["agreement"],
        drift=pair["drift"],
        captioner=pair["models"]["captioner"],
    )
    return Sample(
        kind="pair",
        key=pair["id"],
        group=pair["key"],
        split=layout.split(pair["key"], None),
        turns=[Turn(speaker=ASKING, text=QUESTION), Turn(speaker=ANSWERING, text=pair["caption"])],
        pictures=[picture],
        source={},
        link=link,
    )


def _picture(attempt: Attempt, image: ImageFile | None, model: str) -> Picture:
    assert image is not None, "accepted without a picture"
    return Picture(
        turn=attempt["turn"],
        image=image,
        description=attempt["description"],
        caption=None,
        prompt=attempt["prompt"],
        fitted=attempt["fitted"],
        seed=attempt["seed"],
        attempt=attempt["n"],
        scores=attempt["scores"],
        model=model,
    )


def _plain(source: Source) -> dict[str, object]:
    return {**source}
