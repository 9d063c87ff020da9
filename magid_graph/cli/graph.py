"""`magid-graph graph NAME`: the state machines as they are in the code, drawn offline."""

from __future__ import annotations

from typing import Annotated

import typer

from magid_graph.cli import options
from magid_graph.config import DEFAULT_PRESET, load
from magid_graph.errors import UsageError


def graph(
    name: Annotated[str, typer.Argument(metavar="NAME", help="dialogue, illustrate, pairs or chain.")],
    ascii_: Annotated[bool, typer.Option("--ascii", help="Draw in characters (the default).")] = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Write the source of a Mermaid flow chart.")] = False,
    svg: Annotated[bool, typer.Option("--svg", help="Write an SVG file to standard output.")] = False,
    preset: options.Preset = DEFAULT_PRESET,
    config: options.ConfigFile = None,
    set_: options.Assignments = None,
) -> None:
    """Draw a graph as it is in the code, with the bounds that the settings put on its loops.

    Nothing is sent anywhere.
    """
    if ascii_ + mermaid + svg > 1:
        raise UsageError("a drawing has one form: choose `--ascii`, `--mermaid` or `--svg`")
    settings = load(preset, config_path=config, assignments=set_ or ()).settings

    from magid_graph import console, diagram
    from magid_graph.graph import GRAPHS, bounds

    if name not in GRAPHS:
        raise UsageError(f"there is no graph `{name}`; graphs: {', '.join(GRAPHS)}")
    drawn = diagram.diagram_of(GRAPHS[name](), bounds(settings))
    draw = diagram.as_mermaid if mermaid else diagram.as_svg if svg else diagram.as_text
    console.show(draw(drawn))
