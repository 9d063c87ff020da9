"""The drawings of the graphs: what they show is what was compiled."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from magid_graph.diagram import Diagram, as_mermaid, as_svg, as_text, diagram_of
from magid_graph.graph import GRAPHS, bounds
from tests.command_line import Terminal
from tests.graph_runs import fake_settings

BOUNDS = {"regenerate": 2, "feedback": 1}


CROSSED = """
   START
     ▼
 ┌───────┐
 │   a   ├── over ──┐
 └───┬───┘          │
     │ in           │
     ▼              │
 ┌───────┐          │
 │   b   ├── out ───┼──┐
 └───┬───┘          │  │
     │ on           │  │
     ▼              │  │
 ┌───────┐          │  │
 │   c   │◄─────────┘  │
 └───┬───┘             │
     ▼                 │
 ┌───────┐             │
 │   d   │             │
 └───────┘             │
                       │
    END ◄──────────────┘
"""

LOOPING = """
                      START
                        ▼
                    ┌───────┐
 ┌─────────────────►│   a   │
 └── again (≤ 3×) ──┤       │
                    └───┬───┘
                        │ done
                        ▼
                       END
"""


class State(TypedDict):
    word: str


def keep(state: State) -> State:
    return state


def built(nodes: str, edges: list[tuple[str, str]], choices: dict[str, dict[str, str]] | None = None) -> Any:
    """A compiled graph of one-letter nodes."""
    graph = StateGraph(State)
    for name in nodes:
        graph.add_node(name, keep)
    for source, target in edges:
        graph.add_edge(source, target)
    for source, ends in (choices or {}).items():
        graph.add_conditional_edges(source, lambda state: state["word"], ends)  # type: ignore[arg-type]
    return graph.compile(name="letters")


@pytest.fixture
def illustrate() -> Diagram:
    return diagram_of(GRAPHS["illustrate"](), BOUNDS)


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_every_edge_of_a_graph_is_in_each_of_its_drawings(name: str) -> None:
    diagram = diagram_of(GRAPHS[name](), bounds(fake_settings()))
    svg = ET.fromstring(as_svg(diagram))
    drawn = [element.get("data-edge") for element in svg.iter() if element.get("data-edge")]
    assert drawn == [edge.id for edge in diagram.edges]
    assert as_mermaid(diagram).count("->") == len(diagram.edges)
    text = as_text(diagram)
    assert all(edge.text in text for edge in diagram.edges if edge.text)
    assert all(node in text for node in diagram.nodes)


def test_a_router_that_ends_twice_is_drawn_with_both_of_its_ends(illustrate: Diagram) -> None:
    ends = [edge.label for edge in illustrate.edges if (edge.source, edge.target) == ("qa", "END")]
    assert ends == ["accept", "discard"]


def test_a_retry_goes_back_on_the_left_and_the_way_out_is_on_the_right(illustrate: Diagram) -> None:
    (line,) = [line for line in as_text(illustrate).splitlines() if "accept" in line]
    assert re.fullmatch(r" *├── regenerate \(≤ 2×\) ─+┤ +qa +├─+ accept ─+┐", line)


def test_bounds_come_from_the_settings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(monkeypatch, capsys)
    changed = terminal.type("graph", "illustrate", "--set", "retry.regenerate=5", "--set", "retry.feedback=0")
    assert "regenerate (≤ 5×)" in changed.out
    assert "feedback (off)" in changed.out


def test_a_router_with_one_end_is_no_choice() -> None:
    diagram = diagram_of(GRAPHS["dialogue"](), BOUNDS)
    assert diagram.nodes == ("START", "scanner", "generator", "qa", "feedback", "END")
    labels = {(edge.source, edge.target): edge.label for edge in diagram.edges}
    assert labels["scanner", "generator"] == "each moment"
    assert labels["generator", "qa"] is None


def test_lanes_that_cross_are_drawn_as_crossing() -> None:
    crossed = built("abcd", [(START, "a"), ("c", "d")], {"a": {"in": "b", "over": "c"}, "b": {"on": "c", "out": END}})
    drawn = as_text(diagram_of(crossed, {}))
    assert drawn == CROSSED.strip("\n")


def test_a_node_that_repeats_itself_has_a_lane_of_its_own() -> None:
    looping = built("a", [(START, "a")], {"a": {"again": "a", "done": END}})
    assert as_text(diagram_of(looping, {"again": 3})) == LOOPING.strip("\n")


def test_what_svg_writes_is_escaped() -> None:
    strange = built("a", [(START, "a")], {"a": {'<b> & "c"': END, "again": "a"}})
    assert '<b> & "c"' in "".join(ET.fromstring(as_svg(diagram_of(strange, {}))).itertext())


def test_a_graph_that_does_not_exist_is_named_with_those_that_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = Terminal(monkeypatch, capsys).type("graph", "nothing")
    assert said.code == 2
    assert "there is no graph `nothing`; graphs: dialogue, illustrate" in said.err


def test_two_forms_at_once_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert Terminal(monkeypatch, capsys).type("graph", "dialogue", "--svg", "--mermaid").code == 2
