from __future__ import annotations

import pytest

from magid_graph.config import Check, Qa, Retry
from magid_graph.nodes.qa import judged_similarity, refusal, verdict
from magid_graph.records import Attempt, Limits, Reason, Scores, Verdict

LIMITS = Limits(min_clip_similarity=0.21, min_aesthetic=5.1, max_nsfw=0.5)


def scores(**known: float) -> Scores:
    empty = Scores(clip_similarity=None, clip_utterance=None, clip_description=None, aesthetic=None, nsfw=None)
    return {**empty, **known}  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("check", "measured", "reason"),
    [
        ("safety", {"nsfw": 0.5}, None),
        ("safety", {"nsfw": 0.51}, "unsafe"),
        ("safety", {"nsfw": float("nan")}, "unsafe"),
        ("safety", {}, "unchecked"),
        ("match", {"clip_similarity": 0.21}, None),
        ("match", {"clip_similarity": 0.2099}, "off_topic"),
        ("match", {"clip_similarity": float("nan")}, "off_topic"),
        ("match", {}, "unchecked"),
        ("aesthetic", {"aesthetic": 5.1}, None),
        ("aesthetic", {"aesthetic": 5.09}, "ugly"),
        ("aesthetic", {}, "unchecked"),
    ],
)
def test_a_check_refuses_what_is_beyond_its_limit(
    check: Check, measured: dict[str, float], reason: Reason | None
) -> None:
    assert refusal(check, scores(**measured), LIMITS) == reason


def follow(reasons: list[Reason | None], retry: Retry) -> list[Verdict]:
    """The verdicts of a whole moment."""
    attempts: list[Attempt] = []
    for n, reason in enumerate(reasons):
        decided = verdict(reason, attempts, retry)
        attempts.append({"n": n, "verdict": decided})  # type: ignore[typeddict-item]
    return [attempt["verdict"] for attempt in attempts]


@pytest.mark.parametrize(
    ("retry", "verdicts"),
    [
        (
            Retry(regenerate=2, feedback=1),
            ["regenerate", "regenerate", "feedback", "regenerate", "regenerate", "discard"],
        ),
        (Retry(regenerate=0, feedback=2), ["feedback", "feedback", "discard"]),
        (Retry(regenerate=1, feedback=0), ["regenerate", "discard"]),
        (Retry(regenerate=0, feedback=0), ["discard"]),
    ],
)
def test_a_moment_that_always_fails_takes_every_edge_and_ends(retry: Retry, verdicts: list[Verdict]) -> None:
    assert follow(["ugly"] * len(verdicts), retry) == verdicts
    assert len(verdicts) == retry.max_attempts()


def test_a_good_picture_ends_the_moment() -> None:
    assert follow(["ugly", "off_topic", "unsafe", None], Retry()) == ["regenerate", "regenerate", "feedback", "accept"]


def test_a_description_refused_before_drawing_is_not_drawn_again() -> None:
    assert verdict("unsafe", [], Retry(regenerate=2, feedback=1), is_drawn=False) == "feedback"
    assert verdict("unsafe", [], Retry(regenerate=2, feedback=0), is_drawn=False) == "discard"


@pytest.mark.parametrize(("against", "judged"), [("utterance", 0.2), ("description", 0.3), ("both", 0.2)])
def test_the_similarity_that_counts_is_chosen_by_a_setting(against: str, judged: float) -> None:
    qa = Qa(clip_against=against)  # type: ignore[arg-type]
    assert judged_similarity({"clip_utterance": 0.2, "clip_description": 0.3}, qa) == judged
