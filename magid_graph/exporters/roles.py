"""Dialogues as trainers of chat models take them: a human and an assistant in turn, pictures on the human's side only.

Whoever shares a picture is the human. A dialogue in which both share pictures becomes two conversations, one from each
side. What cannot be kept is counted and said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from magid_graph.exporters.placement import placed
from magid_graph.exporters.samples import Picture, Sample
from magid_graph.records import Placement

Role = Literal["human", "assistant"]

FLIPPED = "conversations turned round, so that whoever shares a picture is the human"
SPLIT = "dialogues split into several conversations"
MERGED = "turns joined to the same speaker's turn before"
OPENING = "turns left out before the human's first"
CLOSING = "turns left out after the assistant's last"
UNANSWERED = "pictures left out, because nobody answers them"
TOO_SHORT = "dialogues left out, because nobody answers anybody"
PLACEHOLDERS = "messages with a placeholder such as `<image>` as text, now `‹image›`"
"""What is said of a data set, with how often each happened."""

_PLACEHOLDER = re.compile(r"<(image|video|audio)>")


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a conversation."""

    role: Role
    text: str
    pictures: list[Picture]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Human and assistant in turn, from the human's first to the assistant's last message."""

    id: str
    said: list[Said]

    @property
    def pictures(self) -> list[Picture]:
        return [picture for message in self.said for picture in message.pictures]


def conversations(
    sample: Sample, placement: Placement, notes: Counter[str], *, at_most: int | None = None
) -> Iterator[Conversation]:
    """The conversations of a sample, each with at most so many pictures."""
    voices = _voices(sample)
    parts = _parts(sample, voices, at_most) or [(voices[0] if voices else "", [])]
    made = 0
    for human, pictures in parts:
        name = sample["key"] if len(parts) == 1 else f"{sample['key']}#{made}"
        told = _told(sample, voices, human, pictures, placement)
        conversation = Conversation(name, _trimmed(told, notes))
        notes[UNANSWERED] += len(pictures) - len(conversation.pictures)
        if not conversation.said or (pictures and not conversation.pictures):
            notes[TOO_SHORT] += not pictures
            continue
        made += 1
        notes[FLIPPED] += bool(voices) and human != voices[0]
        yield conversation
    notes[SPLIT] += made > 1


def _voices(sample: Sample) -> list[str]:
    """Whose each turn is; where nobody is named, they take turns."""
    names = [turn["speaker"] for turn in sample["turns"]]
    if all(name is None for name in names):
        return [str(at % 2) for at in range(len(names))]
    return [name or "" for name in names]


def _parts(sample: Sample, voices: Sequence[str], at_most: int | None) -> list[tuple[str, list[Picture]]]:
    """The pictures by who shares them, and no more than so many together."""
    by_voice: dict[str, list[Picture]] = {}
    for picture in sample["pictures"]:
        by_voice.setdefault(voices[picture["turn"]], []).append(picture)
    return [
        (voice, pictures[start : start + (at_most or len(pictures))])
        for voice, pictures in by_voice.items()
        for start in range(0, len(pictures), at_most or len(pictures))
    ]


def _told(
    sample: Sample, voices: Sequence[str], human: str, pictures: list[Picture], placement: Placement
) -> list[Said]:
    """Every placed turn as a message, from the human's side."""
    turns = placed(sample, placement, chosen=lambda picture: any(picture is one for one in pictures))
    return [
        Said(
            "human" if voices[turn["turn"]] == human else "assistant",
            turn["text"],
            [sample["pictures"][number] for number in turn["pictures"]],
        )
        for turn in turns
    ]


def _trimmed(said: list[Said], notes: Counter[str]) -> list[Said]:
    """In turn, from the human's first message to the assistant's last."""
    joined: list[Said] = []
    for message in said:
        if joined and joined[-1].role == message.role:
            last = joined.pop()
            notes[MERGED] += bool(message.text)
            text = "\n".join(text for text in (last.text, message.text) if text)
            message = Said(message.role, text, last.pictures + message.pictures)
        joined.append(message)
    start = next((at for at, message in enumerate(joined) if message.role == "human"), len(joined))
    end = next((at for at in range(len(joined), 0, -1) if joined[at - 1].role == "assistant"), 0)
    kept = joined[start:end]
    notes[OPENING] += start if kept else 0
    notes[CLOSING] += len(joined) - end if kept else 0
    return kept


def plain(text: str, notes: Counter[str]) -> str:
    """The text without words that trainers take for a picture, a film or a sound."""
    found, text = text, _PLACEHOLDER.sub(r"‹\1›", text)
    notes[PLACEHOLDERS] += found != text
    return text


def alternation(roles: Sequence[str], human: str, assistant: str) -> str | None:
    """What is wrong with the order of the roles, by the rule of LLaVA's and LLaMA-Factory's loaders."""
    if not roles or len(roles) % 2:
        return "it does not end with an answer"
    if any(role != (human, assistant)[at % 2] for at, role in enumerate(roles)):
        return f"{human} and {assistant} do not take turns"
    return None
