"""Every key that travels through a graph. Plain JSON values only; pictures are files."""

from __future__ import annotations

import operator
from typing import Annotated

from langgraph.channels import EphemeralValue
from typing_extensions import TypedDict

from magid_graph.records import Attempt, Fitted, ImageFile, Moment, Reason, Turn, Verdict


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
    """One moment of a dialogue on its way through `illustrate`."""

    key: str
    turn: int
    """0-based position of the utterance in the dialogue."""
    context: list[Turn]
    """The turns up to and including the utterance."""
    description: str
    """What is drawn next; feedback replaces it."""
    drawing: Drawing
    attempts: list[Attempt]
    verdict: Verdict
    """What follows the last attempt."""


class InHand(TypedDict):
    """What is sent from node to node of `illustrate`; a router reads what its own node wrote."""

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
