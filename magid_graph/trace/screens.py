"""The run at a glance, in the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from magid_graph.trace.branch import branches_of
from magid_graph.trace.glance import Glance, Histogram
from magid_graph.trace.judging import fault_of
from magid_graph.trace.reading import Trace

if TYPE_CHECKING:
    from magid_graph.run_dir import RunDir

COLOURS = {
    **{"accepted": "green", "rejected": "red", "failed": "magenta", "pending": "dim"},
    **{"accept": "green", "regenerate": "yellow", "feedback": "cyan", "discard": "red"},
}
_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH = 24
"""Of a bar of 100 %, in characters."""


def at_a_glance(run: RunDir, seen: Glance, *, is_chosen: bool) -> RenderableType:
    """What `magid-graph trace RUN` shows; `is_chosen`: of the items that the filters let pass."""
    parts: list[RenderableType] = [_title(run, seen, is_chosen=is_chosen), _states(seen)]
    if seen.moments and not is_chosen:
        parts += [_section("the graph, with how often each edge was taken"), _graph(run, seen)]
    if seen.moments:
        parts += [_section("by attempt"), _by_attempt(run, seen)]
        parts += [_section("scores against their limits"), *(_histogram(one) for one in seen.histograms())]
    if seen.pairs:
        parts += [_section("pairs by iteration"), _pairs(seen.pairs)]
    if not is_chosen:
        parts += _causes(seen)
        parts += [_section("where the time went"), _times(seen)]
    return Group(*parts)


def items_table(traces: Iterable[Trace]) -> Table:
    """One line for each item."""
    table = _table(("item", "left"), ("state", "left"), ("attempts", "right"), ("time", "right"), ("why", "left"))
    for trace in traces:
        counts = "+".join(str(len(attempts)) for attempts in trace.moments().values())
        table.add_row(
            Text(trace.key, overflow="fold"),
            Text(trace.state, COLOURS[trace.state]),
            counts or "–",
            duration(trace.duration_s),
            Text(_why(trace) or "–", overflow="fold"),
        )
    return table


def _why(trace: Trace) -> str:
    """Why the item, or each of its moments, has no picture."""
    whole = [f"{trace.reason}: {trace.message}" if trace.message else trace.reason or ""]
    moments = [
        f"turn {turn}: {fault_of(attempts[-1])}"
        for turn, attempts in trace.moments().items()
        if attempts[-1]["verdict"] == "discard"
    ]
    return "\n".join(line for line in (moments or whole) if line)


def _title(run: RunDir, seen: Glance, *, is_chosen: bool) -> Text:
    count = seen.items.total()
    noun = {"dialogue": "dialogue", "pairs": "chain"}[run.kind()] + ("" if count == 1 else "s")
    chosen = " that match" if is_chosen else ""
    made = f" · {run.manifest['preset']} · {run.manifest['created_at'].replace('T', ' ').rstrip('Z')} UTC"
    return Text.assemble(
        (str(run.path), "bold"), f"\n{count:,} {noun}{chosen}, {seen.moments:,} moments", (made, "dim")
    )


def _drawn(run: RunDir) -> str:
    """What attempts are made for."""
    return {"dialogue": "moments", "pairs": "iterations"}[run.kind()]


def _states(seen: Glance) -> Text:
    line = Text("\n")
    total = max(1, seen.items.total())
    for state in ("accepted", "rejected", "failed", "pending"):
        line.append("█" * _part(seen.items[state], total, 48), COLOURS[state])
    line.append("\n")
    for state in ("accepted", "rejected", "failed", "pending"):
        line.append(f"{state} {seen.items[state]:,}   ", COLOURS[state])
    return line


def _part(count: int, total: int, width: int) -> int:
    """Characters of a bar; what is there at all is seen."""
    return max(1, round(width * count / total)) if count else 0


def _graph(run: RunDir, seen: Glance) -> Text:
    from magid_graph.diagram import as_text, diagram_of
    from magid_graph.graph import GRAPHS

    name = "dialogue" if run.kind() == "dialogue" else "chain"
    drawn = diagram_of(GRAPHS[name](), {})
    edges = tuple(
        replace(edge, label=f"{edge.label} {seen.edges[edge.id]:,}") if edge.label and edge.source != "START" else edge
        for edge in drawn.edges
    )
    text = Text(as_text(replace(drawn, edges=edges)), no_wrap=True, overflow="crop")
    for verdict in ("accept", "regenerate", "feedback", "discard"):
        text.highlight_regex(rf"{verdict} [\d,]+", COLOURS[verdict])
    return text


def _by_attempt(run: RunDir, seen: Glance) -> Table:
    verdicts = ("accept", "regenerate", "feedback", "discard")
    table = _table(
        ("attempt", "right"), *((verdict, "right") for verdict in verdicts), ("rescues", "right"), ("", "left")
    )
    for row in seen.judged():
        counts = [row["accept"], row["regenerate"], row["feedback"], row["discard"]]
        table.add_row(
            str(row["attempt"]),
            *(
                Text(f"{n:,}" if n else "–", COLOURS[name] if n else "dim")
                for name, n in zip(verdicts, counts, strict=True)
            ),
            f"{row['rescued']:.1%}",
            Text("█" * _part(row["accept"], seen.moments, _WIDTH), "green"),
        )
    kept = sum(row["accept"] for row in seen.judged())
    table.add_row(
        "", Text(f"{kept:,}", "bold green"), "", "", "", Text(f"{kept / seen.moments:.1%}", "bold"), "of moments"
    )
    return table


def _histogram(one: Histogram) -> RenderableType:
    """Bars from the lowest score to the highest, red where the limit refuses, with the limit below."""
    tallest, width = max(one["bins"]), (one["high"] - one["low"]) / len(one["bins"]) or 1.0
    at = min(len(one["bins"]) - 1, int((one["limit"] - one["low"]) / width))
    is_most = one["limit_name"].startswith("max_")
    bars = Text()
    for n, count in enumerate(one["bins"]):
        refuses = n > at if is_most else n < at
        bar = _BARS[max(1, round(8 * count / tallest))] if count else "·"
        bars.append(bar, ("red" if refuses else "green") if count else "dim")
    line = Text.assemble(f"  {one['score']:<17} {one['low']:>7.3f} ", bars, f" {one['high']:.3f}\n")
    told = Text.assemble("  ", (f"{one['passed']:,} pass", "green"), ", ", (f"{one['refused']:,} refused", "red"))
    told.pad_right(max(0, 28 - len(told)))
    sign = "≤" if is_most else "≥"
    return line + told + Text(" " * at + f"↑ {sign} {one['limit']:g}", "dim")


def _causes(seen: Glance) -> list[RenderableType]:
    parts: list[RenderableType] = []
    table = _table(("", "left"), ("why", "left"), ("how many", "right"))
    for state in ("failed", "rejected", "given up"):
        for reason, count in seen.why.get(state, {}).items():
            name = "moments given up" if state == "given up" else f"{state} items"
            table.add_row(Text(name, COLOURS.get(state, "red")), reason, f"{count:,}")
    if table.row_count:
        parts += [_section("what ended without a picture"), table]
    if seen.most_redrawn:
        table = _table(("item", "left"), ("turn", "right"), ("attempts", "right"), ("end", "left"))
        for attempts, key, turn, end in sorted(seen.most_redrawn, reverse=True):
            table.add_row(
                Text(key, overflow="fold"), str(turn), str(attempts), Text(end, "green" if end == "accepted" else "red")
            )
        parts += [_section("most redrawn"), table]
    return parts


def _times(seen: Glance) -> RenderableType:
    table = _table(("node", "left"), ("runs", "right"), ("mean", "right"), ("", "left"))
    total = sum(seconds for _, seconds in seen.seconds.values()) or 1.0
    for node, (runs, seconds) in sorted(seen.seconds.items(), key=lambda entry: -entry[1][1]):
        share = Text("█" * round(_WIDTH * seconds / total), "blue").append(f" {seconds / total:.0%}", "dim")
        table.add_row(node, f"{int(runs):,}", duration(seconds / runs), share)
    slowest = ", ".join(f"{key} {duration(seconds)}" for seconds, key in sorted(seen.slowest, reverse=True)[:3])
    return Group(table, Text(f"  slowest: {slowest}  (with waiting)", "dim"))


def _pairs(pairs: Mapping[int, int]) -> Table:
    table = _table(("iteration", "right"), ("pairs", "right"), ("", "left"))
    for iteration, count in sorted(pairs.items()):
        table.add_row(str(iteration), f"{count:,}", Text("█" * _part(count, max(pairs.values()), _WIDTH), "green"))
    return table


def _section(title: str) -> Text:
    return Text(f"\n{title}", "bold")


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=True, padding=(0, 1), header_style="dim")
    for name, justify in columns:
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    return table


def next_steps(run: RunDir, seen: Glance, shown: Sequence[Trace]) -> list[str]:
    """What to type next: the item that is most worth looking at, or the ones that went wrong."""
    command = f"magid-graph trace {shlex.quote(str(run.path))}"
    if shown:
        worth = next((trace.key for trace in shown if trace.reasons()), shown[0].key)
    elif seen.most_redrawn:
        worth = max(seen.most_redrawn)[1]
    else:
        return []
    steps = [f"`{command} {shlex.quote(worth)}` shows one item step by step"]
    gone = {reason for state in ("rejected", "given up") for reason in seen.why.get(state, {})} - {"no_moment"}
    if not shown and gone:
        steps.append(f"`{command} --reason {sorted(gone)[0]}` lists what ended without a picture for that reason")
    if not shown and (branches := branches_of(run)):
        newest = shlex.quote(str(branches[-1]))
        steps.append(
            f"`magid-graph trace diff {newest}` compares the newest of {len(branches):,} branches with this run"
        )
    return steps


def duration(seconds: float | None) -> str:
    """Seconds as a person reads them."""
    return "–" if seconds is None else f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
