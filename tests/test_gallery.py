from __future__ import annotations

from pathlib import Path

from magid_graph.exporters.gallery import write_gallery
from magid_graph.exporters.items import FinishedItem
from magid_graph.records import Attempt, Turn, Verdict


def attempt(turn: int, verdict: Verdict, description: str = "a dog") -> Attempt:
    return {
        "turn": turn,
        "n": 0,
        "description": description,
        "prompt": description,
        "fitted": "whole",
        "seed": 1,
        "image": {"sha256": "ab", "path": "images/ab/ab.png", "width": 8, "height": 8},
        "scores": {
            "clip_similarity": 0.25,
            "clip_utterance": 0.2,
            "clip_description": 0.25,
            "aesthetic": 6.5,
            "nsfw": None,
        },
        "limits": {"min_clip_similarity": 0.21, "min_aesthetic": 5.1, "max_nsfw": 0.5},
        "reason": None if verdict == "accept" else "off_topic",
        "note": None,
        "verdict": verdict,
    }


def item(texts: list[str], attempts: list[Attempt]) -> FinishedItem:
    turns: list[Turn] = [{"speaker": None, "text": text} for text in texts]
    return {
        "key": "k",
        "state": "accepted" if any(a["verdict"] == "accept" for a in attempts) else "rejected",
        "reason": None,
        "dialogue": {"key": "k", "turns": turns, "source": {}},
        "attempts": attempts,
        "exchanges": [],
    }


def test_a_picture_stands_below_its_turn_with_its_scores(tmp_path: Path) -> None:
    page = write_gallery([item(["hello", "look, my dog"], [attempt(1, "accept")])], tmp_path).read_text()
    assert page.index("look, my dog") < page.index('src="images/ab/ab.png"')
    assert "match 0.25, aesthetic 6.50" in page


def test_a_moment_without_a_picture_says_why(tmp_path: Path) -> None:
    page = write_gallery([item(["look, my dog"], [attempt(0, "discard")])], tmp_path).read_text()
    assert "no picture: a dog · off_topic after 1 attempts" in page
    assert "<img" not in page


def test_text_from_strangers_is_inert(tmp_path: Path) -> None:
    nasty = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    page = write_gallery([item([nasty], [attempt(0, "accept", nasty)])], tmp_path).read_text()
    assert "<script" not in page
    assert "onerror=alert(1)>" not in page


def test_a_long_run_shows_its_first_dialogues_and_says_how_many_are_left_out(tmp_path: Path) -> None:
    page = write_gallery((item(["hi"], []) for _ in range(503)), tmp_path).read_text()
    assert page.count("<article>") == 500
    assert "3 more dialogues" in page
