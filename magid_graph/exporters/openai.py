"""`<split>.jsonl`: chat messages with pictures as OpenAI's fine-tuning, vLLM and others take them.

Pictures are data URLs of the files as they are. Only the user's messages may hold any.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from magid_graph.exporters.folder import Folder
from magid_graph.exporters.layout import Layout
from magid_graph.exporters.roles import Conversation, Said, alternation, conversations
from magid_graph.exporters.samples import Picture, Sample

MOST_PICTURES, MOST_BYTES, LEAST_EXAMPLES = 64, 10 * 2**20, 10
"""Of a fine-tuning file: pictures in an example, bytes of a picture, examples."""

MANY = f"conversations with more than {MOST_PICTURES} pictures, which fine-tuning refuses"
LARGE = "pictures of more than 10 MiB, which fine-tuning refuses"
FEW = f"splits with fewer than {LEAST_EXAMPLES} examples, which fine-tuning refuses"

_NAMES = {"human": "user", "assistant": "assistant"}


def write_openai(samples: Iterable[Sample], folder: Folder, layout: Layout) -> None:
    """Write every conversation with all pictures of its user."""
    examples: dict[str, int] = {}
    with folder.split_files("{split}.jsonl") as files:
        for sample in samples:
            for conversation in conversations(sample, layout.placement, folder.notes):
                row = {"messages": _messages(conversation, folder, is_pair=sample["kind"] == "pair")}
                files.write(sample["split"], orjson.dumps(row).decode())
                examples[sample["split"]] = examples.get(sample["split"], 0) + 1
                folder.tally["samples"] += 1
                folder.tally["pictures"] += len(conversation.pictures)
                folder.notes[MANY] += len(conversation.pictures) > MOST_PICTURES
    folder.notes[FEW] += sum(count < LEAST_EXAMPLES for count in examples.values())
    files.check(_fault)


def _messages(conversation: Conversation, folder: Folder, *, is_pair: bool) -> list[dict[str, object]]:
    return [
        {"role": _NAMES[message.role], "content": _content(message, folder, is_pair=is_pair)}
        for message in conversation.said
    ]


def _content(message: Said, folder: Folder, *, is_pair: bool) -> object:
    if not message.pictures:
        return message.text
    text: list[dict[str, object]] = [{"type": "text", "text": message.text}] if message.text else []
    pictures = [_part(picture, folder) for picture in message.pictures]
    return [*pictures, *text] if is_pair else [*text, *pictures]


def _part(picture: Picture, folder: Folder) -> dict[str, object]:
    data = folder.data(picture["image"])
    folder.notes[LARGE] += len(data) > MOST_BYTES
    kind = Path(picture["image"]["path"]).suffix.removeprefix(".")
    return {
        "type": "image_url",
        "image_url": {"url": f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"},
    }


def _fault(lines: Iterator[str], at: Path) -> str | None:
    """Read it by the rules of the fine-tuning endpoint."""
    for number, line in enumerate(lines, 1):
        messages = orjson.loads(line)["messages"]
        if why := alternation([message["role"] for message in messages], "user", "assistant"):
            return f"line {number}: {why}"
        for message in messages:
            if message["role"] == "assistant" and not isinstance(message["content"], str):
                return f"line {number}: an assistant's message is not text"
            for part in message["content"] if isinstance(message["content"], list) else ():
                url = part.get("image_url", {}).get("url", "data:image/")
                if not url.startswith("data:image/"):
                    return f"line {number}: a picture is no data URL"
    return None
