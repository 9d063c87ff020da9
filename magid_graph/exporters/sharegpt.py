"""`<split>.json`, `images/` and `dataset_info.json`: what LLaMA-Factory loads, with this folder as `dataset_dir`.

A JSON array, one sample per line. Human and gpt take turns, and there are as many `<image>` as pictures. `image_dir` is
this folder, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from magid_graph.exporters.folder import Folder
from magid_graph.exporters.layout import Layout
from magid_graph.exporters.roles import Conversation, Said, alternation, conversations, plain
from magid_graph.exporters.samples import Sample

IMAGE = "<image>"
_NAMES = {"human": "human", "assistant": "gpt"}


def write_sharegpt(samples: Iterable[Sample], folder: Folder, layout: Layout) -> None:
    """Write every conversation with all pictures of its human, and tell LLaMA-Factory of the files."""
    with folder.split_files("{split}.json", first="[\n", between=",\n", last="]\n") as files:
        for sample in samples:
            for conversation in conversations(sample, layout.placement, folder.notes):
                row = _row(conversation, folder, is_pair=sample["kind"] == "pair")
                files.write(sample["split"], json.dumps(row, ensure_ascii=False))
                folder.tally["samples"] += 1
                folder.tally["pictures"] += len(conversation.pictures)
    files.check(_fault)
    columns = {"messages": "conversations", "images": "images"}
    with folder.text("dataset_info.json") as file:
        known = {
            f"magid_{Path(name).stem}": {"file_name": name, "formatting": "sharegpt", "columns": columns}
            for name in files.names
        }
        file.write(json.dumps(known, indent=2) + "\n")


def _row(conversation: Conversation, folder: Folder, *, is_pair: bool) -> dict[str, object]:
    said = [
        {"from": _NAMES[message.role], "value": _value(message, plain(message.text, folder.notes), is_pair=is_pair)}
        for message in conversation.said
    ]
    return {"conversations": said, "images": [folder.ship(picture["image"]) for picture in conversation.pictures]}


def _value(message: Said, text: str, *, is_pair: bool) -> str:
    """Where the `<image>` stands is kept: before a question about it, after the words with which it is shared."""
    pictures = IMAGE * len(message.pictures)
    return "\n".join(part for part in ((pictures, text) if is_pair else (text, pictures)) if part)


def _fault(lines: Iterator[str], at: Path) -> str | None:
    """Read it by the loader's rules."""
    for number, line in enumerate(lines, 1):
        if line.strip() in ("[", "]"):
            continue
        row = json.loads(line.strip().removesuffix(","))
        said = row["conversations"]
        if why := alternation([message["from"] for message in said], "human", "gpt"):
            return f"line {number}: {why}"
        if sum(message["value"].count(IMAGE) for message in said) != len(row["images"]):
            return f"line {number} has not as many `{IMAGE}` as pictures"
        for name in row["images"]:
            if not (at.parent / name).is_file():
                return f"`{name}` is not there"
    return None
