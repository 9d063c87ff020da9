"""Prompts are data: Markdown files with `$names`, hashed into what a run depends on.

A file is one user message; or, where it has lines `## system` and `## user`, those two messages.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from string import Template

from magid_graph.errors import SettingsError

_SECTION = re.compile(r"^## (system|user)\n", re.MULTILINE)


def render(name: str, **values: object) -> list[dict[str, str]]:
    """The messages of the prompt `name`, e.g. `scanner/cot`, with every `$name` filled in.

    Raises:
        KeyError: the template names something that was not given.
    """
    return [{"role": role, "content": part.substitute(values)} for role, part in _parts(name)]


def hashes(*names: str) -> dict[str, str]:
    """SHA-256 of each prompt file, for the run's manifest."""
    return {name: hashlib.sha256(_text(name).encode()).hexdigest() for name in names}


@cache
def _parts(name: str) -> list[tuple[str, Template]]:
    pieces = _SECTION.split(_text(name))
    if len(pieces) == 1:
        return [("user", Template(pieces[0].strip()))]
    return [(role, Template(text.strip())) for role, text in zip(pieces[1::2], pieces[2::2], strict=True)]


@cache
def _text(name: str) -> str:
    try:
        return (resources.files(__name__) / f"{name}.md").read_text("utf-8")
    except FileNotFoundError as error:
        raise SettingsError(f"there is no prompt `{name}`") from error
