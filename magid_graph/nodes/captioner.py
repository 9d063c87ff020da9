"""Captioner: describes the picture. What it says is the pair's text, and is drawn next."""

from __future__ import annotations

from collections.abc import Iterator

from langgraph.runtime import Runtime

from magid_graph.config import Cycle
from magid_graph.context import Context
from magid_graph.errors import BlankCaption
from magid_graph.models.safety import read_terms, unsafe_term
from magid_graph.protocol import normalised
from magid_graph.records import Drift, End, ImageFile, Pair, PairModels, Scores, Turn
from magid_graph.seeds import seed_for
from magid_graph.state import Captioned, Looking

_ASKED = 2
"""Times that a picture is shown to a captioner that says nothing."""


async def look(state: Looking, runtime: Runtime[Context]) -> Captioned:
    """Write the caption, measure how far the chain has come, and decide whether it goes on."""
    ctx, drawing = runtime.context, state["drawing"]
    if drawing["image"] is None:
        return _captioned(state, state["description"], [], "refused")
    caption = await _caption(ctx, state, drawing["image"])
    pair = await _pair(ctx, state, drawing["image"], caption)
    return _captioned(state, caption, [pair], end(pair, ctx.settings.cycle))


def end(pair: Pair, cycle: Cycle) -> End | None:
    """Why the pair is the last of its chain, if it is."""
    if pair["iteration"] + 1 >= cycle.iterations:
        return "iterations"
    if cycle.stop_fixed_point and pair["is_fixed_point"]:
        return "fixed_point"
    drift = pair["drift"]["text"]
    return "drift" if cycle.stop_drift is not None and drift is not None and drift > cycle.stop_drift else None


def _captioned(state: Looking, caption: str, pairs: list[Pair], ended: End | None) -> Captioned:
    return {
        "pairs": pairs,
        "ended": ended,
        "turn": state["turn"] + 1,
        "context": [Turn(speaker=None, text=caption)],
        "description": caption,
        "attempts": [],
    }


async def _caption(ctx: Context, state: Looking, image: ImageFile) -> str:
    for fault in range(_ASKED * ctx.retries, _ASKED * (1 + ctx.retries)):
        seed = seed_for(ctx.settings.run.seed, state["key"], "captioner", state["turn"], fault)
        caption = " ".join((await ctx.desk.caption(image, seed)).split())
        if normalised(caption):
            return caption
    raise BlankCaption(f"the captioner says nothing about `{image['path']}`; `magid-graph retry` asks again")


async def _pair(ctx: Context, state: Looking, image: ImageFile, caption: str) -> Pair:
    attempt = state["attempts"][-1] if state["attempts"] else None
    agreement, drift = await _measure(ctx, state, image, caption)
    # The caption goes into the data set too, and nobody has looked at it yet.
    is_unsafe = unsafe_term(caption, (*read_terms(), *ctx.settings.qa.blocked_terms)) is not None
    reason = "unsafe" if is_unsafe else attempt["reason"] if attempt else None
    models = ctx.desk.models
    assert models.captioner is not None
    return Pair(
        id=f"{state['key']}-i{state['turn']:02d}",
        key=state["key"],
        batch=state["batch"],
        chain=state["chain"],
        iteration=state["turn"],
        parent=state["pairs"][-1]["id"] if state["pairs"] else None,
        topic=state["topic"],
        description=attempt["description"] if attempt else None,
        prompt=attempt["prompt"] if attempt else None,
        fitted=attempt["fitted"] if attempt else None,
        caption=caption,
        seed=attempt["seed"] if attempt else None,
        image=image,
        scores=attempt["scores"] if attempt else _UNMEASURED,
        agreement=agreement,
        drift=drift,
        phash=await ctx.desk.phash(image),
        is_fixed_point=normalised(caption) in map(normalised, _earlier(state)),
        models=PairModels(
            text_to_image=models.text_to_image.model_id if attempt else None, captioner=models.captioner.model_id
        ),
        accepted=reason is None,
        reason=reason,
    )


def _earlier(state: Looking) -> Iterator[str]:
    """The texts of the chain so far, those that feedback wrote included."""
    yield state["first"] or ""
    for pair in state["pairs"]:
        yield from (pair["description"] or "", pair["caption"])
    yield from (attempt["description"] for attempt in state["attempts"])


_UNMEASURED = Scores(clip_similarity=None, clip_utterance=None, clip_description=None, aesthetic=None, nsfw=None)


async def _measure(ctx: Context, state: Looking, image: ImageFile, caption: str) -> tuple[float, Drift]:
    """Agreement of picture and caption, and how far both are from where the chain began."""
    first_picture = state["pairs"][0]["image"] if state["pairs"] else image
    first_text = state["first"] or (state["pairs"][0]["caption"] if state["pairs"] else caption)
    picture, said, begun_text, begun_picture = await ctx.desk.vectors(
        ctx.desk.models.clip, image, caption, first_text, first_picture
    )
    drift = Drift(text=_distance(said, begun_text), image=_distance(picture, begun_picture))
    return round(float(picture @ said), 6), drift


def _distance(one: object, other: object) -> float:
    # Not below 0, which a cosine of a little more than 1 would give.
    return max(0.0, round(1 - float(one @ other), 6))  # type: ignore[operator]
