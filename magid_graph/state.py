"""Every key that travels through a graph. Plain JSON values only; pictures are files."""

from __future__ import annotations

import operator
from typing import Annotated, Literal

from langgraph.channels import EphemeralValue
from typing_extensions import TypedDict

from magid_graph.records import Attempt, Dropped, End, Fitted, ImageFile, Moment, Pair, Reason, Turn, Verdict


class DialogueState(TypedDict):
    """The `dialogue` graph: one dialogue."""

    key: str
    turns: list[Turn]
    moments: list[Moment]
    """Turns that deserve a picture, written by the scanner."""
    attempts: Annotated[list[Attempt], operator.add]
    """All pictures drawn for all moments, written by QA as it judges them."""


class DialogueInput(TypedDict):
    """What a run of the `dialogue` graph starts with."""

    key: str
    turns: list[Turn]


class Scanned(TypedDict):
    """What the scanner writes."""

    moments: list[Moment]


class Drawing(TypedDict):
    """What the generator last made."""

    prompt: str
    fitted: Fitted
    seed: int
    image: ImageFile | None
    """`None`: the description was refused before drawing."""
    refused_term: str | None
    """The word for which the description was refused."""


class IllustrateState(TypedDict):
    """One moment of a dialogue, or one iteration of a chain, on its way from node to node."""

    key: str
    turn: int
    """0-based position of the utterance in the dialogue; in a chain, the iteration."""
    context: list[Turn]
    """The turns up to and including the utterance; in a chain, the text that was to be drawn."""
    description: str
    """What is drawn next; feedback replaces it."""
    drawing: Drawing
    attempts: list[Attempt]
    verdict: Verdict
    """What follows the last attempt."""


class InHand(TypedDict):
    """What is sent from node to node; a router reads what its own node wrote."""

    moment: Annotated[IllustrateState, EphemeralValue(dict, guard=False)]


class IllustrateInput(TypedDict):
    """What a run of the `illustrate` graph starts with."""

    key: str
    turn: int
    context: list[Turn]
    description: str
    attempts: Annotated[list[Attempt], operator.add]


class Illustrated(TypedDict):
    """What a run of the `illustrate` graph hands back."""

    attempts: Annotated[list[Attempt], operator.add]


class Resumed(InHand, Illustrated):
    """What a run of the `illustrate` graph starts with, when it is to go on from a later node."""


class Drawn(TypedDict):
    """What the generator writes."""

    drawing: Drawing


class Assessed(TypedDict):
    """What QA writes."""

    attempts: list[Attempt]
    verdict: Verdict


class Redescribed(TypedDict):
    """What feedback writes."""

    description: str


class Judged(TypedDict):
    """A judgement of one attempt."""

    reason: Reason | None
    note: str | None


class ChainState(InHand):
    """The `chain` graph: a first description, or a given picture, and the pairs that come of it."""

    key: str
    batch: int
    chain: int
    topic: str | None
    first: str | None
    """The first description; `None` where the chain begins with a picture."""
    attempts: Annotated[list[Attempt], operator.add]
    """All pictures drawn in all iterations."""
    pairs: Annotated[list[Pair], operator.add]
    ended: End | None
    """Why there is no next iteration."""


class ChainInput(TypedDict):
    """What a run of the `chain` graph starts with; a given picture is the `drawing` of its first moment."""

    key: str
    batch: int
    chain: int
    topic: str | None
    first: str | None
    moment: Annotated[IllustrateState, EphemeralValue(dict, guard=False)]


class Looking(IllustrateState):
    """What the captioner reads: the iteration in hand, and the chain so far."""

    batch: int
    chain: int
    topic: str | None
    first: str | None
    pairs: list[Pair]


class Captioned(TypedDict):
    """What the captioner writes: the finished pair, and the next iteration, which begins with its caption."""

    pairs: list[Pair]
    ended: End | None
    turn: int
    context: list[Turn]
    description: str
    attempts: list[Attempt]


class PairsState(TypedDict):
    """The `pairs` graph: the first descriptions of one batch."""

    key: str
    """`b003`"""
    topic: str | None
    prompt: str
    """Name of the prompt, under `prompts/describer/`."""
    wanted: int
    earlier: list[str]
    """Descriptions of earlier batches that the language model is told not to repeat, the latest first."""
    descriptions: Annotated[list[str], operator.add]
    dropped: Annotated[list[Dropped], operator.add]
    questions: int
    in_vain: int
    """Questions in a row that brought nothing new."""
    asking: Literal["more", "enough", "given up"]


class PairsInput(TypedDict):
    """What a run of the `pairs` graph starts with."""

    key: str
    topic: str | None
    prompt: str
    wanted: int
    earlier: list[str]
    descriptions: list[str]
    dropped: list[Dropped]
    questions: int
    in_vain: int


class Described(TypedDict):
    """What the describer writes."""

    descriptions: list[str]
    dropped: list[Dropped]
    questions: int
    in_vain: int
    asking: Literal["more", "enough", "given up"]
