"""What tells models apart in records."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest

from magid_graph.models.weights import identity

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub that has one model, at one commit."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    refs = tmp_path / "models--owner--name" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(COMMIT)
    return tmp_path


def test_a_model_of_the_hub_is_known_by_the_commit_that_was_opened(cache: Path) -> None:
    assert identity("owner/name") == identity("owner/name", "main") == f"owner/name@{COMMIT}"


def test_a_revision_that_the_cache_does_not_resolve_is_kept_as_it_was_given(cache: Path) -> None:
    assert identity("owner/name", "fedcba") == "owner/name@fedcba"
    assert identity("owner/other") == "owner/other"


def test_libraries_are_silent_from_the_first_model_on() -> None:
    program = """
import logging
from magid_graph.models.weights import opening
with opening("any"):
    print(*[logging.getLogger(name).getEffectiveLevel() for name in ("diffusers", "transformers")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(logging.ERROR)] * 2
