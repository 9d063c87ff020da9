"""A diagram in Mermaid, which GitHub and many editors draw."""

from __future__ import annotations

from collections.abc import Iterator

from magid_graph.diagram.structure import Diagram


def as_mermaid(diagram: Diagram) -> str:
    """The source of a flow chart."""
    return "\n".join(_lines(diagram))


def _lines(diagram: Diagram) -> Iterator[str]:
    yield "flowchart TD"
    yield from (f"    {_node(name)}" for name in diagram.nodes)
    for edge in diagram.edges:
        arrow = f'-. "{edge.text}" .->' if edge.text else "-->"
        yield f"    {_id(edge.source)} {arrow} {_id(edge.target)}"


def _node(name: str) -> str:
    return f"{_id(name)}([{name}])" if name in ("START", "END") else f"{_id(name)}[{name}]"


def _id(name: str) -> str:
    # `end` is a word of Mermaid's own, in any case.
    return f"{name.lower()}_" if name in ("START", "END") else name
