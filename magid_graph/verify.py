"""Whether a run is whole: its journal, and every picture that it names."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from magid_graph.run_dir import RunDir, sha256_of

MISSING, DAMAGED = "pictures are not there", "pictures are not what was judged"
_MOST_NAMED = 1000
"""Places of one fault that are listed; all are counted."""


@dataclass(slots=True)
class Fault:
    """Something that is not as it was written."""

    what: str
    count: int = 0
    places: list[str] = field(default_factory=list)

    def note(self, place: str) -> None:
        self.count += 1
        if len(self.places) < _MOST_NAMED:
            self.places.append(place)


@dataclass(slots=True)
class Checked:
    """What was looked at, and what was found."""

    items: int = 0
    pictures: int = 0
    faults: list[Fault] = field(default_factory=list)
    orphans: Fault = field(default_factory=lambda: Fault("files in `images/` that nothing names"))
    """No harm: what was drawn as a run was killed, or was refused and pruned."""

    def fault(self, what: str, places: Iterable[str]) -> None:
        """Note a fault where there is any place of it."""
        fault = Fault(what)
        for place in places:
            fault.note(place)
        self.faults += [fault] if fault.count else []

    def asdict(self) -> dict[str, Any]:
        return {"is_whole": not self.faults, **asdict(self)}


_UNREADABLE = """
SELECT 'item ' || key FROM items WHERE NOT json_valid(input)
UNION ALL SELECT 'attempt ' || position || '/' || turn || '/' || n FROM attempts WHERE NOT json_valid(record)
UNION ALL SELECT 'span ' || position || '/' || seq FROM spans WHERE NOT json_valid(record)
UNION ALL SELECT 'pair ' || position || '/' || iteration FROM pairs WHERE NOT json_valid(record)
UNION ALL SELECT 'call ' || hash FROM calls WHERE NOT json_valid(value)
"""
_LOST = """
SELECT 'attempt ' || position || '/' || turn || '/' || n FROM attempts
WHERE position NOT IN (SELECT position FROM items)
UNION ALL SELECT 'pair ' || position || '/' || iteration FROM pairs WHERE position NOT IN (SELECT position FROM items)
UNION ALL SELECT 'exchange ' || position || '/' || seq FROM exchanges WHERE call NOT IN (SELECT hash FROM calls)
"""
_EMPTY = """
SELECT key FROM items WHERE state = 'accepted' AND position NOT IN
(SELECT position FROM attempts WHERE verdict = 'accept' UNION SELECT position FROM pairs WHERE accepted)
"""
_NAMED = """
SELECT json_extract(record, '$.image.sha256'), json_extract(record, '$.image.path')
FROM attempts WHERE json_valid(record) AND json_extract(record, '$.image.path') IS NOT NULL
UNION SELECT json_extract(record, '$.image.sha256'), json_extract(record, '$.image.path')
FROM pairs WHERE json_valid(record)
UNION SELECT json_extract(input, '$.image.sha256'), json_extract(input, '$.image.path')
FROM items WHERE json_valid(input) AND json_extract(input, '$.image.path') IS NOT NULL
"""
"""Pictures on record. Those of the call cache need not be there: they are drawn again when they are asked for."""
_CACHED = """
SELECT json_extract(value, '$.image.sha256') FROM calls WHERE kind = 'picture' AND json_valid(value)
"""


def verify(run: RunDir) -> Checked:
    """Read the whole journal and every picture that it names.

    Raises:
        UsageError: there is no journal, or the file is none.
    """
    run.journal_there().close()
    checked = Checked()
    with contextlib.closing(sqlite3.connect(run.path / "run.db")) as db:
        try:
            _check_journal(db, checked)
            known = _check_pictures(db, run.path, checked)
        except sqlite3.DatabaseError as error:
            checked.fault("the journal cannot be read to its end", [str(error)])
            return checked
    _find_orphans(run.path, known, checked)
    return checked


def _check_journal(db: sqlite3.Connection, checked: Checked) -> None:
    """The file's own structure, then what its tables say of each other."""
    found = (text for (text,) in db.execute("PRAGMA quick_check(100)") if text != "ok")
    checked.fault("pages of the journal are damaged", found)
    (checked.items,) = db.execute("SELECT count(*) FROM items").fetchone()
    rows = db.execute("SELECT value FROM facts WHERE name = 'ingested'").fetchone()
    if rows and int(rows[0]) != checked.items:
        checked.fault("the journal does not hold every row of the input", [f"{checked.items} of {rows[0]}"])
    for what, query in (
        ("records of the journal are not JSON", _UNREADABLE),
        ("records belong to nothing", _LOST),
        ("accepted items have no accepted picture", _EMPTY),
    ):
        checked.fault(what, (place for (place,) in db.execute(query)))


def _check_pictures(db: sqlite3.Connection, run_dir: Path, checked: Checked) -> set[bytes]:
    """Read every picture on record; returns the hashes of all that the journal names."""
    missing, damaged = Fault(MISSING), Fault(DAMAGED)
    known: set[bytes] = set()
    for sha256, path in db.execute(_NAMED):
        known.add(bytes.fromhex(sha256))
        checked.pictures += 1
        if not (run_dir / path).is_file():
            missing.note(path)
        elif sha256_of(run_dir / path) != sha256:
            damaged.note(path)
    checked.faults += [fault for fault in (missing, damaged) if fault.count]
    return known | {bytes.fromhex(sha256) for (sha256,) in db.execute(_CACHED) if sha256}


def _find_orphans(run_dir: Path, known: set[bytes], checked: Checked) -> None:
    for path in (run_dir / "images").glob("*/*"):
        try:
            is_known = bytes.fromhex(path.stem) in known
        except ValueError:
            is_known = False
        if not is_known:
            checked.orphans.note(path.relative_to(run_dir).as_posix())
