"""One item step by step, as a tree in the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from magid_graph.records import Attempt, Exchange
from magid_graph.trace.judging import fault_of
from magid_graph.trace.pictures import Graphics, Picture
from magid_graph.trace.reading import Trace
from magid_graph.trace.screens import COLOURS, duration
from magid_graph.trace.steps import Step

_FOLDED = 160
"""Characters of a prompt or reply that are shown unless all of it is asked for."""


@dataclass(frozen=True, slots=True)
class Look:
    """How much is drawn."""

    run_dir: Path
    graphics: Graphics
    columns: int
    """Of a picture."""
    is_full: bool
    """Prompts and replies whole."""


def item_tree(trace: Trace, look: Look, nodes: Sequence[str] = ()) -> Tree:
    """What `magid-graph trace RUN ITEM` shows; `nodes`: only these."""
    tree = Tree(_title(trace), guide_style="dim")
    for turn, steps in trace.branches().items():
        place = tree if turn is None else tree.add(_branch_title(trace, turn))
        for number, together in _by_attempt([step for step in steps if not nodes or step.node in nodes]):
            if number is None:
                _add_step(place, together[0], look)
            else:
                _add_attempt(place, number, together, look)
    if not trace.steps:
        tree.add(Text("no node has run on it yet" if trace.state == "pending" else "no node ran on it", "dim"))
    return tree


def next_steps(trace: Trace, command: str) -> list[str]:
    """What to type next: `command` is `magid-graph trace`, `{}`, and the run and the item."""
    steps = [f"`{command.format('')} --full` unfolds prompts and replies"]
    for turn, attempts in trace.moments().items():
        if attempts[-1]["verdict"] == "discard":
            place = f"--from generator#1 --turn {turn}" if len(trace.moments()) > 1 else "--from generator#1"
            words = f'`{command.format(" replay")} {place} --description "…"`'
            steps.append(f"{words} draws turn {turn} from a description of yours, beside this run")
            break
    return steps


def _by_attempt(steps: Sequence[Step]) -> Iterator[tuple[int | None, list[Step]]]:
    """Drawing and judging of an attempt together; other node runs alone."""
    together: list[Step] = []
    for step in steps:
        if step.node not in ("generator", "qa"):
            if together:
                yield together[0].number, together
            together = []
            yield None, [step]
        elif together and step.number != together[0].number:
            yield together[0].number, together
            together = [step]
        else:
            together.append(step)
    if together:
        yield together[0].number, together


def _title(trace: Trace) -> RenderableType:
    drawn = "moments" if trace.kind == "dialogue" else "iterations"
    counts = f"{len(trace.moments())} {drawn}, {len(trace.attempts)} attempts, {duration(trace.duration_s)}"
    lines = [Text.assemble((trace.key, "bold"), " · ", (trace.state, f"bold {COLOURS[trace.state]}"), f" · {counts}")]
    if trace.reason:
        why = f"{trace.reason}: {trace.message}" if trace.message else trace.reason
        lines.append(Text(why, COLOURS[trace.state]))
    if trace.retries:
        lines.append(Text(f"taken up again {trace.retries} times after it had failed", "dim"))
    return Group(*lines)


def _branch_title(trace: Trace, turn: int) -> Text:
    if trace.dialogue is None:
        return Text(f"iteration {turn}", "bold")
    said = trace.dialogue["turns"][turn]
    speaker = f"{said['speaker']}: " if said["speaker"] else ""
    return Text.assemble((f"turn {turn}", "bold"), "  ", (f"{speaker}“{said['text']}”", "italic"))


def _add_attempt(place: Tree, number: int, steps: Sequence[Step], look: Look) -> None:
    attempt = next((step.attempt for step in steps if step.attempt), None)
    if attempt is None:
        for step in steps:
            _add_step(place, step, look)
        return
    why = next((step.why for step in steps if step.node == "qa"), "")
    colour = COLOURS[attempt["verdict"]]
    head = Text.assemble((f"attempt {number}", "bold"), "  ", (f"→ {attempt['verdict']}", f"bold {colour}"), f"  {why}")
    told = Group(*_lines(attempt), *(line for step in steps for line in _step_lines(step, look)))
    body: RenderableType = told
    if attempt["image"] is not None and look.graphics != "none":
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=look.columns)
        grid.add_column()
        grid.add_row(Picture(look.run_dir / attempt["image"]["path"], look.columns, look.graphics), told)
        body = grid
    place.add(Group(head, body))


def _lines(attempt: Attempt) -> Iterator[Text]:
    yield Text(f"“{attempt['description']}”")
    if attempt["prompt"] != attempt["description"]:
        yield Text.assemble((f"drawn ({attempt['fitted']}): ", "dim"), attempt["prompt"])
    if attempt["note"]:
        yield Text(attempt["note"], "yellow")
    if attempt["image"] is not None:
        yield Text.assemble(("seed ", "dim"), str(attempt["seed"]))
        # Whole, to be copied: a path that is cut with dots opens nothing.
        yield Text(attempt["image"]["path"], "dim", overflow="fold")


def _step_lines(step: Step, look: Look) -> Iterator[Text]:
    first_failed = fault_of(step.attempt).partition(": ")[2] if step.attempt else ""
    for one in step.scores():
        if one.value is None:
            yield Text(f"  {one}", "dim")
        elif one.passes:
            yield Text.assemble(("✓ ", "green"), str(one))
        else:
            failed_first = "   ← failed first" if str(one) == first_failed else ""
            yield Text.assemble(("✗ ", "red"), (str(one), "red"), (failed_first, "bold red"))
    yield Text.assemble((f"{step.name} ", "dim"), (_times(step), "dim"))
    yield from _told(step, look)


def _add_step(place: Tree, step: Step, look: Look) -> None:
    """A node run that drew and judged nothing."""
    head = Text.assemble((step.name, "bold"), f"  {duration(step.duration_s)}")
    if step.edge:
        head.append(f"  → {step.edge}", "bold")
        head.append(f"  {step.why}")
    lines = [head, Text(f"read {_read(step)}", "dim"), *_told(step, look)]
    for moment in step.wrote.get("moments", ()):
        lines.append(Text(f"wrote turn {moment['turn']}: “{moment['description']}”"))
    if "description" in step.wrote:
        lines.append(Text(f"wrote “{step.wrote['description']}”"))
    for pair in step.wrote.get("pairs", ()):
        drift = "" if pair["drift"]["text"] is None else f", drift of the text {pair['drift']['text']:.3f}"
        kept = "accepted" if pair["accepted"] else f"refused: {pair['reason']}"
        lines.append(Text(f"pair {pair['id']} {kept}{drift}", "green" if pair["accepted"] else "red"))
    if step.error:
        lines.append(Text(step.error, "bold magenta"))
    place.add(Group(*lines))


def _told(step: Step, look: Look) -> Iterator[Text]:
    """What was asked and replied; folded to a line unless all is wanted."""
    for exchange in step.exchanges:
        paid = "from the cache" if exchange["cached"] else f"{exchange['duration_s']:.1f} s"
        tokens = f"{exchange['prompt_tokens']} + {exchange['completion_tokens']} tokens, {paid}"
        yield Text(f"asked {exchange['model']} ({tokens})", "cyan")
        if look.is_full:
            yield from _conversation(exchange)
        else:
            yield Text.assemble(("  reply ", "dim"), _folded(exchange["reply"]))
    if look.is_full and step.read:
        yield Text(f"read {json.dumps(dict(step.read), ensure_ascii=False)}", "dim")


def _conversation(exchange: Exchange) -> Iterator[Text]:
    for message in exchange["messages"]:
        yield Text(f"── {message['role']}", "dim")
        yield Text(message["content"])
    yield Text("── reply", "dim cyan")
    yield Text(exchange["reply"], "cyan")


def _folded(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _FOLDED else f"{line[:_FOLDED]} … (--full)"


def _read(step: Step) -> str:
    """The names of what the node saw, and how much of it."""
    sizes = {name: f"{len(value)} {name}" for name, value in step.read.items() if isinstance(value, list)}
    return ", ".join(sizes.get(name, name) for name in step.read if name not in ("key", "verdict"))


def _times(step: Step) -> str:
    return duration(step.duration_s)
