"""The records that flow through a run: plain JSON values, typed.

`json.loads(json.dumps(record)) == record` holds for each of them.
"""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict, TypeIs

Reason = Literal["off_topic", "ugly", "unsafe", "unchecked"]
"""Why QA refused a picture; `unchecked`: a check was missing or raised."""

Fitted = Literal["whole", "shortened", "cut"]
"""How a description was made to fit the text encoder."""

Verdict = Literal["accept", "regenerate", "feedback", "discard"]
"""What follows an attempt."""

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


class BadRow(TypedDict):
    """A row of the input that cannot be used; it becomes a `failed` item."""

    key: str
    cause: str
    message: str
    source: Source


def is_bad(row: Dialogue | BadRow) -> TypeIs[BadRow]:
    """Whether a row of the input could not be used."""
    return "cause" in row


class Moment(TypedDict):
    """A turn chosen for a picture."""

    turn: int
    """0-based position in the dialogue."""
    description: str
    reason: str
    """The scanner's reason, in its own words."""


class ImageFile(TypedDict):
    """A picture in the run directory."""

    sha256: str
    path: str
    """Relative to the run directory, with forward slashes."""
    width: int
    height: int


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


class Span(TypedDict):
    """One node run."""

    node: str
    turn: int | None
    attempt: int | None
    started_at: float
    """Seconds since the epoch."""
    duration_s: float
    wrote: dict[str, object]
    """What the node wrote to the state."""
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
