"""Where pictures stand among the turns of a dialogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from typing_extensions import TypedDict

from magid_graph.exporters.samples import Picture, Sample
from magid_graph.records import Placement, Turn


class Placed(TypedDict):
    """A turn of a data set."""

    turn: int
    """0-based position of the dialogue's turn that it is made of."""
    speaker: str | None
    text: str
    """Empty where the turn is a picture."""
    pictures: list[int]
    """Positions in the sample's `pictures`."""
    replaced: str | None
    """The utterance that the picture stands for, with `in_place`."""


def placed(
    sample: Sample, placement: Placement, *, chosen: Callable[[Picture], bool] = lambda picture: True
) -> list[Placed]:
    """The sample's turns with the chosen ones of its pictures.

    `after`: with their turn, as MAGID does. `own_turn`: as a turn of the same speaker, as PhotoChat does. `in_place`:
    instead of the utterance, as MMDD does. A pair's picture is always with its question.
    """
    where = placement if sample["kind"] == "dialogue" else "after"
    turns: list[Placed] = []
    for at, turn in enumerate(sample["turns"]):
        here = [n for n, picture in enumerate(sample["pictures"]) if picture["turn"] == at and chosen(picture)]
        turns.extend(_turns(at, turn, here, where))
    return turns


def _turns(at: int, turn: Turn, pictures: list[int], placement: Placement) -> Iterator[Placed]:
    speaker, text = turn["speaker"], turn["text"]
    if not pictures or placement == "after":
        yield Placed(turn=at, speaker=speaker, text=text, pictures=pictures, replaced=None)
    elif placement == "in_place":
        yield Placed(turn=at, speaker=speaker, text="", pictures=pictures, replaced=text)
    else:
        yield Placed(turn=at, speaker=speaker, text=text, pictures=[], replaced=None)
        for picture in pictures:
            yield Placed(turn=at, speaker=speaker, text="", pictures=[picture], replaced=None)
