"""`magid-graph config`: the settings in force and where each came from."""

from __future__ import annotations

import json

from magid_graph.cli import options
from magid_graph.config import DEFAULT_PRESET, flat, load


def show_config(
    preset: options.Preset = DEFAULT_PRESET,
    config: options.ConfigFile = None,
    set_: options.Assignments = None,
    as_json: options.AsJson = False,
) -> None:
    """Show the settings in force, and where each value came from."""
    from magid_graph import console

    loaded = load(preset, config_path=config, assignments=set_ or ())
    values = flat(loaded.settings)
    if as_json:
        console.show_json({key: {"value": value, "from": loaded.origins[key]} for key, value in values.items()})
    else:
        rows = [(key, _as_written(value), loaded.origins[key]) for key, value in values.items()]
        console.show_table(("setting", "value", "from"), rows)


def _as_written(value: object) -> str:
    """As `--set` takes it."""
    if value is None:
        return "unset"
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
