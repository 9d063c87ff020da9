"""`magid-graph export`: a run as a data set, in the formats that trainers load."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magid_graph.cli import options

if TYPE_CHECKING:
    from magid_graph.exporters import Layout
    from magid_graph.records import Placement
    from magid_graph.views import Exported


def export(
    run: options.Run,
    format_: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="magid, imagefolder, parquet, webdataset, llava, sharegpt, openai, csv, jsonl; or gallery, prompts."
            " May be repeated. Default: what every run ends with.",
            metavar="NAME",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Each format gets a folder of its name here (default: RUN/exports).")
    ] = None,
    placement: Annotated[
        str, typer.Option(help="Where a picture stands: after (its turn), own_turn, in_place (of its turn).")
    ] = "after",
    splits: Annotated[
        str, typer.Option(help="Shares, e.g. train=0.9,valid=0.05,test=0.05; a split that the input gives is kept.")
    ] = "train=1",
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Scatter the pictures of a chain; default: the order of the run.")
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option("--license", help="What the data set is given on under; refused where a source allows less."),
    ] = None,
    shard_size: Annotated[int, typer.Option(min=1, help="Samples in a shard, about.")] = 1000,
    as_json: options.AsJson = False,
) -> None:
    """Write a run as a data set. Written again, only what has changed is written."""
    from magid_graph import console, run_dir
    from magid_graph.errors import UsageError
    from magid_graph.exporters import VIEWS, Layout
    from magid_graph.views import export_as, write_page, write_views

    names = tuple(dict.fromkeys(format_ or ()))
    _check_names(names)
    layout = _layout(placement, splits, is_shuffled=shuffle, shard_size=shard_size)
    if not names and (out, licence, layout) != (None, None, Layout()):
        raise UsageError("without `--format`, what every run ends with is written again, as it was; name a `--format`")
    opened = run_dir.open_run(run)
    with opened.lock(), contextlib.closing(opened.journal_there()) as journal:
        if not names:
            files = write_views(opened, journal)
            made = []
        else:
            files = {name: str(write_page(opened, journal, name)) for name in names if name in VIEWS}
            made = [
                export_as(opened, journal, name, layout, out=out, licence=licence)
                for name in names
                if name not in VIEWS
            ]
    if as_json:
        paths = {name: {"path": path} for name, path in files.items()}
        console.show_json({**paths, **{one.format: one.asdict() for one in made}})
        return
    for name, path in files.items():
        console.show(f"{name}: {path}")
    for one in made:
        _show(one)


def _check_names(names: tuple[str, ...]) -> None:
    from magid_graph.errors import UsageError
    from magid_graph.exporters import FORMATS, VIEWS

    for name in names:
        if name not in FORMATS and name not in VIEWS:
            raise UsageError(f"there is no format `{name}`; formats: {', '.join([*FORMATS, *VIEWS])}")


def _layout(placement: str, splits: str, *, is_shuffled: bool, shard_size: int) -> Layout:
    from magid_graph.exporters import Layout
    from magid_graph.exporters.layout import PLACEMENTS, shares

    return Layout(
        placement=_one_of(placement, PLACEMENTS),
        shares=shares(splits),
        is_shuffled=is_shuffled,
        shard_size=shard_size,
    )


def _one_of(placement: str, known: tuple[Placement, ...]) -> Placement:
    from magid_graph.errors import UsageError

    for one in known:
        if placement == one:
            return one
    raise UsageError(f"`--placement {placement}`: a picture stands {', '.join(known)}")


def _show(made: Exported) -> None:
    """One line for the data set, and one for each thing that a reader of it should know."""
    from magid_graph import console

    console.show(
        f"{made.format}: {made.path} ({made.samples} samples, {made.pictures} pictures;"
        f" {made.written} files written, {made.kept} kept)"
    )
    for note, count in sorted(made.notes.items()):
        console.show(f"  {note}: {count}")
