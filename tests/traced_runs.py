"""Runs of stand-in models that leave a whole run directory, to be read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from magid_graph import run_dir
from magid_graph.config import Loaded, Settings
from magid_graph.records import BadRow, Dialogue
from magid_graph.run_dir import RunDir
from magid_graph.runner import Runner
from tests.graph_runs import Fakes, desk, dialogue, fake_settings


async def made_run(
    place: Path,
    rows: Sequence[Dialogue | BadRow] | None = None,
    *,
    fakes: Fakes | None = None,
    settings: Settings | None = None,
) -> RunDir:
    """A finished run over these rows, by default one dialogue about a boat."""
    settings = settings or fake_settings()
    wanted = run_dir.manifest(Loaded(settings, "made", {}), "made.json", "0" * 64)
    run = run_dir.locate("made", wanted, out=place, is_fresh=False)
    run_dir.create(run)
    run_dir.write_manifest(run)
    async with desk(place, fakes or Fakes(), settings) as (opened, journal):
        journal.ingest(rows if rows is not None else [dialogue("boat")])
        await Runner(journal, opened, settings).run()
    return run
