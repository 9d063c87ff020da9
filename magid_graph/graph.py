"""The graphs. This file is the picture: every edge is here, and nowhere else.

dialogue:    START -> scanner -+-(no moment)---------------> END
                               +-Send per moment-> illustrate -> END

illustrate:  START -> generator -> qa -+- accept ----------> END
                         ^             +- regenerate -> generator
                         |             +- feedback -> feedback -+
                         +-------------+------------------------+
                                       +- discard ---------> END
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
from magid_graph.records import Verdict
from magid_graph.spans import traced
from magid_graph.state import DialogueInput, DialogueState, Illustrated, IllustrateInput, IllustrateState


async def after_scanner(state: DialogueState) -> Sequence[Send] | Literal["no moment"]:
    """Illustrate each moment on its own, all at the same time."""
    branches = [
        Send(
            "illustrate",
            IllustrateInput(
                key=state["key"],
                turn=moment["turn"],
                context=state["turns"][: moment["turn"] + 1],
                description=moment["description"],
                attempts=[],
            ),
        )
        for moment in state["moments"]
    ]
    return branches or "no moment"


async def after_qa(state: IllustrateState) -> Verdict:
    """Keep the picture, redraw it with the next seed, ask for a better description, or give up."""
    return state["verdict"]


def illustrate() -> Any:
    """The graph that illustrates one moment."""
    graph = StateGraph(IllustrateState, context_schema=Context, input_schema=IllustrateInput, output_schema=Illustrated)
    graph.add_node("generator", traced("generator", draw), input_schema=IllustrateState)
    graph.add_node("qa", traced("qa", assess), input_schema=IllustrateState)
    graph.add_node("feedback", traced("feedback", redescribe), input_schema=IllustrateState)
    graph.add_edge(START, "generator")
    graph.add_edge("generator", "qa")
    graph.add_conditional_edges(
        "qa", after_qa, {"accept": END, "regenerate": "generator", "feedback": "feedback", "discard": END}
    )
    graph.add_edge("feedback", "generator")
    return graph.compile(name="illustrate")


def dialogue() -> Any:
    """The graph that makes one dialogue multi-modal."""
    graph = StateGraph(DialogueState, context_schema=Context, input_schema=DialogueInput)
    graph.add_node("scanner", traced("scanner", scan), input_schema=DialogueInput)
    graph.add_node("illustrate", illustrate())
    graph.add_edge(START, "scanner")
    graph.add_conditional_edges("scanner", after_scanner, {"no moment": END, "each moment": "illustrate"})
    graph.add_edge("illustrate", END)
    return graph.compile(name="dialogue")


GRAPHS: dict[str, Callable[[], Any]] = {"dialogue": dialogue, "illustrate": illustrate}
"""By the names that commands and drawings use."""


def bounds(settings: Settings) -> dict[str, int]:
    """How often these edges are taken at most: a redraw for each description, feedback for each moment."""
    return {"regenerate": settings.retry.regenerate, "feedback": settings.retry.feedback}


def recursion_limit(retry: Retry) -> int:
    """Supersteps that the longest path takes; one more is a bug, and LangGraph stops it."""
    return 2 * retry.max_attempts() + retry.feedback + 2
