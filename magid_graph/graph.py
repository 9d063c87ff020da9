"""The graphs. This file is the picture: every edge is here, and nowhere else.

dialogue:    START -> scanner -+-(no moment)---------------> END
                               +-Send per moment-> illustrate

illustrate:  START -> generator -> qa -+- accept ----------> END
                         ^             +- regenerate -> generator
                         |             +- feedback -> feedback -+
                         +-------------+------------------------+
                                       +- discard ---------> END

The edges of `illustrate` are edges of `dialogue` too, not a graph run inside another: each moment is sent along them on
its own, from node to node, and one run for a dialogue costs half the time and half the memory of one for each moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from magid_graph.config import Retry, Settings
from magid_graph.context import Context
from magid_graph.nodes.feedback import redescribe
from magid_graph.nodes.generator import draw
from magid_graph.nodes.qa import assess
from magid_graph.nodes.scanner import scan
from magid_graph.routing import Router, on_moment
from magid_graph.spans import traced
from magid_graph.state import DialogueInput, DialogueState, Illustrated, IllustrateInput, InHand


def after_scanner(state: DialogueState) -> Sequence[Send] | Literal["no moment"]:
    """Illustrate each moment on its own, all at the same time."""
    branches = [
        begin(
            IllustrateInput(
                key=state["key"],
                turn=moment["turn"],
                context=state["turns"][: moment["turn"] + 1],
                description=moment["description"],
                attempts=[],
            )
        )
        for moment in state["moments"]
    ]
    return branches or "no moment"


def begin(moment: IllustrateInput) -> Send:
    """Draw the moment's first picture."""
    return Send("generator", {"moment": moment})


def after_generator(state: InHand) -> Send:
    """Every picture is judged."""
    return Send("qa", state)


def after_qa(state: InHand) -> Send | Literal["accept", "discard"]:
    """Keep the picture, redraw it with the next seed, ask for a better description, or give up."""
    match state["moment"]["verdict"]:
        case "regenerate":
            return Send("generator", state)
        case "feedback":
            return Send("feedback", state)
        case end:
            return end


def after_feedback(state: InHand) -> Send:
    """Every new description is drawn."""
    return Send("generator", state)


def _illustrated(graph: StateGraph[Any, Context, Any, Any]) -> StateGraph[Any, Context, Any, Any]:
    """The graph with the nodes and edges along which each moment goes."""
    graph.add_node("generator", on_moment(traced("generator", draw)), input_schema=InHand)
    graph.add_node("qa", on_moment(traced("qa", assess)), input_schema=InHand)
    graph.add_node("feedback", on_moment(traced("feedback", redescribe)), input_schema=InHand)
    graph.add_conditional_edges("generator", Router(after_generator), ["qa"])
    graph.add_conditional_edges(
        "qa", Router(after_qa), {"accept": END, "regenerate": "generator", "feedback": "feedback", "discard": END}
    )
    graph.add_conditional_edges("feedback", Router(after_feedback), ["generator"])
    return graph


def illustrate() -> Any:
    """The graph that illustrates one moment."""
    graph = StateGraph(IllustrateInput, context_schema=Context, output_schema=Illustrated)
    graph.add_conditional_edges(START, Router(begin), ["generator"])
    return _illustrated(graph).compile(name="illustrate")


def dialogue() -> Any:
    """The graph that makes one dialogue multi-modal."""
    graph = StateGraph(DialogueState, context_schema=Context, input_schema=DialogueInput)
    graph.add_node("scanner", traced("scanner", scan), input_schema=DialogueInput)
    graph.add_edge(START, "scanner")
    graph.add_conditional_edges("scanner", Router(after_scanner), {"no moment": END, "each moment": "generator"})
    return _illustrated(graph).compile(name="dialogue")


GRAPHS: dict[str, Callable[[], Any]] = {"dialogue": dialogue, "illustrate": illustrate}
"""By the names that commands and drawings use."""


def bounds(settings: Settings) -> dict[str, int]:
    """How often these edges are taken at most: a redraw for each description, feedback for each moment."""
    return {"regenerate": settings.retry.regenerate, "feedback": settings.retry.feedback}


def recursion_limit(retry: Retry) -> int:
    """Supersteps that the longest path takes; one more is a bug, and LangGraph stops it."""
    return 2 * retry.max_attempts() + retry.feedback + 2
