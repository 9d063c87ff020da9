"""`magid-graph requalify RUN --set qa.min_aesthetic=5.4`: decide again from recorded scores."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from magid_graph.cli import options
from magid_graph.errors import UsageError

if TYPE_CHECKING:
    from magid_graph.trace.requalify import Requalified

_WIDTH = 30
"""Of a bar of all moments, in characters."""


def requalify(
    run: options.Run,
    set_: options.Assignments = None,
    apply_: Annotated[
        bool, typer.Option("--apply", help="Write the data set by these limits, beside the one that is there.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Decide again from recorded scores, by other limits: no model is opened, and the run stays as it is.

    Shows what would change, and how many moments are kept at several values of each limit.
    """
    from magid_graph import config, console, run_dir
    from magid_graph.kinds import KINDS
    from magid_graph.trace.reading import Reading
    from magid_graph.trace.requalify import CHANGEABLE
    from magid_graph.trace.requalify import requalify as decide_again

    opened = run_dir.open_run(run)
    before = opened.settings()
    settings = config.changed(before, set_ or ())
    was, now = config.flat(before), config.flat(settings)
    for key in (key for key in now if was[key] != now[key] and key not in CHANGEABLE):
        raise UsageError(f"`{key}` cannot be changed without a model; what can: {', '.join(CHANGEABLE)}")
    changes = [f"{key} {was[key]} -> {now[key]}" for key in now if was[key] != now[key]]
    with contextlib.closing(Reading(opened)) as reading:
        found = decide_again(
            reading.traces(["accepted", "rejected"], with_exchanges=False), KINDS[reading.kind].in_force(settings).qa
        )
        written = {}
        if apply_:
            from magid_graph.trace.view import apply

            view, files = asyncio.run(apply(reading, settings, {"changes": changes}))
            written = {"view": str(view.path), **files}
    if as_json:
        console.show_json({"run": str(opened.path), "changed": changes, **found.as_json(), "files": written})
        return
    _show(found, changes)
    for name, path in written.items():
        console.show(f"{name}: {path}")
    if not apply_ and found.changes:
        console.show("next: the same command with `--apply` writes the data set by these limits, beside the old one")


def _show(found: Requalified, changes: list[str]) -> None:
    from magid_graph import console

    console.show(f"changed: {'; '.join(changes) or 'nothing; give a limit with `--set qa.min_aesthetic=…`'}")
    console.show(f"moments with a picture: {found.kept_before} -> {found.kept} of {found.moments}")
    for change, count in found.changes.items():
        examples = ", ".join(f"{key} turn {turn}" for key, turn in found.examples[change])
        console.show(f"  {count} {change}: {examples}{', …' if count > len(found.examples[change]) else ''}")
    if found.unknown:
        console.show(f"  {found.unknown} cannot be known: a check that counts was not measured (`qa.measure_all`)")
    now = found.qa.limits()
    for limit, points in found.curves().items():
        console.show()
        console.show_table(
            (f"qa.{limit}", "kept", ""),
            [
                (
                    f"{value:g}{' ←' if value == now[limit] else ''}",
                    f"{kept:,} ({kept / found.moments:.0%})",
                    "█" * round(_WIDTH * kept / found.moments),
                )
                for value, kept in points
            ],
        )
