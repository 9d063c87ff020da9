"""The command line: one small file per command group. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import os
import sqlite3
import sys

import typer

from magid_graph import __version__
from magid_graph.cli import check, config, dialogue, doctor, export, graph, pairs, requalify, runs, trace, validate
from magid_graph.errors import MagidError, RunStopped, StorageFailed, UsageError

app = typer.Typer(
    name="magid-graph",
    help="Make multi-modal training data: dialogues with pictures in the right places, and image-text pairs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.command()(dialogue.dialogue)
app.command()(pairs.pairs)
app.command()(validate.validate)
app.command()(runs.status)
app.command()(runs.retry)
app.command()(export.export)
app.command()(export.rebuild)
app.command()(check.stats)
app.command()(check.verify)
app.command()(graph.graph)
app.add_typer(trace.trace)
app.command()(requalify.requalify)
app.command(name="config")(config.show_config)
app.command()(doctor.doctor)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"magid-graph {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    # Checkpoints of strangers are never unpickled into arbitrary classes.
    os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")


def main() -> None:
    """The one place that catches: a person sees a sentence and the next step, never a traceback."""
    try:
        app()
    except MagidError as error:
        from magid_graph import console

        console.show_error(error)
        if isinstance(error, RunStopped) and not isinstance(error, StorageFailed):
            console.say("next: once that is mended, the same command goes on; what is finished is kept")
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except (OSError, sqlite3.Error) as error:
        from magid_graph import console

        console.show_error(StorageFailed(f"{error}; make room or mend it, and run the same command again"))
        sys.exit(1)
