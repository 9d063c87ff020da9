"""How a moment goes from node to node, and routers that cost no more than the function they call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from langchain_core.runnables import Runnable, RunnableConfig
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
