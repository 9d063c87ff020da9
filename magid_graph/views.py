"""What a run is shown as: the data set and the pages that every run ends with, and data sets in any format."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from magid_graph import __version__
from magid_graph.artifacts import Artifacts, write_atomically
from magid_graph.contact_sheet import write_contact_sheet
from magid_graph.errors import DamagedPicture, UsageError
from magid_graph.exporters import FORMATS, Folder, Layout
from magid_graph.exporters.card import write_card
from magid_graph.exporters.folder import renewed
from magid_graph.exporters.items import finished_items
from magid_graph.exporters.licences import licence_for
from magid_graph.exporters.prompts import write_prompts
from magid_graph.exporters.samples import samples
from magid_graph.figures import figures_of
from magid_graph.journal import Journal
from magid_graph.page import write_page
from magid_graph.readers.text import normalise
from magid_graph.records import Kind
from magid_graph.run_dir import RunDir
from magid_graph.trace.reading import Reading

_DATASET: dict[Kind, tuple[str, ...]] = {"dialogue": ("magid", "imagefolder"), "pairs": ("imagefolder",)}
"""The formats of the data set that a run ends with: quick to write, and loaded without a word of code."""
_INDEX = {"magid": "magi_dataset.json", "imagefolder": "*/metadata.jsonl"}
"""Where their rows are; a run whose input has splits may have none in `train`."""

VIEWS = ("prompts", "gallery")
"""What a run shows of itself to people, in its own directory."""

_MOST_IN_GALLERY = 500
"""Items of the page that every run ends with: written in a second, however large the run."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A data set that was written."""

    format: str
    path: str
    samples: int
    pictures: int
    kept: int
    """Files that had not changed, and were not written again."""
    written: int
    notes: dict[str, int]
    """What was flipped, split or left out, and how often."""

    def asdict(self) -> dict[str, Any]:
        return asdict(self)


def renew_views(run: RunDir, journal: Journal) -> dict[str, str]:
    """Write the run's data set and pages, unless this version did and `expire_views` was not called since."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        note = json.loads(_note(run).read_text("utf-8"))
        files = {name: run.path / file for name, file in note["files"].items()}
        if note["magid_graph"] == __version__ and all(file.is_file() for file in files.values()):
            return {name: str(file) for name, file in files.items()}
    return write_views(run, journal)


def expire_views(run: RunDir) -> None:
    """Say, before the journal changes, that the data set has to be written again."""
    _note(run).unlink(missing_ok=True)


def write_views(run: RunDir, journal: Journal) -> dict[str, str]:
    """Write what a run ends with from `run.db`. Returns where each is."""
    expire_views(run)
    dataset = run.path / "dataset"
    _export(run, journal, _DATASET[run.kind()], dataset, Layout(is_shuffled=run.settings().cycle.shuffle))
    files = {name: _first(dataset, _INDEX[name]) for name in _DATASET[run.kind()]}
    files |= {name: write_view(run, journal, name) for name in VIEWS}
    if run.kind() == "pairs" and (sheet := write_contact_sheet(journal, run.path)) is not None:
        files["contact sheet"] = sheet
    places = {name: file.relative_to(run.path).as_posix() for name, file in files.items()}
    write_atomically(_note(run), json.dumps({"magid_graph": __version__, "files": places}).encode())
    return {name: str(file) for name, file in files.items()}


def write_view(run: RunDir, journal: Journal, name: str) -> Path:
    """Write what a person looks at: every question and its reply, or the page that is small enough to be always there.

    `magid-graph trace RUN --html` writes the page of all items, with prompts, replies and pictures inside.
    """
    if name == "prompts":
        return write_prompts(finished_items(journal), run.path)
    with contextlib.closing(Reading(run)) as reading:
        page = run.path / "gallery.html"
        return write_page(reading, page, most=_MOST_IN_GALLERY, is_embedding=False, with_exchanges=False).path


def export_as(
    run: RunDir, journal: Journal, name: str, layout: Layout, *, out: Path | None = None, licence: str | None = None
) -> Exported:
    """Write the data set in this format, into a folder of its name under `out`, else under the run's `exports`.

    A picture that is no longer what was judged is not shipped: its item becomes `failed`, and `retry` draws anew.

    Raises:
        UsageError: the format cannot show this run, the folder holds something else, or the licence allows more than a
            source does.
        StorageFailed: it cannot be written, or does not read back by the rules of those who load it.
    """
    if run.kind() not in FORMATS[name].kinds:
        fitting = ", ".join(known for known, format_ in FORMATS.items() if run.kind() in format_.kinds)
        raise UsageError(f"`{name}` cannot show a run of {run.kind()}; formats that can: {fitting}")
    path = (out or run.path / "exports") / name
    made = _export(run, journal, (name,), path, layout, is_ours=out is None, licence=licence)
    return Exported(
        format=name,
        path=str(path),
        samples=made.tally["samples"],
        pictures=made.tally["pictures"],
        kept=made.tally["kept"],
        written=made.tally["written"],
        notes={note: count for note, count in made.notes.items() if count},
    )


def _export(
    run: RunDir,
    journal: Journal,
    names: Sequence[str],
    path: Path,
    layout: Layout,
    *,
    is_ours: bool = True,
    licence: str | None = None,
) -> Folder:
    """Write these formats into one folder, once more without the items whose pictures are found to be damaged."""
    write = partial(_written, run, journal, names, path, layout, is_ours=is_ours, licence=licence)
    try:
        return write()
    except DamagedPicture:
        _fail_damaged(run, journal)
        expire_views(run)
        return write()


def _written(
    run: RunDir,
    journal: Journal,
    names: Sequence[str],
    path: Path,
    layout: Layout,
    *,
    is_ours: bool,
    licence: str | None,
) -> Folder:
    figures = figures_of(run, journal, layout)
    allowed = licence_for((source["license"] for source in figures["sources"]), licence)
    with renewed(path, root=run.path, owner=run.manifest["identity"], is_ours=is_ours) as folder:
        for name in names:
            FORMATS[name].write(samples(run, journal, layout), folder, layout)
        places = {name: FORMATS[name].data_files for name in names}
        write_card(folder, figures, title=normalise(run.path.name), formats=places, licence=allowed)
    return folder


def _fail_damaged(run: RunDir, journal: Journal) -> None:
    artifacts = Artifacts(run.path)
    for item in journal.items(("accepted",)):
        images = [attempt["image"] for attempt in journal.attempts(item.position) if attempt["verdict"] == "accept"]
        if item.chain is not None:  # a given picture was never an attempt
            images.append(item.chain.get("image"))
        damaged = [image["path"] for image in images if image is not None and not artifacts.is_intact(image)]
        if damaged:
            journal.fail(item.position, DamagedPicture.cause, f"`{damaged[0]}` is missing or is not what was judged")


def _first(folder: Path, pattern: str) -> Path:
    """The file, of train if there is one."""
    return max(folder.glob(pattern), key=lambda path: (path.parent.name == "train", path.name))


def _note(run: RunDir) -> Path:
    """Where it is kept that the data set is the journal's."""
    return run.path / "dataset" / ".written"
