"""`magid-graph verify` and `stats`: whether a run is whole, and its figures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from magid_graph.cli import options

_MOST_SHOWN = 20
"""Places of one fault that a person is shown."""

WRONG = 3


def verify(run: options.Run, as_json: options.AsJson = False) -> None:
    """Read a run's journal and every picture that it names; exit code 3 when something is not as it was written."""
    from magid_graph import console, run_dir
    from magid_graph.verify import verify as verify_

    opened = run_dir.open_run(run)
    checked = verify_(opened)
    if as_json:
        console.show_json(checked.asdict())
    else:
        console.show(f"{checked.items} items and {checked.pictures} pictures read")
        for fault in [*checked.faults, *([checked.orphans] if checked.orphans.count else [])]:
            console.show(f"{fault.what}: {fault.count}")
            for place in fault.places[:_MOST_SHOWN]:
                console.show(f"  {place}")
            if fault.count > _MOST_SHOWN:
                console.show(f"  … and {fault.count - _MOST_SHOWN} more; `--json` shows more of them")
        for line in _next(opened.path, {fault.what for fault in checked.faults}):
            console.show(line)
    raise typer.Exit(WRONG if checked.faults else 0)


def stats(
    run: options.Run,
    splits: Annotated[
        str, typer.Option(help="Shares, as for `export`; a split that the input gives is kept.")
    ] = "train=1",
    as_json: options.AsJson = False,
) -> None:
    """Print a run's figures: sizes by split, scores, acceptance by attempt, safety, sources."""
    from magid_graph import console, run_dir
    from magid_graph.exporters import Layout
    from magid_graph.exporters.layout import shares
    from magid_graph.figures import figures_of

    layout = Layout(shares=shares(splits))
    opened = run_dir.open_run(run)
    with contextlib.closing(opened.journal_there()) as journal:
        figures = figures_of(opened, journal, layout)
    console.show_json(figures) if as_json else _show_figures(figures)


def _next(path: object, faults: set[str]) -> Iterator[str]:
    from magid_graph.verify import DAMAGED, MISSING

    if not faults:
        yield "all is as it was written"
    if faults & {MISSING, DAMAGED}:
        yield (
            f"next: `magid-graph export {path}` makes items failed whose accepted pictures are damaged, and `retry`"
            " draws them again; refused pictures are not shipped"
        )
    if faults - {MISSING, DAMAGED}:
        yield "next: put back a copy of `run.db`, or run the command again with another `--out`; the journal is damaged"


def _show_figures(figures: Mapping[str, Any]) -> None:
    from magid_graph import console

    columns = ("all", *figures["splits"])
    parts = [figures["all"], *figures["splits"].values()]
    console.show_table(("", *columns), [(_words(name), *(part[name] for part in parts)) for name in figures["all"]])
    if "chains" in figures:
        rows = [tuple(row.values()) for row in figures["chains"]["by_iteration"]]
        names = tuple(_words(name) for name in next(iter(figures["chains"]["by_iteration"]), ()))
        console.show_table(names, rows, f"{figures['chains']['count']} chains")
    measures = ("mean", "deviation", "min", "p5", "median", "p95", "max")
    scores = {name: spread for name, spread in figures["scores"].items() if spread["pictures"]}
    rows = [(_words(name), *(spread[measure] for measure in measures)) for name, spread in scores.items()]
    console.show_table(("accepted pictures", *measures), rows)
    attempts = figures["attempts"]
    console.show_table(
        ("attempt", "judged", "accepted"),
        [(row["attempt"], row["judged"], row["accepted"]) for row in attempts["by_attempt"]],
    )
    for title, counts in (("refused", attempts["refused"]), ("safety", figures["safety"])):
        if counts:
            console.show(f"{title}: " + ", ".join(f"{_words(name)} {count}" for name, count in counts.items()))
    for source in figures["sources"]:
        console.show(f"source: {source['name']}, licence {source['license'] or 'not stated'}, {source['samples']}")


def _words(name: str) -> str:
    return name.replace("_", " ")
