"""What LangGraph Studio reads: that its entries open, and that the graphs can be drawn and described offline."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENTRIES = json.loads((ROOT / "langgraph.json").read_text())["graphs"]


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_every_entry_is_a_graph_with_schemas_and_a_drawing(name: str) -> None:
    path, _, factory = ENTRIES[name].partition(":")
    spec = importlib.util.spec_from_file_location("entry", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    graph = getattr(module, factory)()
    assert {"key"} <= set(graph.get_input_jsonschema()["properties"])
    made, nodes = ("descriptions", ["describer"]) if name == "pairs" else ("attempts", ["generator", "qa", "feedback"])
    assert made in graph.get_output_jsonschema()["properties"]
    drawing = graph.get_graph(xray=True).draw_mermaid()
    assert all(node in drawing for node in nodes)
