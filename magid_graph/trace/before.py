"""What the state was before a node run.

The journal keeps everything once: a picture and its description are in the attempt's row, not in the spans that led
to it. Here they are put back where they were read and written.
"""

from __future__ import annotations

from typing import Any

from magid_graph.records import Span, Turn, is_chain
from magid_graph.state import Drawing
from magid_graph.trace.rows import Row


def state_before(row: Row, span: Span) -> dict[str, Any]:
    """The slice of state that the node saw when it began; what the graph is run on from in a replay."""
    turn, n = span["turn"], span["attempt"] or 0
    if turn is None:
        return {"key": row.key, "turns": _turns(row)}
    of_turn = [attempt for attempt in row.attempts if attempt["turn"] == turn]
    earlier = [attempt for attempt in of_turn if attempt["n"] < n]
    state: dict[str, Any] = {
        "key": row.key,
        "turn": turn,
        "context": _context(row, turn),
        "description": description_of(row, turn, n, is_written=span["node"] != "feedback"),
        "attempts": earlier,
    }
    if earlier:
        state["verdict"] = earlier[-1]["verdict"]
    drawn = drawing_of(row, turn, n if span["node"] == "qa" else n - 1)
    return state if drawn is None else state | {"drawing": drawn}


def chain_before(row: Row, turn: int) -> dict[str, Any]:
    """What the captioner and the routers of a chain see besides the iteration in hand."""
    assert row.input is not None
    assert is_chain(row.input)
    return {
        "key": row.key,
        "batch": row.input["batch"],
        "chain": row.input["chain"],
        "topic": row.input["topic"],
        "first": row.input["description"],
        "pairs": [pair for pair in row.pairs if pair["iteration"] < turn],
    }


def _turns(row: Row) -> list[Turn]:
    return row.input["turns"] if row.input is not None and not is_chain(row.input) else []


def _context(row: Row, turn: int) -> list[Turn]:
    """The utterance with those before it; in a chain, the text that was to be drawn."""
    if row.input is None or not is_chain(row.input):
        return _turns(row)[: turn + 1]
    before = [pair["caption"] for pair in row.pairs if pair["iteration"] == turn - 1]
    return [Turn(speaker=None, text=before[0] if before else row.input["description"] or "")]


def description_of(row: Row, turn: int, n: int, *, is_written: bool) -> str:
    """What attempt `n` is drawn from, or, before feedback has written it, what the attempt before it was."""
    n = n if is_written else n - 1
    for attempt in row.attempts:
        if (attempt["turn"], attempt["n"]) == (turn, n):
            return attempt["description"]
    # Nothing was drawn or judged: whoever wrote the description kept it.
    for span in reversed(row.spans):
        if span["turn"] == turn and span["attempt"] == n and "description" in span["wrote"]:
            return str(span["wrote"]["description"])
        for moment in moments_in(span):
            if moment["turn"] == turn and n == 0:
                return str(moment.get("description", ""))
    return _context(row, turn)[-1]["text"] if turn >= 0 and row.input is not None and is_chain(row.input) else ""


def moments_in(span: Span) -> list[dict[str, Any]]:
    moments = span["wrote"].get("moments", [])
    assert isinstance(moments, list)
    return moments


def drawing_of(row: Row, turn: int, n: int) -> Drawing | None:
    """What the generator made for attempt `n`."""
    kept = next(
        (s for s in row.spans if (s["node"], s["turn"], s["attempt"]) == ("generator", turn, n) and s["wrote"]), None
    )
    if kept is not None and "drawing" in kept["wrote"]:
        return kept["wrote"]["drawing"]  # type: ignore[return-value]
    for attempt in row.attempts:
        if (attempt["turn"], attempt["n"]) == (turn, n):
            return Drawing(
                prompt=attempt["prompt"],
                fitted=attempt["fitted"],
                seed=attempt["seed"],
                image=attempt["image"],
                refused_term=None,
            )
    return _given(row) if turn == 0 else None


def _given(row: Row) -> Drawing | None:
    """The picture that a chain began with."""
    image = row.input.get("image") if row.input is not None and is_chain(row.input) else None
    return None if image is None else Drawing(prompt="", fitted="whole", seed=0, image=image, refused_term=None)
