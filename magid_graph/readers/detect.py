"""Which format an input is in, told by its content."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from magid_graph.config import ReaderSettings
from magid_graph.errors import InputError
from magid_graph.readers.files import Part, text_lines
from magid_graph.readers.format import Format
from magid_graph.readers.formats import FORMATS
from magid_graph.readers.mapped import mapping
from magid_graph.readers.values import values

_SAMPLE = 20
"""Rows and lines of a file that are looked at."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an input is, and why."""

    form: Format
    why: str
    parts: tuple[Part, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    """Files of a folder that are not read, and why not."""


def detect(parts: Sequence[Part], settings: ReaderSettings, *, name: str) -> Found:
    """The format of an input's files, and which of them are read.

    Raises `InputError` where no format fits, or where a folder holds several data sets.
    """
    if (asked := _asked(settings)) is not None:
        form, why = asked
        _check_columns(parts, settings)
        kept = [part for part in parts if len(parts) == 1 or settings.map or form is _format_of(part)]
        return _chosen(form, why, kept or list(parts), parts)
    by_format: dict[str, list[Part]] = {}
    for part in parts:
        if (fit := _format_of(part)) is not None:
            by_format.setdefault(fit.name, []).append(part)
    if not by_format:
        raise _unknown(parts[0], name)
    if len(by_format) > 1:
        # Notes beside a data set are text too.
        by_format.pop("text", None)
    if len(by_format) > 1:
        listed = ", ".join(f"{found} (`{those[0].name}`)" for found, those in by_format.items())
        raise InputError(f"`{name}` holds several formats: {listed}; choose one with `--format`, or name a file")
    ((found, kept),) = by_format.items()
    return _chosen(FORMATS[found], FORMATS[found].looks_like, kept, parts)


def _asked(settings: ReaderSettings) -> tuple[Format, str] | None:
    """What the settings say. Raises `InputError` where they cannot be followed."""
    columns = mapping(settings.map)
    if settings.format not in (*FORMATS, "auto"):
        known = "`, `".join(("auto", *FORMATS))
        near = difflib.get_close_matches(settings.format, FORMATS, 1)
        hint = f" (did you mean `{near[0]}`?)" if near else ""
        raise InputError(f"`{settings.format}` is not a format{hint}; there are `{known}`")
    if columns and settings.format not in ("auto", "mapped"):
        raise InputError(f"`--map` goes with `--format mapped`, not with `{settings.format}`")
    if columns or settings.format == "mapped":
        return FORMATS["mapped"], FORMATS["mapped"].looks_like
    return None if settings.format == "auto" else (FORMATS[settings.format], "it was asked for")


def _check_columns(parts: Sequence[Part], settings: ReaderSettings) -> None:
    """Raises `InputError` where no row has the column that is said to hold the turns."""
    column = mapping(settings.map).get("turns", "").partition(".")[0]
    if not column or any(part.container == "txt" for part in parts):
        return
    rows = [value for part in parts for value in _sample(part) if isinstance(value, dict)]
    if rows and not any(column in row or mapping(settings.map)["turns"] in row for row in rows):
        known = ", ".join(f"`{one}`" for one in list(rows[0])[:12])
        raise InputError(f"no row of `{parts[0].name}` has the column `{column}` of `--map`; there are {known}")


def _chosen(form: Format, why: str, kept: list[Part], parts: Sequence[Part]) -> Found:
    left_out = {part.name: f"it is not in the format `{form.name}`" for part in parts if part not in kept}
    kept, doubles = form.choose(kept)
    return Found(form, why, tuple(kept), left_out | doubles)


def _format_of(part: Part) -> Format | None:
    """The format that most of the file's first rows fit, if any does."""
    if part.container == "txt":
        lines = [line for _, line, _ in islice(text_lines(part), 10 * _SAMPLE) if line.strip()][:_SAMPLE]
        return next(form for form in FORMATS.values() if form.fits_text(lines))
    votes: Counter[str] = Counter()
    rows = _sample(part)
    for value in rows:
        fit = next((form.name for form in FORMATS.values() if form.fits(value)), None)
        votes.update([fit] if fit else [])
    # Rows that are no objects have no columns to name: the plain reader says what is wrong with each.
    if not votes:
        return None if any(isinstance(value, dict) for value in rows) else FORMATS["turns"]
    return FORMATS[votes.most_common(1)[0][0]]


def _sample(part: Part) -> list[Any]:
    return [row.value for row in islice(values(part), _SAMPLE) if row.problem is None]


def _unknown(part: Part, name: str) -> InputError:
    first = next((value for value in _sample(part) if isinstance(value, dict)), {})
    columns = ", ".join(f"`{column}`" for column in list(first)[:12])
    where = f"`{name}`" if name == part.name else f"`{part.name}` in `{name}`"
    return InputError(
        f"{where} is in no known format; its rows have {columns or 'no columns'}: say which holds the turns with"
        f" `--map turns=COLUMN`, or name the format with `--format`"
    )
