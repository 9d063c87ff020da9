"""`magid-graph dialogue input.json`: a text dialogue goes in, a multi-modal dialogue comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magid_graph.cli import options
from magid_graph.cli.ending import finish
from magid_graph.cli.greeting import which
from magid_graph.config import DEFAULT_PRESET, load


def dialogue(
    source: options.Dialogues,
    format_: options.InputFormat = None,
    map_: options.Mapping = None,
    preset: options.Preset = DEFAULT_PRESET,
    config: options.ConfigFile = None,
    set_: options.Assignments = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; used again, it is resumed.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Start a fresh run beside an existing one.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Work on this many dialogues at most.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check input and settings, print the plan, load no model.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Find the turns of text dialogues that deserve a picture, draw it, check it, and write multi-modal dialogues.

    The same command run again goes on where it was stopped.
    """
    from magid_graph import console, run_dir
    from magid_graph.models.opening import check_names
    from magid_graph.plan import plan_of
    from magid_graph.readers import open_input

    assignments = options.with_reader(set_, format_, map_)
    loaded = load(preset, config_path=config, assignments=assignments)
    check_names(loaded.settings)
    with open_input(source, loaded.settings.reader) as dialogues:
        if dry_run:
            plan = plan_of(dialogues, loaded, limit=limit)
            console.show_json(plan) if as_json else console.show_plan(plan)
            return
        from magid_graph.session import make

        wanted = run_dir.manifest(loaded, source, dialogues.sha256())
        run = run_dir.locate(dialogues.stem, wanted, out=out, is_fresh=new)
        greeting = which(run, None if out else run_dir.latest_relative(dialogues.stem, run))
        ended = make(run, dialogues, limit=limit, is_quiet=quiet, greeting=greeting)
    finish(ended, is_quiet=quiet, as_json=as_json)
