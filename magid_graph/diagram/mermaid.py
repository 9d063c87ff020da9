"""A diagram in Mermaid, which GitHub and many editors draw."""

from __future__ import annotations

from collections.abc import Iterator

from magid_graph.diagram.structure import Diagram


def as_mermaid(diagram: Diagram) -> str:
    """The source of a flow chart; a subgraph is a frame in it."""
    return "\n".join(_lines(diagram))


def _lines(diagram: Diagram) -> Iterator[str]:
    yield "flowchart TD"
    grouped = {name for nodes in diagram.groups.values() for name in nodes}
    for name in diagram.nodes:
        if name not in grouped:
            yield f"    {_node(name)}"
    for group, nodes in diagram.groups.items():
        yield f"    subgraph {group}"
        yield from (f"        {_node(name)}" for name in nodes)
        yield "    end"
    for edge in diagram.edges:
        arrow = f'-. "{edge.text}" .->' if edge.text else "-->"
        yield f"    {_id(edge.source)} {arrow} {_id(edge.target)}"


def _node(name: str) -> str:
    return f"{_id(name)}([{name}])" if name in ("START", "END") else f"{_id(name)}[{name}]"


def _id(name: str) -> str:
    # `end` is a word of Mermaid's own, in any case.
    return f"{name.lower()}_" if name in ("START", "END") else name
