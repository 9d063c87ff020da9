"""`<split>.json` and `images/`: what LLaVA's `train.py` loads, with this folder as `--image_folder`.

A JSON array, one sample per line. Its loader drops a first message that is not the human's, asserts that human and gpt
take turns, and takes one picture per sample: a dialogue with two pictures is two samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from magid_graph.exporters.folder import Folder
from magid_graph.exporters.layout import Layout
from magid_graph.exporters.roles import Conversation, alternation, conversations, plain
from magid_graph.exporters.samples import Sample

IMAGE = "<image>"
_NAMES = {"human": "human", "assistant": "gpt"}


def write_llava(samples: Iterable[Sample], folder: Folder, layout: Layout) -> None:
    """Write every conversation; one without a picture is a text-only sample, without the key `image`."""
    with folder.split_files("{split}.json", first="[\n", between=",\n", last="]\n") as files:
        for sample in samples:
            for conversation in conversations(sample, layout.placement, folder.notes, at_most=1):
                row = _row(conversation, folder)
                files.write(sample["split"], json.dumps(row, ensure_ascii=False))
                folder.tally["samples"] += 1
                folder.tally["pictures"] += len(conversation.pictures)
    files.check(_fault)


def _row(conversation: Conversation, folder: Folder) -> dict[str, object]:
    names = [folder.ship(picture["image"]) for picture in conversation.pictures]
    said = [
        {"from": _NAMES[message.role], "value": _value(plain(message.text, folder.notes), len(message.pictures))}
        for message in conversation.said
    ]
    return {"id": conversation.id, **({"image": names[0]} if names else {}), "conversations": said}


def _value(text: str, pictures: int) -> str:
    # The loader moves the picture to the front of its message in any case.
    return "\n".join([*[IMAGE] * pictures, *([text] if text else [])])


def _fault(lines: Iterator[str], at: Path) -> str | None:
    """Read it by the loader's rules."""
    for line in lines:
        if line.strip() in ("[", "]"):
            continue
        row = json.loads(line.strip().removesuffix(","))
        said = row["conversations"]
        if why := alternation([message["from"] for message in said], "human", "gpt"):
            return f"`{row['id']}`: {why}"
        if sum(message["value"].count(IMAGE) for message in said) != ("image" in row):
            return f"`{row['id']}` has not one `{IMAGE}` for its picture"
        if "image" in row and not (at.parent / row["image"]).is_file():
            return f"`{row['image']}` is not there"
    return None
