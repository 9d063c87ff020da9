"""The command line as a person meets it, run in this process or in one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from magid_graph.cli import main

KINDS = ("llm", "text_to_image", "clip", "aesthetic", "safety")
LENIENT = ("qa.min_clip_similarity=-1", "qa.min_aesthetic=0")


def fakes(*assignments: str) -> list[str]:
    """Options that choose the models that ship as stand-ins, and any other setting."""
    settings = [*(f"models.{kind}=fake:" for kind in KINDS), "models.captioner=none", *LENIENT, *assignments]
    return [word for setting in settings for word in ("--set", setting)]


@dataclass(frozen=True)
class Said:
    """What a command left in the terminal."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """Types commands; none of them may end in a traceback."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def type(self, *words: str | Path) -> Said:
        self._monkeypatch.setattr(sys, "argv", ["magid-graph", *map(str, words)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        said = Said(code if isinstance(code, int) else 0 if code is None else 1, *self._capsys.readouterr())
        assert "Traceback" not in said.out + said.err
        return said

    def dialogue(self, source: str | Path, *words: str | Path) -> Said:
        """The `dialogue` command with stand-in models."""
        return self.type("dialogue", source, *fakes(), *words)


def started(*words: str, until: Callable[[], bool]) -> subprocess.Popen[str]:
    """The command in a process of its own, once it has come that far."""
    command = [sys.executable, "-m", "magid_graph", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for _ in range(600):
        if until() or process.poll() is not None:
            break
        time.sleep(0.05)
    return process


def has_drawn() -> bool:
    """Whether there is a picture in `run`."""
    return any(Path("run/images").rglob("*.png"))


def written(name: str, dialogues: Sequence[object]) -> str:
    """The name of a JSON file in the working directory that holds these dialogues."""
    Path(name).write_text(json.dumps(dialogues), "utf-8")
    return name
