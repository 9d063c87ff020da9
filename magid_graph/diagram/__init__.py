"""Drawings of the graphs as `graph.py` builds them: in text, as SVG, as Mermaid. No service, no system binary.

The nodes stand below each other in the order in which `graph.py` adds them. An edge to the next node goes straight
down, one that skips nodes passes on the right, and one that goes back (a retry) on the left.
"""

from __future__ import annotations

from magid_graph.diagram.layout import lay_out
from magid_graph.diagram.mermaid import as_mermaid
from magid_graph.diagram.structure import Diagram, Edge, diagram_of
from magid_graph.diagram.svg import as_svg, style
from magid_graph.diagram.text import as_text

__all__ = ["Diagram", "Edge", "as_mermaid", "as_svg", "as_text", "diagram_of", "lay_out", "style"]
