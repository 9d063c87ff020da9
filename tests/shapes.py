"""Writes invented dialogues in the shapes of the published data sets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Texts = Sequence[str]


@dataclass(frozen=True)
class Shape:
    """One way in which dialogues are published."""

    name: str
    format: str
    """What it must be taken for."""
    file: str
    write: Callable[[Sequence[Texts]], str | bytes]
    names: tuple[str | None, str | None] = ("A", "B")
    """Who says the first turn and who the second."""


def json_of(dialogue: Callable[[int, Texts], Any]) -> Callable[[Sequence[Texts]], str]:
    return lambda texts: json.dumps([dialogue(at, one) for at, one in enumerate(texts)], indent=1, ensure_ascii=False)


def lines_of(dialogue: Callable[[int, Texts], Any]) -> Callable[[Sequence[Texts]], str]:
    return lambda texts: "".join(json.dumps(dialogue(at, one)) + "\n" for at, one in enumerate(texts))


def mmdialog(at: int, texts: Texts) -> dict[str, Any]:
    turns = [{"turn": [{"__TEXT__": text}]} for text in texts]
    turns[0]["turn"].append({"__MEDIA__": "-1000012098956892692"})
    return {"conversation_id": at, "conversation": turns, "negative_candidate_texts": ["no", "never"]}


def photochat(at: int, texts: Texts) -> dict[str, Any]:
    messages = [{"message": text, "share_photo": False, "user_id": n % 2} for n, text in enumerate(texts)]
    messages.insert(1, {"message": "", "share_photo": True, "user_id": 0})
    return {
        "dialogue": messages,
        "dialogue_id": at,
        "photo_description": "Objects in the photo: Kite, Tree",
        "photo_url": "https://pictures.example/kite.jpg",
        "photo_id": f"train/{at:016x}",
    }


def mmdd(at: int, texts: Texts) -> dict[str, Any]:
    picture = {"img_idx": 62, "score": 0.58, "img_dataset": "coco", "img_file": f"kite_{at}.jpg"}
    return {"dialog": list(texts), "replaced_idx": 0, "dialog_dataset": "persona", "dialog_file": "c.txt", **picture}


def dialogcc(at: int, texts: Texts) -> dict[str, Any]:
    turns = [
        {"utterance_idx": n, "utterance": text, "speaker": ("Ada", "Ben")[n % 2], "rationale": "", "description": "",
         "shared_image": []}
        for n, text in enumerate(texts)
    ]  # fmt: skip
    turns[0] |= {"rationale": "To show it", "description": "A red kite", "shared_image": ["kite.jpg", "kite2.jpg"]}
    return {"dialogue_id": f"persona-{at}", "split": "valid", "dialogue": turns}


def magid(texts: Sequence[Texts]) -> str:
    dialogues = {str(at): [["txt", text] for text in one] for at, one in enumerate(texts)}
    for turns in dialogues.values():
        turns.insert(1, ["img", "image_Image_of_a_kite.png", " Image of a kite. "])
    return json.dumps(dialogues)


def dailydialog(texts: Sequence[Texts]) -> str:
    return "".join("".join(f"{text} __eou__ " for text in one).strip() + "\n" for one in texts)


def daily_row(at: int, texts: Texts) -> dict[str, Any]:
    return {"dialog": list(texts), "act": [1] * len(texts), "emotion": [4] * len(texts)}


def parlai(texts: Sequence[Texts]) -> str:
    lines = []
    for one in texts:
        said = [f"{a}\t{b}\t\tno|maybe|{b}" for a, b in zip(one[::2], one[1::2], strict=True)]
        episode = ["your persona: i fly kites.", "your persona: i bake bread.", *said]
        lines += [f"{number} {line}" for number, line in enumerate(episode, 1)]
    return "\n".join(lines) + "\n"


def persona_json(texts: Sequence[Texts]) -> str:
    entries = [
        {
            "personality": ["i fly kites ."],
            "utterances": [
                {"candidates": ["no", one[at]], "history": list(one[:at])} for at in range(1, len(one), 2)
            ],
        }
        for one in texts
    ]  # fmt: skip
    return json.dumps({"train": entries, "valid": []})


def persona_csv(texts: Sequence[Texts]) -> str:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["", "Persona", "chat"])
    rows.writerows([at, "i fly kites .\n", "".join(f"{line}\n" for line in one)] for at, one in enumerate(texts))
    return text.getvalue()


def stark(at: int, texts: Texts) -> dict[str, Any]:
    turns = [
        {"utter_id": n, "speaker": ("Ada", "AI")[n % 2], "utter": text, "sharing_info": ""}
        for n, text in enumerate(texts)
    ]
    shared = {"rationale": "to show it", "image_description": "a kite", "image_id_from_mobile": "7"}
    return {
        "unique_id": f"s{at}",
        "name": "Ada",
        "episode": [{"session1:dialogue": repr([turns[0] | {"sharing_info": shared}, *turns[1:]])}],
    }


def sharegpt(at: int, texts: Texts) -> dict[str, Any]:
    turns = [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(texts)]
    turns[0] = turns[0] | {"value": "<image>" + texts[0]}
    return {"id": f"g{at}", "system": "Be kind.", "conversations": turns, "images": ["kite.png"]}


def openai(at: int, texts: Texts) -> dict[str, Any]:
    turns: list[dict[str, Any]] = [
        {"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)
    ]
    picture = {"type": "image_url", "image_url": {"url": "https://pictures.example/kite.jpg"}}
    turns[0]["content"] = [{"type": "text", "text": texts[0]}, picture]
    return {"messages": [{"role": "system", "content": "Be kind."}, *turns]}


def plain(at: int, texts: Texts) -> dict[str, Any]:
    return {"id": f"p{at}", "turns": [{"speaker": ("Ada", "Ben")[n % 2], "text": text} for n, text in enumerate(texts)]}


def parquet(rows: Callable[[int, Texts], Any]) -> Callable[[Sequence[Texts]], bytes]:
    def write(texts: Sequence[Texts]) -> bytes:
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist([rows(at, one) for at, one in enumerate(texts)]), buffer)
        return buffer.getvalue()

    return write


CHAT, NAMED = ("user", "assistant"), ("Ada", "Ben")
SHAPES = {
    shape.name: shape
    for shape in (
        Shape("MMDialog", "mmdialog", "conversations.json", lines_of(mmdialog)),
        Shape("MMDialog as a list", "mmdialog", "conversations.json", json_of(mmdialog)),
        Shape("PhotoChat", "photochat", "in.json", json_of(photochat)),
        Shape("DailyDialog text", "dailydialog", "dialogues_text.txt", dailydialog),
        Shape("DailyDialog rows", "dailydialog", "in.jsonl", lines_of(daily_row)),
        Shape("DailyDialog Parquet", "dailydialog", "in.parquet", parquet(daily_row)),
        Shape("ParlAI text", "personachat", "in_self_original.txt", parlai),
        Shape("Persona-Chat JSON", "personachat", "personachat_self_original.json", persona_json),
        Shape("Persona-Chat CSV", "personachat", "in.csv", persona_csv),
        Shape("MMDD", "mmdd", "MultiModalDialogue_dev.json", json_of(mmdd)),
        Shape("DialogCC", "dialogcc", "in.json", json_of(dialogcc), NAMED),
        Shape("MAGID", "magid", "data.json", magid),
        Shape("Stark", "stark", "in.jsonl", lines_of(stark), ("Ada", "AI")),
        Shape("ShareGPT", "sharegpt", "in.json", json_of(sharegpt), ("human", "gpt")),
        Shape("OpenAI", "openai", "in.jsonl", lines_of(openai), CHAT),
        Shape("plain JSON", "turns", "in.json", json_of(plain), NAMED),
        Shape("plain lists", "turns", "in.jsonl", lines_of(lambda _, texts: list(texts)), (None, None)),
        Shape("plain text", "text", "in.txt", lambda texts: "\n\n".join("\n".join(one) for one in texts), (None, None)),
    )
}


def put(folder: Path, shape: Shape, texts: Sequence[Texts], *, name: str | None = None) -> Path:
    """A file of this shape in the folder, which is made."""
    path = folder / (name or shape.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = shape.write(texts)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
