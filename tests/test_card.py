"""A data set's papers say what is so, in the hub's own form, and claim no more than the sources allow."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from magid_graph.errors import UsageError
from magid_graph.exporters.card import size_category
from magid_graph.exporters.licences import licence_for
from tests.command_line import Terminal, fakes, written
from tests.exporting import lines

NASTY = "x|y`z](http://e.example)<script>"
TALK: list[object] = [
    {"id": "cat", "turns": ["How are you?", "Look, a photo of my cat on the sofa!", "sweet"]},
    {"id": "car", "turns": ["Check out this picture of the red car", "nice"]},
    {"id": "tax", "turns": ["What do you think about taxes?"]},
    {"id": "bad", "turns": []},
]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def test_stats_are_those_of_a_count_by_hand(terminal: Terminal) -> None:
    terminal.dialogue(written("talk.json", TALK), "--out", "run", "--quiet")
    figures = terminal.type("stats", "run", "--json").json()
    assert figures["all"] == {
        "dialogues": 3,
        "images": 2,
        "turns": 6,
        "turns_per_dialogue": 2.0,
        "images_per_dialogue": 0.667,
        "dialogues_with_images": 2,
        "images_per_dialogue_with_images": 1.0,
        "words_per_utterance": round((3 + 9 + 1 + 8 + 1 + 6) / 6, 3),
        "words_per_description": figures["all"]["words_per_description"],
    }
    assert figures["items"] == {"pending": 0, "accepted": 2, "rejected": 1, "failed": 1}
    assert figures["attempts"]["by_attempt"] == [{"attempt": 1, "judged": 2, "accepted": 2}]
    assert figures["scores"]["nsfw"]["pictures"] == figures["safety"]["pictures_measured"] == 2
    assert sum(figures["scores"]["aesthetic"]["bars"]["accepted"]) == 2
    said = terminal.type("stats", "run", "--splits", "1,1,1").out
    assert "turns per dialogue" in said
    assert "source: talk.json, licence not stated, 3" in said


def test_acceptance_is_counted_by_attempt_and_refusals_by_reason(terminal: Terminal) -> None:
    terminal.dialogue(written("talk.json", TALK), "--out", "run", "--set", "qa.min_clip_similarity=0.38", "--quiet")
    figures = terminal.type("stats", "run", "--json").json()
    judged = [row["judged"] for row in figures["attempts"]["by_attempt"]]
    accepted = [row["accepted"] for row in figures["attempts"]["by_attempt"]]
    assert judged[0] == 2
    assert all(before - kept >= after for before, kept, after in zip(judged, accepted, judged[1:], strict=False))
    assert sum(judged) - sum(accepted) == figures["attempts"]["refused"].get("off_topic", 0) > 0


def test_the_hub_reads_the_card_and_datasets_loads_by_it(terminal: Terminal, tmp_path: Path) -> None:
    datasets, hub = pytest.importorskip("datasets"), pytest.importorskip("huggingface_hub")
    terminal.dialogue(written("talk.json", TALK), "--out", "run", "--quiet")
    names = ("imagefolder", "parquet", "webdataset", "jsonl", "csv", "llava", "sharegpt", "openai")
    words = [word for name in names for word in ("--format", name)]
    said = terminal.type("export", "run", *words, "--out", "out", "--splits", "1,1,0", "--license", "cc-by-4.0")
    assert said.code == 0
    for folder in (Path("run/dataset"), *(Path("out") / name for name in names)):
        data = hub.DatasetCard.load(folder / "README.md").data
        assert data.size_categories == ["n<1K"]
        assert data.license == ("cc-by-4.0" if folder.parts[0] == "out" else None)
        opened = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache" / folder.name))
        assert set(opened) <= {"train", "validation"}
        assert sum(part.num_rows for part in opened.values()) >= 1
        if folder.name in ("dataset", "imagefolder", "parquet", "webdataset"):
            pictures = [row for part in opened.values() for row in part]
            assert len(pictures) == (3 if folder.name == "parquet" else 2)


def test_pairs_have_their_own_figures_and_a_format_that_cannot_show_them_is_refused(terminal: Terminal) -> None:
    given = ["--set", "models.captioner=fake:", "--from-descriptions", "first.txt", "--iterations", "3", "--quiet"]
    Path("first.txt").write_text("a red boat on a lake\na green tree on a hill\n")
    assert terminal.type("pairs", *fakes(), *given, "--out", "run").code == 0
    figures = terminal.type("stats", "run", "--json").json()
    assert (figures["all"]["pairs"], figures["chains"]["count"], figures["checks"]) == (6, 2, ["safety"])
    assert [row["pairs"] for row in figures["chains"]["by_iteration"]] == [2, 2, 2]
    formats = ("llava", "csv", "parquet", "jsonl", "webdataset")
    words = [word for name in formats for word in ("--format", name)]
    made = terminal.type("export", "run", *words, "--shuffle", "--json").json()
    assert [made[name]["samples"] for name in formats] == [6] * 5
    scattered = [row["group"] for row in lines(Path("run/exports/jsonl/train.jsonl"))]
    assert scattered != sorted(scattered)
    terminal.type("export", "run", "--format", "jsonl")
    together = [row["id"] for row in lines(Path("run/exports/jsonl/train.jsonl"))]
    assert together == sorted(together)
    said = terminal.type("export", "run", "--format", "magid")
    assert (said.code, "`magid` cannot show a run of pairs; formats that can: imagefolder" in said.err) == (2, True)
    assert terminal.type("verify", "run").code == 0


def test_the_plot_is_a_drawing_with_every_picture_in_it(terminal: Terminal) -> None:
    terminal.dialogue(written("talk.json", TALK), "--out", "run", "--quiet")
    drawing = ElementTree.parse("run/dataset/scores.svg").getroot()
    texts = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"clip similarity", "aesthetic", "nsfw", "accepted", "refused"} <= set(texts)


def test_text_from_strangers_stays_text(terminal: Terminal) -> None:
    source = written(NASTY.replace("/", "") + ".json", TALK)
    terminal.dialogue(source, "--out", "run", "--quiet")
    card = Path("run/dataset/README.md").read_text()
    assert "<script>" not in card
    assert r"x\|y\`z\]\(http:e.example\)\<script\>.json" in card


@pytest.mark.parametrize(
    ("count", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (50_000, "10K<n<100K"), (10**9, "n>100M")]
)
def test_sizes_are_named_as_the_hub_names_them(count: int, size: str) -> None:
    assert size_category(count) == size


# -- licences


@pytest.mark.parametrize(
    ("sources", "claimed", "expected"),
    [
        ([None], None, None),
        ([None], "mit", "mit"),
        (["CC BY-NC-SA 4.0"], None, "cc-by-nc-sa-4.0"),
        (["CC-BY-NC-SA-4.0", None], "cc-by-nc-sa-4.0", "cc-by-nc-sa-4.0"),
        (["cc-by-4.0"], "CC-BY-NC-4.0", "cc-by-nc-4.0"),
        (["cc0-1.0", "mit"], "apache-2.0", "apache-2.0"),
        (["mit", "cc-by-4.0"], None, None),
        (["custom terms"], "custom terms", "custom-terms"),
        (["cc-by-nd-4.0"], None, None),
    ],
)
def test_a_licence_that_a_source_allows_may_be_claimed(
    sources: list[str | None], claimed: str | None, expected: str | None
) -> None:
    assert licence_for(sources, claimed) == expected


@pytest.mark.parametrize(
    ("source", "claimed"),
    [
        ("cc-by-nc-sa-4.0", "cc-by-4.0"),
        ("cc-by-nc-sa-4.0", "cc-by-nc-4.0"),
        ("cc-by-sa-4.0", "mit"),
        ("cc-by-4.0", "cc0-1.0"),
        ("custom", "mit"),
        ("cc-by-nd-4.0", "cc-by-nd-4.0"),
        ("mit", "my own"),
    ],
)
def test_a_wider_licence_than_a_source_s_is_refused(source: str, claimed: str) -> None:
    with pytest.raises(UsageError, match="a source is under"):
        licence_for([None, source], claimed)


def test_export_refuses_it_before_anything_is_written(terminal: Terminal) -> None:
    terminal.dialogue(written("talk.json", TALK), "--out", "run", "--quiet")
    with contextlib.closing(sqlite3.connect("run/run.db")) as db, db:
        for position, text in db.execute("SELECT position, input FROM items WHERE state <> 'failed'").fetchall():
            row: dict[str, Any] = json.loads(text)
            row["source"]["license"] = "CC-BY-NC-SA-4.0"
            db.execute("UPDATE items SET input = ? WHERE position = ?", (json.dumps(row), position))
    said = terminal.type("export", "run", "--format", "csv", "--license", "mit")
    assert (said.code, "a source is under `cc-by-nc-sa-4.0`" in said.err) == (2, True)
    assert not Path("run/exports").exists()
    assert terminal.type("export", "run", "--format", "csv").code == 0
    assert 'license: "cc-by-nc-sa-4.0"' in Path("run/exports/csv/README.md").read_text()
