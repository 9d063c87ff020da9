"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Preset = Annotated[str, typer.Option("--preset", help="pocket, local, openai or paper.", metavar="NAME")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file (default: ./magid.toml if there is one).")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, e.g. qa.min_aesthetic=5.4; may be repeated.", metavar="KEY=VALUE"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Run = Annotated[Path, typer.Argument(help="Run directory, or its name under outputs/.", metavar="RUN")]
