"""What `magid-graph trace` writes instead of showing it in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from magid_graph.trace.reading import Reading

BESIDE = "-"
"""Stands for a file that was not named: `trace.html` in the run directory."""


def named(args: Sequence[str]) -> list[str]:
    """The words of a command line in which `--html` may stand alone: what follows it is a file if it ends so."""
    words: list[str] = []
    for word, following in zip(args, [*args, ""][1:], strict=True):
        words.append(word)
        if word == "--html" and not following.lower().endswith((".html", ".htm")):
            words.append(BESIDE)
    return words


def write_out(reading: Reading, *, html: str | None, chat_png: bool, otlp: str | None) -> None:
    """Write or send what was asked for, and say where it is."""
    if html is not None:
        _write_html(reading, html)
    if chat_png:
        _write_chats(reading)
    if otlp is not None:
        _send(reading, otlp)


def _write_html(reading: Reading, file: str) -> None:
    """Write the run's page, and say where it is and what it needs."""
    from magid_graph import console
    from magid_graph.errors import StorageFailed
    from magid_graph.page import MOST_EMBEDDED, write_page

    path = reading.run.path / "trace.html" if file == BESIDE else Path(file)
    if not path.parent.is_dir():
        raise StorageFailed(f"there is no folder `{path.parent}`; make it, or name another file")
    written = write_page(reading, path)
    if not written.embedded and reading.pictures():
        console.say(
            f"more than {MOST_EMBEDDED:,} pictures: they are shown from `{reading.run.path / 'images'}`, so the page"
            " has to stay where it is"
        )
    console.show(f"html: {path} ({written.items} items, {written.embedded} pictures inside)")


def _write_chats(reading: Reading) -> None:
    from magid_graph import console
    from magid_graph.errors import UsageError
    from magid_graph.page.chats import write_chats

    if reading.kind != "dialogue":
        raise UsageError(f"`{reading.run.path}` has no dialogues to draw; `--html` shows its chains as filmstrips")
    folder = reading.run.path / "chats"
    console.show(f"chats: {folder} ({write_chats(reading, folder)} pictures)")


def _send(reading: Reading, name: str) -> None:
    from magid_graph import console
    from magid_graph.trace.otlp import receiver, send

    to = receiver(name)
    console.show(f"otlp: {send(reading, to)} spans to {to.url}")
