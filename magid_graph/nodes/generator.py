"""Generator: draws the description."""

from __future__ import annotations

from langgraph.runtime import Runtime

from magid_graph import prompts
from magid_graph.context import Context
from magid_graph.errors import BlankPicture, ReplyFault
from magid_graph.models import TextToImage
from magid_graph.models.diffusion import styled
from magid_graph.models.grammars import shorten_grammar
from magid_graph.models.safety import read_terms, unsafe_term
from magid_graph.protocol import parse_shortened
from magid_graph.records import Fitted, ImageFile
from magid_graph.seeds import seed_for
from magid_graph.state import Drawing, Drawn, IllustrateState


async def draw(state: IllustrateState, runtime: Runtime[Context]) -> Drawn:
    """Draw the description, with a new seed for each attempt."""
    ctx, description = runtime.context, state["description"]
    seed = _seed(ctx, state, fault=0)
    prompt, fitted = await _fit(ctx, state)
    terms = (*read_terms(), *ctx.settings.qa.blocked_terms)
    # The description too: it goes into the data set, and shortening may have dropped the word.
    if (term := unsafe_term(f"{description}\n{prompt}", terms)) is not None:
        return {"drawing": Drawing(prompt=prompt, fitted=fitted, seed=seed, image=None, refused_term=term)}
    image, seed = await _draw_until_not_blank(ctx, state, prompt)
    return {"drawing": Drawing(prompt=prompt, fitted=fitted, seed=seed, image=image, refused_term=None)}


async def _draw_until_not_blank(ctx: Context, state: IllustrateState, prompt: str) -> tuple[ImageFile, int]:
    """A blank picture is a fault of the model, not a verdict: it is drawn again without counting as an attempt."""
    draws = ctx.settings.generator.max_faults + 1
    for fault in range(draws * ctx.retries, draws * (1 + ctx.retries)):
        seed = _seed(ctx, state, fault=fault)
        try:
            return await ctx.desk.draw(prompt, seed, retry=bool(state["attempts"]) or fault > 0), seed
        except BlankPicture as error:
            last = error
    raise last


def _seed(ctx: Context, state: IllustrateState, *, fault: int) -> int:
    chosen = ctx.seeds.get((state["turn"], len(state["attempts"])))
    if chosen is not None:
        return chosen + fault
    return seed_for(ctx.settings.run.seed, state["key"], state["turn"], len(state["attempts"]), fault)


async def _fit(ctx: Context, state: IllustrateState) -> tuple[str, Fitted]:
    """The prompt to draw, short enough for the text encoder, and whether it is `whole`, `shortened` or `cut`."""
    for attempt in state["attempts"]:
        if attempt["description"] == state["description"]:
            return attempt["prompt"], attempt["fitted"]
    model, style = ctx.desk.models.text_to_image, ctx.settings.generator.style
    prompt = styled(state["description"], style)
    if model.count_tokens(prompt) <= model.max_tokens:
        return prompt, "whole"
    if ctx.settings.generator.too_long == "shorten":
        shorter = styled(await _shorten(ctx, state), style)
        if model.count_tokens(shorter) <= model.max_tokens:
            return shorter, "shortened"
    return _cut(model, state["description"], style), "cut"


def _cut(model: TextToImage, description: str, style: str) -> str:
    """The longest beginning of the description, in whole words, that fits together with the style."""
    words = model.cut(description).split()
    while len(words) > 1 and model.count_tokens(styled(" ".join(words), style)) > model.max_tokens:
        words.pop()
    return model.cut(styled(" ".join(words), style))


async def _shorten(ctx: Context, state: IllustrateState) -> str:
    """The description in fewer words, by the language model; unchanged where its reply is of no use."""
    # English takes about 1.4 CLIP tokens a word; the style suffix and special tokens want room too.
    max_words = max(5, int(ctx.desk.models.text_to_image.max_tokens / 1.6) - len(ctx.settings.generator.style.split()))
    is_brief = ctx.settings.scanner.is_brief
    name = "shorten/brief" if is_brief else "shorten/full"
    reply = await ctx.ask(
        "generator",
        prompts.render(name, description=state["description"], max_words=max_words),
        seed=_seed(ctx, state, fault=0),
        turn=state["turn"],
        grammar=shorten_grammar(max_words, is_brief=is_brief, said=state["description"] if is_brief else None),
    )
    try:
        return parse_shortened(reply.text, max_words)
    except ReplyFault:
        return state["description"]
