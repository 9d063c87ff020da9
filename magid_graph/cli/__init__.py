"""The command line: one small file per command group. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import os
import sys

import click
import typer

from magid_graph import __version__
from magid_graph.cli import config, dialogue, doctor, runs
from magid_graph.errors import MagidError, UsageError

app = typer.Typer(
    name="magid-graph",
    help="Make multi-modal training data: dialogues with pictures in the right places.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.command()(dialogue.dialogue)
app.command()(runs.status)
app.command()(runs.retry)
app.command()(runs.export)
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
    from magid_graph import console

    try:
        code = app(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except MagidError as error:
        console.show_error(error)
        code = 2 if isinstance(error, UsageError) else 1
    except (KeyboardInterrupt, click.Abort):
        code = 130
    except BrokenPipeError:
        # The reader of our output has gone, e.g. `| head`; Python would complain again while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)
