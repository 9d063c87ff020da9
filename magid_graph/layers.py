"""Where settings are written, a layer each: presets, TOML files, `--set key=value`."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from magid_graph.errors import SettingsError


def presets() -> list[str]:
    """The names of those that ship."""
    return sorted(p.name.removesuffix(".toml") for p in _preset_dir().iterdir() if p.name.endswith(".toml"))


def read_preset(name: str) -> dict[str, object]:
    """Raises `SettingsError` where there is none of this name."""
    if name not in presets():
        raise SettingsError(f"there is no preset `{name}`{nearest(name, presets())}; presets: {', '.join(presets())}")
    return tomllib.loads((_preset_dir() / f"{name}.toml").read_text("utf-8"))


def read_toml(path: Path) -> dict[str, object]:
    """Raises `SettingsError` where the file cannot be read, or is no TOML."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"`{path}` cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"`{path}` is not TOML: {error}") from error


def parse_assignments(assignments: Sequence[str]) -> dict[str, object]:
    """`{"qa.min_aesthetic": 5.4}`. Raises `SettingsError` where there is no `=`."""
    layer: dict[str, object] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise SettingsError(
                f"`--set {assignment}`: write it as `--set key=value`, e.g. `--set qa.min_aesthetic=5.4`"
            )
        layer[key.strip()] = _parse_value(text.strip())
    return layer


def flatten(layer: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Each value with its dotted key: `qa.min_aesthetic` of `[qa]` and `min_aesthetic`."""
    for key, value in layer.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown word: which known one may be meant, if any."""
    tails = {key.rpartition(".")[2]: key for key in known}
    near = difflib.get_close_matches(word, known, 1) or [
        tails[tail] for tail in difflib.get_close_matches(word.rpartition(".")[2], list(tails), 1)
    ]
    return f"; did you mean `{near[0]}`?" if near else ""


def _parse_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None if text in ("none", "null") else text


def _preset_dir() -> Any:
    return resources.files("magid_graph") / "presets"
