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

NOT_ALIKE = 3
"""Exit code of `rebuild` when a picture is not like the one that was described."""


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
    recipe_only: Annotated[
        bool,
        typer.Option("--recipe-only", help="No pictures: prompts, seeds, models, hashes; `rebuild` draws them again."),
    ] = False,
    shard_size: Annotated[int, typer.Option(min=1, help="Samples in a shard, about.")] = 1000,
    as_json: options.AsJson = False,
) -> None:
    """Write a run as a data set. Written again, only what has changed is written."""
    from magid_graph import console, run_dir
    from magid_graph.errors import UsageError
    from magid_graph.exporters import Layout
    from magid_graph.views import VIEWS, export_as, write_view, write_views

    names = _names(format_ or [], is_recipe=recipe_only)
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
            files = {name: str(write_view(opened, journal, name)) for name in names if name in VIEWS}
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


def _check_names(names: tuple[str, ...], *, but: tuple[str, ...] = ()) -> None:
    from magid_graph.errors import UsageError
    from magid_graph.exporters import FORMATS
    from magid_graph.views import VIEWS

    known = [name for name in (*FORMATS, *VIEWS) if name not in but]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no format `{name}`; formats: {', '.join(known)}")


def _names(wanted: list[str], *, is_recipe: bool) -> tuple[str, ...]:
    from magid_graph.errors import UsageError

    if is_recipe and wanted:
        raise UsageError("`--recipe-only` writes no pictures, `--format` does; give one of them")
    return ("recipe",) if is_recipe else tuple(dict.fromkeys(wanted))


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


def rebuild(
    recipe: Annotated[Path, typer.Argument(help="Folder that `export --recipe-only` wrote.", metavar="RECIPE")],
    out: Annotated[Path, typer.Option(help="Where pictures and data sets go; used again, it goes on.")],
    format_: Annotated[
        list[str] | None, typer.Option("--format", help="As for `export`; default imagefolder.", metavar="NAME")
    ] = None,
    set_: options.Assignments = None,
    as_json: options.AsJson = False,
) -> None:
    """Draw the pictures of a recipe again and compare them; exit code 3 when one is not like what was described."""
    from magid_graph import console
    from magid_graph.rebuild import rebuild as rebuild_
    from magid_graph.views import VIEWS

    names = tuple(dict.fromkeys(format_ or ["imagefolder"]))
    _check_names(names, but=(*VIEWS, "recipe"))
    made = rebuild_(recipe, out, names, assignments=set_ or ())
    counts = made["pictures"]
    if as_json:
        console.show_json(made)
    else:
        console.show(
            f"{counts['same']} pictures are the same to the byte, {counts['alike']} look alike,"
            f" {counts['different']} differ, {counts['not_drawn']} were not drawn"
        )
        console.show(f"compared: {made['compared']}")
        for name, path in made["data_sets"].items():
            console.show(f"{name}: {path}")
    raise typer.Exit(NOT_ALIKE if counts["different"] or counts["not_drawn"] else 0)
