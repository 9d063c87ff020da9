"""How a moment goes from node to node, and nodes and routers that cost no more than the functions they call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.channels import EphemeralValue, LastValue
from langgraph.graph import StateGraph
from langgraph.runtime import Runtime

from magid_graph.context import Context
from magid_graph.state import ChainState, IllustrateState, InHand, Looking


class MomentNode(Protocol):
    """A node along whose edges each moment goes."""

    __name__: str

    def __call__(self, state: IllustrateState, runtime: Runtime[Context]) -> Awaitable[Any]: ...


class ChainNode(Protocol):
    """A node of the `chain` graph."""

    __name__: str

    def __call__(self, state: Looking, runtime: Runtime[Context]) -> Awaitable[Any]: ...


def on_moment(node: MomentNode) -> Callable[..., Awaitable[Any]]:
    """The node at work on the moment that it was sent; the moment goes on with what the node wrote."""

    async def run(state: InHand, runtime: Runtime[Context]) -> dict[str, Any]:
        moment = state["moment"]
        wrote = await node(moment, runtime)
        attempts = wrote.get("attempts", [])
        return {"moment": {**moment, **wrote, "attempts": [*moment["attempts"], *attempts]}, "attempts": attempts}

    run.__name__ = node.__name__
    run.__doc__ = node.__doc__
    return run


def on_chain(node: ChainNode) -> Callable[..., Awaitable[Any]]:
    """The node at work on the iteration in hand, and on the chain so far; it writes to both."""

    async def run(state: ChainState, runtime: Runtime[Context]) -> dict[str, Any]:
        moment = state["moment"]
        wrote = await node({**state, **moment}, runtime)  # type: ignore[typeddict-unknown-key]
        chain = {key: wrote.pop(key) for key in ("pairs", "ended")}
        return {**chain, "moment": {**moment, **wrote}}

    run.__name__ = node.__name__
    run.__doc__ = node.__doc__
    return run


class Router(Runnable[Any, Any]):
    """A function from the state to where to go next.

    Given as it is, LangGraph runs a router in a task of its own with callbacks, and one that is not async in a thread:
    a tenth of a dialogue's time.
    """

    def __init__(self, route: Callable[[Any], Any]) -> None:
        self.name = route.__name__
        self._route = route

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._route(input)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._route(input)


class Step(Runnable[Any, Any]):
    """A node and what writes its values, one after the other.

    LangGraph runs the two as a chain, in a task of its own, that tells of every link's beginning and end. Where nobody
    listens (no callback handler) that is a fifteenth of a dialogue's time for nothing. And it copies all channels to
    show a router what its node was given with what the node wrote in it: a twentieth, for what is at hand.
    """

    def __init__(
        self, chain: Runnable[Any, Any], links: Sequence[Runnable[Any, Any]], channels: Mapping[str, Any]
    ) -> None:
        self.name = chain.name
        self._chain, self._node = chain, links[0]
        self._others = [(link, _routes_by_what_is_at_hand(link, channels)) for link in links[1:]]

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._chain.invoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        if config is None or _has_listeners(config):
            return await self._chain.ainvoke(input, config, **kwargs)
        wrote = await self._node.ainvoke(input, config)
        for link, is_at_hand in self._others:
            if is_at_hand:
                await link.ainvoke({**input, **wrote}, config, reader=None)
            else:
                await link.ainvoke(wrote, config)
        return wrote


def _routes_by_what_is_at_hand(link: Any, channels: Mapping[str, Any]) -> bool:
    """Whether this link is a router of values that a write replaces; what is gathered must be read from its channel."""
    reader = getattr(link, "kwargs", {}).get("reader")
    if reader is None:
        return False
    return all(isinstance(channels[name], (LastValue, EphemeralValue)) for name in reader.keywords["select"])


def _has_listeners(config: RunnableConfig) -> bool:
    callbacks = config.get("callbacks")
    return bool(callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else callbacks)


def compiled(graph: StateGraph[Any, Context, Any, Any], name: str) -> Any:
    """The graph, ready to run, its nodes as steps."""
    made = graph.compile(name=name)
    for node in made.nodes.values():
        chain = node.node
        if chain is not None and (links := getattr(chain, "steps", None)):
            # `node` is a cached property, and keeps what it has found here.
            vars(node)["node"] = Step(chain, links, made.channels)
    return made


class Beginning:
    """A compiled graph whose runs begin at the node that follows START on its only edge.

    LangGraph takes the input in a superstep of its own, which hands it on: a sixteenth of a dialogue's time. Here the
    input goes straight to the channels of the state, and to the one that wakes the node.
    """

    def __init__(self, made: Any, node: str) -> None:
        self._graph = made
        (self._wakes,) = made.nodes[node].triggers
        made.input_channels = [*made.nodes[node].channels, self._wakes]

    def astream(self, given: Mapping[str, Any], config: RunnableConfig, **how: Any) -> AsyncIterator[Any]:
        """As the graph's own."""
        values: AsyncIterator[Any] = self._graph.astream({**given, self._wakes: None}, config, **how)
        return values
