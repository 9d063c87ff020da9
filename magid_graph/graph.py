"""The graphs. This file is the picture: every edge is here, and nowhere else.

dialogue:    START -> scanner -+-(no moment)---------------> END
                               +-Send per moment-> illustrate

illustrate:  START -> generator -> qa -+- accept ----------> END
                         ^             +- regenerate -> generator
                         |             +- feedback -> feedback -+
                         +-------------+------------------------+
                                       +- discard ---------> END

pairs:       START -> describer -+- enough, given up ------> END
                         ^       +- more -> describer

chain:       START -> illustrate -> captioner -+- next -> generator
                                    ^          +- iterations, fixed_point, drift, refused -> END
                                    +- given picture

The edges of `illustrate` are edges of `dialogue` and `chain` too, not a graph run inside another: each moment is sent
along them on its own, from node to node, and one run for a dialogue costs half the time and half the memory of one for
each moment.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, get_args

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from magid_graph.config import Retry, Settings
from magid_graph.context import Context
from magid_graph.nodes.captioner import look
from magid_graph.nodes.describer import describe
from magid_graph.nodes.feedback import redescribe
from magid_graph.nodes.generator import draw
from magid_graph.nodes.qa import assess
from magid_graph.nodes.scanner import scan
from magid_graph.records import End
from magid_graph.routing import Router, compiled, on_chain, on_moment
from magid_graph.spans import traced
from magid_graph.state import (
    ChainInput,
    ChainState,
    DialogueInput,
    DialogueState,
    Illustrated,
    IllustrateInput,
    InHand,
    PairsInput,
    PairsState,
    Resumed,
)


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
    return _on_to("qa", state)


def after_qa(state: InHand) -> Send | Literal["accept", "discard"]:
    """Keep the picture, redraw it with the next seed, ask for a better description, or give up."""
    match state["moment"]["verdict"]:
        case "regenerate":
            return _on_to("generator", state)
        case "feedback":
            return _on_to("feedback", state)
        case end:
            return end


def after_feedback(state: InHand) -> Send:
    """Every new description is drawn."""
    return _on_to("generator", state)


def _on_to(node: str, state: InHand) -> Send:
    """The moment in hand goes on to this node, and nothing else does."""
    return Send(node, {"moment": state["moment"]})


def after_describer(state: PairsState) -> Literal["more", "enough", "given up"]:
    """Ask again until there are enough descriptions, or too many questions in a row have brought nothing new."""
    return state["asking"]


def begin_chain(state: ChainState) -> Send | Literal["given picture"]:
    """A chain that begins with a picture looks at it first."""
    return "given picture" if "drawing" in state["moment"] else _on_to("generator", state)


def after_captioner(state: ChainState) -> Send | End:
    """Draw what the caption says, unless the chain has come to one of its ends."""
    return state["ended"] or _on_to("generator", state)


def _illustrated(
    graph: StateGraph[Any, Context, Any, Any], *, accepted: str = END, discarded: str = END
) -> StateGraph[Any, Context, Any, Any]:
    """The graph with the nodes and edges along which each moment goes, until it is `accepted` or `discarded`."""
    ends: dict[Hashable, str] = {"accept": accepted, "discard": discarded}
    graph.add_node("generator", on_moment(traced("generator", draw)), input_schema=InHand)
    graph.add_node("qa", on_moment(traced("qa", assess)), input_schema=InHand)
    graph.add_node("feedback", on_moment(traced("feedback", redescribe)), input_schema=InHand)
    graph.add_conditional_edges("generator", Router(after_generator), ["qa"])
    graph.add_conditional_edges("qa", Router(after_qa), {**ends, "regenerate": "generator", "feedback": "feedback"})
    graph.add_conditional_edges("feedback", Router(after_feedback), ["generator"])
    return graph


def illustrate() -> Any:
    """The graph that illustrates one moment."""
    graph = StateGraph(IllustrateInput, context_schema=Context, output_schema=Illustrated)
    graph.add_conditional_edges(START, Router(begin), ["generator"])
    return compiled(_illustrated(graph), "illustrate")


def illustrate_from(node: str) -> Any:
    """The same graph for a moment that has come as far as this node: its state goes in as `moment`."""
    graph = StateGraph(Resumed, context_schema=Context, output_schema=Illustrated)
    graph.add_conditional_edges(START, Router(lambda state: _on_to(node, state)), [node])
    return compiled(_illustrated(graph), "illustrate")


def dialogue() -> Any:
    """The graph that makes one dialogue multi-modal."""
    graph = StateGraph(DialogueState, context_schema=Context, input_schema=DialogueInput)
    graph.add_node("scanner", traced("scanner", scan), input_schema=DialogueInput)
    graph.add_edge(START, "scanner")
    graph.add_conditional_edges("scanner", Router(after_scanner), {"no moment": END, "each moment": "generator"})
    return compiled(_illustrated(graph), "dialogue")


def pairs() -> Any:
    """The graph that finds the first descriptions of one batch of chains."""
    graph = StateGraph(PairsState, context_schema=Context, input_schema=PairsInput)
    graph.add_node("describer", traced("describer", describe), input_schema=PairsState)
    graph.add_edge(START, "describer")
    graph.add_conditional_edges(
        "describer", Router(after_describer), {"more": "describer", "enough": END, "given up": END}
    )
    return compiled(graph, "pairs")


def chain(*, is_gated: bool = True) -> Any:
    """The graph that makes the pairs of one chain. Where it is not gated, it goes on over pictures that QA refused."""
    graph = StateGraph(ChainState, context_schema=Context, input_schema=ChainInput)
    graph.add_conditional_edges(
        START, Router(begin_chain), {"given picture": "captioner", "first description": "generator"}
    )
    return compiled(_chained(graph, is_gated=is_gated), "chain")


def chain_from(node: str, *, is_gated: bool = True) -> Any:
    """The same graph for a chain that has come as far as this node: `moment` is its iteration in hand."""
    graph = StateGraph(ChainState, context_schema=Context)
    graph.add_conditional_edges(START, Router(lambda state: _on(node, state)), [node])
    return compiled(_chained(graph, is_gated=is_gated), "chain")


def _on(node: str, state: ChainState) -> Send | str:
    """The captioner sees the whole chain, the others are sent the iteration in hand."""
    return node if node == "captioner" else _on_to(node, state)


def _chained(graph: StateGraph[Any, Context, Any, Any], *, is_gated: bool) -> StateGraph[Any, Context, Any, Any]:
    """The graph with the nodes and edges along which each iteration goes."""
    _illustrated(graph, accepted="captioner", discarded=END if is_gated else "captioner")
    graph.add_node("captioner", on_chain(traced("captioner", look)), input_schema=ChainState)
    ends: dict[Hashable, str] = dict.fromkeys(get_args(End), END)
    graph.add_conditional_edges("captioner", Router(after_captioner), {"next": "generator", **ends})
    return graph


GRAPHS: dict[str, Callable[[], Any]] = {
    "dialogue": dialogue,
    "illustrate": illustrate,
    "pairs": pairs,
    "chain": chain,
}
"""By the names that commands and drawings use."""


def bounds(settings: Settings) -> dict[str, int]:
    """How often these edges are taken at most: a redraw for each description, feedback for each moment."""
    return {
        "regenerate": settings.retry.regenerate,
        "feedback": settings.retry.feedback,
        "next": settings.cycle.iterations - 1,
    }


def recursion_limit(retry: Retry) -> int:
    """Supersteps that the longest path of a dialogue takes; one more is a bug, and LangGraph stops it."""
    return _steps_of_drawing(retry) + 2


def chain_recursion_limit(settings: Settings) -> int:
    """Supersteps that the longest chain takes."""
    return settings.cycle.iterations * (_steps_of_drawing(settings.retry) + 1) + 2


def pairs_recursion_limit(wanted: int, settings: Settings) -> int:
    """Supersteps that the longest batch takes: every description comes with the last question that it may come with."""
    return (wanted + 1) * settings.describer.patience + 2


def _steps_of_drawing(retry: Retry) -> int:
    return 2 * retry.max_attempts() + retry.feedback
