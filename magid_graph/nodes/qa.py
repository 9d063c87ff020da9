"""QA: measures a picture and judges it. A check that cannot run is a refusal."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from langgraph.runtime import Runtime

from magid_graph.config import Check, Qa, Retry
from magid_graph.context import Context
from magid_graph.errors import RunStopped
from magid_graph.readers.text import normalise
from magid_graph.records import Attempt, ImageFile, Limits, Reason, Scores, Verdict
from magid_graph.state import Assessed, Drawing, IllustrateState, Judged

logger = logging.getLogger(__name__)

Measured = Mapping[str, float]


async def assess(state: IllustrateState, runtime: Runtime[Context]) -> Assessed:
    """Measure the last picture, judge it, and decide what follows."""
    ctx, drawing = runtime.context, state["drawing"]
    scores, judged = await _examine(ctx, state, drawing)
    reason = judged["reason"]
    decided = verdict(reason, state["attempts"], ctx.settings.retry, is_drawn=drawing["image"] is not None)
    attempt: Attempt = {
        "turn": state["turn"],
        "n": len(state["attempts"]),
        "description": state["description"],
        "prompt": drawing["prompt"],
        "fitted": drawing["fitted"],
        "seed": drawing["seed"],
        "image": drawing["image"],
        "scores": scores,
        "limits": ctx.settings.qa.limits(),
        "reason": reason,
        "note": judged["note"],
        "verdict": decided,
    }
    return {"attempts": [attempt], "verdict": decided}


def refusal(check: Check, scores: Scores, limits: Limits) -> Reason | None:
    """Why this check refuses the picture. A score that is missing is a refusal."""
    value, limit, reason = {
        "safety": (scores["nsfw"], limits["max_nsfw"], "unsafe"),
        "match": (scores["clip_similarity"], limits["min_clip_similarity"], "off_topic"),
        "aesthetic": (scores["aesthetic"], limits["min_aesthetic"], "ugly"),
    }[check]
    if value is None:
        return "unchecked"
    # Written so that a not-a-number score fails.
    passes = value <= limit if check == "safety" else value >= limit
    return None if passes else reason  # type: ignore[return-value]


def verdict(reason: Reason | None, earlier: Sequence[Attempt], retry: Retry, *, is_drawn: bool = True) -> Verdict:
    """What follows an attempt that was refused for `reason`, after the `earlier` ones of the same moment."""
    if reason is None:
        return "accept"
    rounds = sum(attempt["verdict"] == "feedback" for attempt in earlier)
    redrawn = len(earlier) - max((a["n"] + 1 for a in earlier if a["verdict"] == "feedback"), default=0)
    # A description that was refused before drawing would be refused again.
    if is_drawn and redrawn < retry.regenerate:
        return "regenerate"
    # Another description does not help a check that cannot run.
    return "feedback" if rounds < retry.feedback and reason != "unchecked" else "discard"


async def _examine(ctx: Context, state: IllustrateState, drawing: Drawing) -> tuple[Scores, Judged]:
    """All scores that were measured, and the first failure."""
    scores = Scores(clip_similarity=None, clip_utterance=None, clip_description=None, aesthetic=None, nsfw=None)
    image = drawing["image"]
    if image is None:
        return scores, Judged(reason="unsafe", note=f"the description holds `{drawing['refused_term']}`")
    first = Judged(reason=None, note=None)
    for check in ctx.settings.qa.checks:
        judged = await _run_check(ctx, check, state, image, scores)
        first = first if first["reason"] else judged
        if first["reason"] and not ctx.settings.qa.measure_all:
            break
    return scores, first


async def _run_check(ctx: Context, check: Check, state: IllustrateState, image: ImageFile, scores: Scores) -> Judged:
    """Measure one check into `scores` and judge it; a check that raises refuses the picture."""
    try:
        scores.update(await _MEASURES[check](ctx, state, image))  # type: ignore[typeddict-item]
    except RunStopped:
        raise
    except Exception as error:
        logger.warning("the %s check raised", check, exc_info=True)
        if check in ctx.settings.qa.never_refuse:
            return Judged(reason=None, note=None)
        return Judged(reason="unchecked", note=normalise(f"{check}: {str(error) or type(error).__name__}"))
    reason = None if check in ctx.settings.qa.never_refuse else refusal(check, scores, ctx.settings.qa.limits())
    return Judged(reason=reason, note=f"{check}: no score" if reason == "unchecked" else None)


async def _measure_safety(ctx: Context, state: IllustrateState, image: ImageFile) -> Measured:
    return {"nsfw": round(float(await ctx.desk.nsfw(image)), 6)} if ctx.desk.models.safety else {}


async def _measure_match(ctx: Context, state: IllustrateState, image: ImageFile) -> Measured:
    said, described = state["context"][-1]["text"], state["description"]
    picture, utterance, description = await ctx.desk.vectors(ctx.desk.models.clip, image, said, described)
    cosines = {
        "clip_utterance": round(float(picture @ utterance), 6),
        "clip_description": round(float(picture @ description), 6),
    }
    return {**cosines, "clip_similarity": judged_similarity(cosines, ctx.settings.qa)}


def judged_similarity(cosines: Measured, qa: Qa) -> float:
    """The cosine that is held against the limit: the smaller one where both count."""
    against = ("utterance", "description") if qa.clip_against == "both" else (qa.clip_against,)
    return min(cosines[f"clip_{name}"] for name in against)


async def _measure_aesthetic(ctx: Context, state: IllustrateState, image: ImageFile) -> Measured:
    models = ctx.desk.models
    if models.aesthetic is None:
        return {}
    (vector,) = await ctx.desk.vectors(models.aesthetic_clip, image)
    return {"aesthetic": round(float(models.aesthetic.score(vector[None])[0]), 4)}


_MEASURES: Mapping[Check, Callable[[Context, IllustrateState, ImageFile], Awaitable[Measured]]] = {
    "safety": _measure_safety,
    "match": _measure_match,
    "aesthetic": _measure_aesthetic,
}
