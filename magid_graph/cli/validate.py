"""`magid-graph validate PATH`: what an input is, what it holds, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from magid_graph.cli import options
from magid_graph.config import DEFAULT_PRESET, load

if TYPE_CHECKING:
    from magid_graph.validation import Report

_WITH_PROBLEMS = 3


def validate(
    source: options.Dialogues,
    format_: options.InputFormat = None,
    map_: options.Mapping = None,
    config: options.ConfigFile = None,
    set_: options.Assignments = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Read this many dialogues at most.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show what dialogues were found: format and why, counts, the first ones, and each problem with its file and line.

    The exit code is 3 where rows cannot be used.
    """
    from magid_graph import console
    from magid_graph.readers import open_input
    from magid_graph.validation import report_on

    loaded = load(DEFAULT_PRESET, config_path=config, assignments=options.with_reader(set_, format_, map_))
    settings = loaded.settings
    with open_input(source, settings.reader) as dialogues:
        report = report_on(dialogues, limit=limit, max_utterance_chars=settings.run.max_utterance_chars)
    console.show_json(report) if as_json else _show(report)
    raise typer.Exit(_WITH_PROBLEMS if report["unreadable"] else 0)


def _show(report: Report) -> None:
    from magid_graph import console

    console.show(f"format: {report['format']}, because {report['why']}")
    about = [("data set", report["dataset"]), ("licence", ", ".join(report["licenses"]))]
    for name, value in about:
        if value:
            console.show(f"{name}: {value}")
    rows = [(one["file"], one["split"], one["dialogues"], one["unreadable"]) for one in report["files"]]
    console.show_table(("file", "split", "dialogues", "unreadable"), rows)
    for file, why in report["left_out"].items():
        console.show(f"left out: `{file}`: {why}")
    counts = [f"{report['dialogues']:,} dialogues", f"{report['turns']:,} turns", f"{report['speakers']} speakers"]
    console.show(f"{', '.join(counts)}, {report['pictures']:,} pictures of their own")
    for first in report["first"]:
        console.show(f"\n{first['key']}")
        for turn in first["turns"]:
            console.show(f"  {turn}")
    if report["unreadable"]:
        console.show(f"\n{report['unreadable']:,} rows cannot be used; in a run they are `failed`, the others go on")
    for problem in report["problems"]:
        console.show(f"  {problem}")
    if (more := report["unreadable"] - len(report["problems"])) > 0:
        console.show(f"  … and {more:,} more")
