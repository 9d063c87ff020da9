"""DialogCC: `{dialogue_id, split, dialogue: [{utterance, speaker, rationale, description, shared_image}]}`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.errors import BadItem
from magid_graph.readers.draft import Draft, drafts
from magid_graph.readers.fields import entry_of, listed, speaker_of, text_of
from magid_graph.readers.files import Part
from magid_graph.readers.format import Format
from magid_graph.readers.values import values


def read(part: Part, settings: ReaderSettings) -> Iterator[Draft]:
    return drafts(values(part), _dialogue, id="dialogue_id")


def _dialogue(value: Any) -> Draft:
    if not isinstance(value, dict):
        raise BadItem("the row is no object with `dialogue`")
    draft = Draft(id=value.get("dialogue_id"), split=value.get("split"))
    entries = listed(value, "dialogue")
    for at in range(len(entries)):
        entry = entry_of(entries, at)
        draft.say(speaker_of(entry.get("speaker"), at), text_of(entry.get("utterance"), at))
        _show(draft, entry)
    return draft


def _show(draft: Draft, entry: dict[str, Any]) -> None:
    """All candidates for this turn; where there are none but a description was written, that."""
    about = {"description": entry.get("description"), "rationale": entry.get("rationale")}
    shared = entry.get("shared_image")
    for image in shared if isinstance(shared, list) else [shared] if shared else []:
        draft.show("after", **about, **(_of_object(image) if isinstance(image, dict) else {"id": image}))
    if not shared and about["description"]:
        draft.show("after", **about)


def _of_object(image: dict[str, Any]) -> dict[str, Any]:
    """How the release writes a candidate was not seen; these names are what such lists use."""
    return {
        "id": next((image[name] for name in ("image_id", "id", "image_path", "path") if image.get(name)), None),
        "url": next((image[name] for name in ("image_url", "url") if image.get(name)), None),
        "score": image.get("score"),
    }


def _fits(value: Any) -> bool:
    entries = value.get("dialogue") if isinstance(value, dict) else None
    return isinstance(entries, list) and any(isinstance(one, dict) and "utterance" in one for one in entries)


FORMAT = Format(
    name="dialogcc",
    looks_like="its rows have `dialogue` with `utterance`",
    read=read,
    fits=_fits,
    dataset="DialogCC",
    license="CC-BY-NC-SA-4.0",
)
