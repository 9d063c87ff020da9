"""`prompts.jsonl`: every question to the language model and its reply, one per line, failed items included."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from magid_graph.exporters.files import refuse, replacing
from magid_graph.exporters.items import FinishedItem


def write_prompts(items: Iterable[FinishedItem], run_dir: Path) -> Path:
    """Write a row for every exchange: its fields, and the key and the state of its item."""
    path = run_dir / "prompts.jsonl"
    with replacing(path, _check) as file:
        for item in items:
            for exchange in item["exchanges"]:
                row = {"key": item["key"], "state": item["state"], **exchange}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def _check(part: Path) -> None:
    with part.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not {"key", "messages", "reply"} <= json.loads(line).keys():
                raise refuse(part, f"line {number}")
