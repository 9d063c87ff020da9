"""What a command says of the run that it begins or continues."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from magid_graph.errors import UsageError

if TYPE_CHECKING:
    from magid_graph.run_dir import RunDir


def which(run: RunDir, relative: RunDir | None) -> list[str]:
    """Which run this is: continued, or new, and how it differs from the latest of the same name."""
    from magid_graph import run_dir

    if not run.is_new:
        return [f"continuing `{run.path}`"]
    lines = [f"new run `{run.path}`"]
    if relative is not None:
        with contextlib.suppress(UsageError):  # another version made that one: nothing can be compared
            changed = ", ".join(run_dir.difference(relative, run)) or "nothing"
            lines.append(f"  beside the run before, `{relative.path}`; changed since then: {changed}")
    return lines
