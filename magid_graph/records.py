"""The records that flow through a run: plain JSON values, typed.

`json.loads(json.dumps(record)) == record` holds for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict, TypeIs

Kind = Literal["dialogue", "pairs"]
"""What a run makes: its items are dialogues, or chains of image-text pairs."""

Constrain = Literal["auto", "none", "llama.cpp", "vllm"]
"""Which server's field takes the grammar of a reply."""

Reason = Literal["off_topic", "ugly", "unsafe", "unchecked"]
"""Why QA refused a picture; `unchecked`: a check was missing or raised."""

Fitted = Literal["whole", "shortened", "cut"]
"""How a description was made to fit the text encoder."""

Verdict = Literal["accept", "regenerate", "feedback", "discard"]
"""What follows an attempt."""

End = Literal["iterations", "fixed_point", "drift", "refused"]
"""Why a chain of pairs ended: all iterations done, the caption repeats, too far from its beginning, no picture kept."""

ItemState = Literal["pending", "accepted", "rejected", "failed"]
"""Where an item stands; the last three are three different ends."""


Split = Literal["train", "valid", "test"]
"""A part of a data set; `dev` and `validation` are called `valid`."""

Placement = Literal["after", "own_turn", "in_place"]
"""Where a picture stands: with its turn, after the text; as a turn of its own, after its turn; in place of its turn."""


class Turn(TypedDict):
    """One position of a dialogue."""

    speaker: str | None
    text: str


class Source(TypedDict):
    """Where a row of the input comes from."""

    file: str
    """Relative to the input where that is a folder, with forward slashes; `-` is standard input."""
    index: int
    """0-based position in the input."""
    line: NotRequired[int]
    """1-based line of the file at which the row begins; its number among the rows of a Parquet or Arrow file."""
    dataset: NotRequired[str]
    """The published data set, e.g. `PhotoChat`."""
    split: NotRequired[Split]
    id: NotRequired[str]
    """The id that the source gives, where the key is another."""
    license: NotRequired[str]
    """As the source states it, e.g. `CC-BY-NC-SA-4.0`; missing where nobody said."""


class SourcePicture(TypedDict):
    """A picture that the source itself has: what evaluation compares with. It is never shown to the scanner."""

    turn: int
    """0-based position of the turn that it belongs to."""
    placement: Placement
    speaker: NotRequired[str]
    """Whose turn it is, with `own_turn`."""
    id: NotRequired[str]
    """The source's name for it: a media key, a photo id, a file name."""
    url: NotRequired[str]
    description: NotRequired[str]
    rationale: NotRequired[str]
    """Why it was shared, in the source's words."""
    score: NotRequired[float]
    """The source's own figure of how well it matches."""


class Dialogue(TypedDict):
    """One text dialogue, as read."""

    key: str
    """Stable id: the one that the input gives, else a hash of the content."""
    turns: list[Turn]
    source: Source
    pictures: NotRequired[list[SourcePicture]]
    """Ground truth, in order; missing where the source has none."""
    labels: NotRequired[dict[str, object]]
    """What else the source says of it, e.g. `topic`, `emotions` (one per turn), `persona`."""


class ImageFile(TypedDict):
    """A picture in the run directory."""

    sha256: str
    path: str
    """Relative to the run directory, with forward slashes."""
    width: int
    height: int


class Chain(TypedDict):
    """What a chain of image-text pairs begins with: a first description, or a given picture."""

    key: str
    """`b003-c07`: batch and position in it, both 0-based."""
    batch: int
    chain: int
    topic: str | None
    description: str | None
    """`None`: the chain begins with `image`, or the describer has still to be asked for it."""
    image: NotRequired[ImageFile]
    describer: NotRequired[str]
    """Name of the prompt to which the description answers."""
    source: NotRequired[Source]
    """Of a picture or description that was given."""


class BadRow(TypedDict):
    """A row of the input that cannot be used; it becomes a `failed` item."""

    key: str
    cause: str
    message: str
    source: Source


Row: TypeAlias = Dialogue | Chain
"""What one item begins with."""


def is_chain(row: Row | BadRow) -> TypeIs[Chain]:
    """Whether the row begins a chain of image-text pairs."""
    return "batch" in row


def is_bad(row: Row | BadRow) -> TypeIs[BadRow]:
    """Whether a row of the input could not be used."""
    return "cause" in row


class Moment(TypedDict):
    """A turn chosen for a picture."""

    turn: int
    """0-based position in the dialogue."""
    description: str
    reason: str
    """The scanner's reason, in its own words."""


class Scores(TypedDict):
    """What QA measured; `None` was not measured."""

    clip_similarity: float | None
    """The figure that is judged: the smaller of those that `qa.clip_against` names. Cosine, -1 to 1."""
    clip_utterance: float | None
    """Cosine between the embeddings of picture and utterance, -1 to 1 (not x100)."""
    clip_description: float | None
    """Cosine between the embeddings of picture and description, -1 to 1 (not x100)."""
    aesthetic: float | None
    """Aesthetic predictor, nominally 1 to 10; the MAGID paper's 0.51 is 5.1 here."""
    nsfw: float | None
    """Probability that the picture is unsafe, 0 to 1."""


class Limits(TypedDict):
    """The limits that were in force when the scores were judged."""

    min_clip_similarity: float
    min_aesthetic: float
    max_nsfw: float


class Attempt(TypedDict):
    """One picture drawn for a moment, kept or not."""

    turn: int
    n: int
    """0-based count over all attempts of this moment."""
    description: str
    """What the scanner or feedback wrote."""
    prompt: str
    """What was drawn: the description, shortened or cut if need be, with the style suffix."""
    fitted: Fitted
    seed: int
    image: ImageFile | None
    """`None` where the description itself was refused, and nothing was drawn."""
    scores: Scores
    limits: Limits
    reason: Reason | None
    """`None`: no check failed."""
    note: str | None
    """More on the reason: the word that was refused, the error of a check that raised, or what the picture showed."""
    verdict: Verdict


class Drift(TypedDict):
    """How far a pair is from where its chain began, 0 to 2; `None` where there is nothing to compare with."""

    text: float | None
    """1 - cosine between the embeddings of the caption and of the chain's first description."""
    image: float | None
    """1 - cosine between the embeddings of the picture and of the chain's first picture."""


class PairModels(TypedDict):
    """The models that made a pair."""

    text_to_image: str | None
    """`None`: the picture was given."""
    captioner: str


class Pair(TypedDict):
    """A picture and the caption that was written from looking at it: one iteration of a chain."""

    id: str
    """`b003-c07-i02`"""
    key: str
    """The chain's."""
    batch: int
    chain: int
    iteration: int
    """0-based."""
    parent: str | None
    """Id of the pair whose caption was drawn; `None` for the first of a chain."""
    topic: str | None
    description: str | None
    """What was to be drawn; from iteration 1 on the parent's caption, unless feedback replaced it. `None`: given."""
    prompt: str | None
    """What was drawn: the description, shortened or cut if need be, with the style suffix. `None`: given."""
    fitted: Fitted | None
    caption: str
    """The pair's text, in full."""
    seed: int | None
    image: ImageFile
    scores: Scores
    agreement: float | None
    """Cosine between the embeddings of picture and caption, -1 to 1."""
    drift: Drift
    phash: str
    """Perceptual hash of the picture, 16 hex digits."""
    is_fixed_point: bool
    """The caption has the words of an earlier text of its chain, however far back: the cycle goes round from there."""
    models: PairModels
    accepted: bool
    reason: Reason | Literal["surplus"] | None
    """Why it is not accepted; `surplus`: it is fine, and more than was asked for."""


class Dropped(TypedDict):
    """A line of a describer's reply that became no first description."""

    text: str
    why: Literal["repeats", "near_duplicate", "unusable", "surplus"]
    note: str
    """What it is too near to, or the rule that it breaks."""


class Batch(TypedDict):
    """What the describer was asked for, and what came of it."""

    batch: int
    topic: str | None
    prompt: str
    """Name of the prompt, under `prompts/describer/`."""
    wanted: int
    descriptions: list[str]
    dropped: list[Dropped]
    questions: int
    """How often the language model was asked."""
    fault: str | None
    """Why there are fewer descriptions than wanted."""
    distance: float | None
    """Mean pairwise distance (1 - cosine of text embeddings) of all first descriptions up to this batch."""
    spans: list[Span]
    calls: list[str]
    """Hashes of the exchanges with the language model, in the call cache."""


class Span(TypedDict):
    """One node run."""

    node: str
    turn: int | None
    attempt: int | None
    started_at: float
    """Seconds since the epoch."""
    duration_s: float
    wrote: dict[str, object]
    """What the node wrote to the state, without what an attempt's row tells."""
    asked: NotRequired[int]
    """How many exchanges it had, where it had any."""
    edge: NotRequired[str]
    """The edge taken next, where there was a choice."""
    error: NotRequired[str]


class Exchange(TypedDict):
    """One question to the language model and its reply."""

    node: str
    turn: int | None
    model: str
    messages: list[dict[str, str]]
    reply: str
    prompt_tokens: int
    completion_tokens: int
    duration_s: float
    cached: bool
    """The reply came from the call cache: nothing was paid."""


def exchange_of(asked: tuple[str, int | None, bool], call: Mapping[str, Any]) -> Exchange:
    """An exchange as it is kept: by which node, at which turn and whether from the cache, and the call itself."""
    node, turn, is_cached = asked
    return Exchange(
        node=node,
        turn=turn,
        model=call["model"],
        messages=call["messages"],
        reply=call["reply"],
        prompt_tokens=call["prompt_tokens"],
        completion_tokens=call["completion_tokens"],
        duration_s=call["duration_s"],
        cached=is_cached,
    )
