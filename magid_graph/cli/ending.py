"""How a command that worked on a run ends."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from magid_graph.session import Ended


def finish(ended: Ended, *, is_quiet: bool, as_json: bool) -> NoReturn:
    """Print the summary and exit with the code.

    Raises:
        RunStopped: what stopped the work, once the summary is printed.
    """
    from magid_graph import console

    if as_json:
        console.show_json(ended.summary)
    elif not is_quiet:
        console.show_summary(ended.summary)
    if ended.is_abandoned:
        _leave_at_once(ended.code)
    if ended.fault is not None:
        raise ended.fault
    raise typer.Exit(ended.code)


def _leave_at_once(code: int) -> NoReturn:
    """Exit while a model may still be at work. Journal, lock and models are closed by now.

    An interpreter that is torn down under a thread inside torch aborts (`terminate called without an active
    exception`, exit code 134, three times out of three).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
