from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "diffusers", "transformers", "open_clip", "langgraph", "langchain_core", "onnxruntime", "xllamacpp")


@pytest.mark.parametrize("name", ["nodes", "prompts"])
def test_the_links_at_the_root_lead_into_the_package(name: str) -> None:
    assert (ROOT / name).is_symlink()
    assert (ROOT / name).resolve() == (ROOT / "magid_graph" / name).resolve()


@pytest.mark.parametrize("arguments", [["--help"], ["dialogue", "--help"], ["config"], ["status", "nowhere"]])
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; sys.argv = ['magid-graph', *sys.argv[1:]]\n"
        "from magid_graph.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr


def test_no_module_is_longer_than_400_lines() -> None:
    long = {p.name: n for p in (ROOT / "magid_graph").rglob("*.py") if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}
