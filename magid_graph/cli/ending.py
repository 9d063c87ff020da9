"""How a command that worked on a run ends."""

from __future__ import annotations

from typing import Any, NoReturn

import typer


def finish(code: int, summary: dict[str, Any], *, is_quiet: bool, as_json: bool) -> NoReturn:
    """Print the summary and exit with the code."""
    from magid_graph import console

    if as_json:
        console.show_json(summary)
    elif not is_quiet:
        console.show_summary(summary)
    raise typer.Exit(code)
