"""Figures beside their bars, on the terminal and as sections of docs/performance.md."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PERFORMANCE = Path(__file__).parent.parent / "docs" / "performance.md"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement."""

    what: str
    value: float
    unit: str = ""
    bar: float | None = None
    """`None`: shown for comparison only."""
    better: Literal["more", "less"] = "more"

    @property
    def is_met(self) -> bool:
        if self.bar is None:
            return True
        return self.value >= self.bar if self.better == "more" else self.value <= self.bar

    def cells(self) -> tuple[str, str, str, str]:
        if self.bar is None:
            return self.what, _number(self.value, self.unit), "", ""
        sign = "≥" if self.better == "more" else "≤"
        met = "yes" if self.is_met else "**no**"
        return self.what, _number(self.value, self.unit), f"{sign} {_number(self.bar, self.unit)}", met


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table."""
    rows = [("figure", "measured", "bar", "met"), ("---", "---:", "---:", "---"), *(one.cells() for one in figures)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def circumstances() -> str:
    """When and on what a table was measured."""
    names = ("langgraph", "pillow", "numpy")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPU cores ({platform.machine()}), load average {load:.1f} at"
        f" the end; Python {platform.python_version()}, {versions}."
    )


def write_section(title: str, text: str, path: Path = PERFORMANCE) -> None:
    """Put the text under `## title`, in place of what stood there; other sections stay as they are."""
    before = path.read_text("utf-8") if path.exists() else "# Performance\n"
    section = f"## {title}\n\n{text.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(before):
        after = pattern.sub(lambda _: section + "\n", before)
    else:
        after = before.rstrip() + "\n\n" + section
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(after.rstrip() + "\n", "utf-8")


def _number(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}{f' {unit}' if unit else ''}"
