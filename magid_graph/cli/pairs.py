"""`magid-graph pairs`: image-text pairs by the cycle description, picture, caption of the picture, next picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from magid_graph.cli import options
from magid_graph.cli.ending import finish
from magid_graph.cli.greeting import which
from magid_graph.config import DEFAULT_PRESET, load
from magid_graph.errors import UsageError

if TYPE_CHECKING:
    from magid_graph.beginnings import Beginnings
    from magid_graph.config import Loaded


def pairs(
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Pictures of a chain, each drawn from the caption before (default: 5).")
    ] = None,
    batches: Annotated[int | None, typer.Option(min=1, help="Batches of first descriptions (default: 10).")] = None,
    descriptions: Annotated[
        int | None, typer.Option(min=1, help="First descriptions in a batch (default: 10).")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Go on until exactly so many pairs are accepted."),
    ] = None,
    topics: Annotated[
        str | None, typer.Option(help="What batches are about, in turn: a file with a topic on each line, or a,b,c.")
    ] = None,
    from_images: Annotated[Path | None, typer.Option(help="Begin with the pictures of this folder.")] = None,
    from_descriptions: Annotated[
        Path | None, typer.Option(help="Begin with these descriptions: one on each line, .json or .jsonl.")
    ] = None,
    qa: Annotated[str | None, typer.Option(help="off, filter (what is refused is no pair) or gate (redrawn).")] = None,
    stop_drift: Annotated[
        float | None,
        typer.Option(min=0, max=2, help="End a chain whose caption is this far from its beginning."),
    ] = None,
    stop_fixed_point: Annotated[
        bool, typer.Option("--stop-fixed-point", help="End a chain whose caption repeats.")
    ] = False,
    preset: options.Preset = DEFAULT_PRESET,
    config: options.ConfigFile = None,
    set_: options.Assignments = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; used again, it is resumed.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Start a fresh run beside an existing one.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check settings and input, print the plan, load no model.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Make image-text pairs: a description is drawn, the picture described, that caption drawn next, and so on.

    The same command run again goes on where it was stopped.
    """
    from magid_graph import console, run_dir

    named = {
        "cycle.iterations": iterations,
        "cycle.batches": batches,
        "cycle.descriptions": descriptions,
        "cycle.count": count,
        "cycle.qa": qa,
        "cycle.stop_drift": stop_drift,
        "cycle.stop_fixed_point": stop_fixed_point or None,
        "describer.topics": None if topics is None else _topics(topics),
    }
    flags = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in named.items() if value is not None]
    loaded = load(preset, config_path=config, assignments=[*(set_ or ()), *flags])
    source = _source(from_images, from_descriptions, batches)
    _check(loaded)
    if dry_run:
        from magid_graph.pair_plan import plan_of_pairs

        plan = plan_of_pairs(source, loaded)
        console.show_json(plan) if as_json else console.show_plan(plan)
        return
    from magid_graph.session import make

    path, sha256 = ("", "") if source is None else (str(source.path), source.sha256())
    wanted = run_dir.manifest(loaded, path, sha256, kind="pairs")
    stem = "pairs" if source is None else f"pairs-{source.path.resolve().stem}"
    run = run_dir.locate(stem, wanted, out=out, is_fresh=new)
    greeting = which(run, None if out else run_dir.latest_relative(stem, run))
    ended = make(run, source, limit=None, is_quiet=quiet, greeting=greeting)
    finish(ended, is_quiet=quiet, as_json=as_json)


def _topics(text: str) -> list[str]:
    """The lines of a file of this name, or what stands between commas."""
    path = Path(text)
    if path.suffix == ".txt" and not path.exists():
        raise UsageError(f"`--topics {text}`: there is no such file")
    try:
        parts = path.read_text("utf-8-sig").splitlines() if path.is_file() else text.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"`--topics {text}` cannot be read as text: {error}") from error
    topics = list(dict.fromkeys(" ".join(part.split()) for part in parts if part.strip()))
    if not topics:
        raise UsageError(f"`--topics {text}` names no topic: write a,b,c, or one on each line of a file")
    return topics


def _source(images: Path | None, descriptions: Path | None, batches: int | None) -> Beginnings | None:
    from magid_graph.beginnings import Beginnings

    if images is not None and descriptions is not None:
        raise UsageError("give `--from-images` or `--from-descriptions`: a chain begins with one thing")
    if images is None and descriptions is None:
        return None
    if batches is not None:
        raise UsageError("`--batches` is for descriptions that are still to be found; what is given is worked on whole")
    begins_with: Literal["images", "descriptions"] = "images" if images is not None else "descriptions"
    return Beginnings(images or descriptions or Path(), begins_with)


def _check(loaded: Loaded) -> None:
    """Raises `UsageError` where these settings can make no pairs."""
    from magid_graph import prompts
    from magid_graph.models.opening import check_names

    check_names(loaded.settings)
    if loaded.settings.models.captioner is None:
        raise UsageError("pairs need a captioner: `--set models.captioner=transformers:NAME` or `openai:NAME@URL`")
    for name in loaded.settings.describer.prompts:
        prompts.hashes(f"describer/{name}")
    if not loaded.settings.describer.prompts:
        raise UsageError("`describer.prompts` is empty: name a file under prompts/describer/, e.g. `scenes`")
