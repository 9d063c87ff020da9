"""What the state was before a node run.

The journal keeps everything once: a picture and its description are in the attempt's row, not in the spans that led
to it. Here they are put back where they were read and written.
"""

from __future__ import annotations

from typing import Any

from magid_graph.records import Span, is_chain
from magid_graph.state import Drawing
from magid_graph.trace.rows import Row


def state_before(row: Row, span: Span) -> dict[str, Any]:
    """The slice of state that the node saw when it began; what the graph is run on from in a replay."""
    turns = row.input["turns"] if row.input is not None and not is_chain(row.input) else []
    turn, n = span["turn"], span["attempt"] or 0
    if turn is None:
        return {"key": row.key, "turns": turns}
    of_turn = [attempt for attempt in row.attempts if attempt["turn"] == turn]
    earlier = [attempt for attempt in of_turn if attempt["n"] < n]
    state: dict[str, Any] = {
        "key": row.key,
        "turn": turn,
        "context": turns[: turn + 1],
        "description": description_of(row, turn, n, is_written=span["node"] != "feedback"),
        "attempts": earlier,
    }
    if earlier:
        state["verdict"] = earlier[-1]["verdict"]
    drawn = drawing_of(row, turn, n if span["node"] == "qa" else n - 1)
    return state if drawn is None else state | {"drawing": drawn}


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
    return ""


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
    return None
