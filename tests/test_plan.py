"""What `--dry-run` promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from magid_graph import config
from magid_graph.plan import plan_of
from magid_graph.readers import open_input


def estimate(tmp_path: Path, turns: int, *assignments: str, preset: str = "local") -> dict[str, Any]:
    source = tmp_path / "in.json"
    source.write_text(json.dumps([[f"we saw the {n}. boat on the lake" for n in range(turns)]]))
    with open_input(source) as dialogues:
        return plan_of(dialogues, config.load(preset, assignments=assignments), limit=None)["estimate"]


def test_the_most_counts_everything_that_may_be_repeated(tmp_path: Path) -> None:
    assert estimate(tmp_path, 5) == {
        "llm_calls": [1, 2 * (1 + 2) + 4],  # a scan; feedback on 2 moments; 2 descriptions of each shortened
        "moments": [0, 2],
        "pictures": [0, 12],
        "pictures_drawn_with_blanks": [0, 36],
        "disk_bytes": [0, 12 * int(1024 * 1024 * 1.9)],
    }
    assert estimate(tmp_path, 5, "generator.too_long=cut")["llm_calls"] == [1, 6]


def test_a_dialogue_longer_than_the_context_is_scanned_in_windows(tmp_path: Path) -> None:
    least, most = estimate(tmp_path, 300, preset="pocket")["llm_calls"]
    assert least > 5
    assert most >= 2 * least


@pytest.mark.parametrize(
    ("assignments", "pixels"),
    [
        (["generator.upscale_to=512"], 512 * 512),
        (["generator.upscale_to=512", "generator.width=128", "generator.height=64"], 1024 * 512),
        (["generator.upscale_to=512", "generator.width=1024"], 1024 * 1024),
    ],
)
def test_pictures_are_scaled_up_by_their_shorter_side(tmp_path: Path, assignments: list[str], pixels: int) -> None:
    assert estimate(tmp_path, 5, *assignments)["disk_bytes"] == [0, 12 * int(pixels * 1.9)]
