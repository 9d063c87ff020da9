"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

Dialogues = Annotated[
    str,
    typer.Argument(metavar="PATH", help="Dialogues: a file, a data set's folder, or - for standard input."),
]
InputFormat = Annotated[
    str | None,
    typer.Option("--format", help="How they are written, e.g. photochat (default: told by content).", metavar="NAME"),
]
Mapping = Annotated[
    list[str] | None,
    typer.Option("--map", help="Which column is what, e.g. turns=dialog; may be repeated.", metavar="NAME=COLUMN"),
]
Preset = Annotated[str, typer.Option("--preset", help="pocket, local, openai, paper or synergy.", metavar="NAME")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file (default: ./magid.toml if there is one).")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, e.g. qa.min_aesthetic=5.4; may be repeated.", metavar="KEY=VALUE"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Run = Annotated[Path, typer.Argument(help="Run directory, or its name under outputs/.", metavar="RUN")]


def with_reader(assignments: Sequence[str] | None, format: str | None, columns: Sequence[str] | None) -> list[str]:
    """`--format` and `--map` as the settings that they stand for."""
    named = [] if format is None else [f"reader.format={json.dumps(format)}"]
    return [*(assignments or ()), *named, *([f"reader.map={json.dumps(columns)}"] if columns else [])]
