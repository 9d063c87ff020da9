"""Opening the models that settings name: what is opened, in which order, and what is refused."""

from __future__ import annotations

import pytest

from magid_graph import config
from magid_graph.config import Settings
from magid_graph.errors import ModelUnavailable
from magid_graph.models import opening
from magid_graph.models.fake import FakeEmbedder
from magid_graph.models.opening import open_models

FAKES = {
    "llm": "fake:",
    "text_to_image": "fake:",
    "clip": "fake:",
    "aesthetic": "fake:",
    "safety": "fake:",
    "captioner": "fake:",
}


def settings(*assignments: str, **models: str) -> Settings:
    names = [f"models.{kind}={name}" for kind, name in (FAKES | models).items()]
    return config.load("pocket", assignments=[*names, *assignments]).settings


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the embedders that were opened."""
    names: list[str] = []

    def open_embedder(name: str, settings: Settings) -> FakeEmbedder:
        names.append(name)
        return FakeEmbedder()

    monkeypatch.setattr(opening, "open_embedder", open_embedder)
    return names


@pytest.mark.parametrize(
    ("model", "variable"),
    [("openai:gpt-4o-mini", "OPENAI_API_KEY"), ("openai:toy@http://127.0.0.1:9/v1", "NOT_SET_HERE")],
)
def test_a_key_that_is_missing_is_told_before_anything_is_loaded(
    model: str, variable: str, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    named = [] if variable == "OPENAI_API_KEY" else [f"llm.api_key_env={variable}"]
    with pytest.raises(ModelUnavailable, match=f"set `{variable}`"), open_models(settings(*named, llm=model)):
        pass
    assert opened == []


@pytest.mark.parametrize(
    ("own", "checks", "expected"),
    [
        ("fake:own", '["safety", "match", "aesthetic"]', ["fake:", "fake:own"]),
        ("fake:", '["safety", "match", "aesthetic"]', ["fake:"]),
        ("fake:own", '["safety", "match"]', ["fake:"]),
    ],
)
def test_the_aesthetic_embedder_is_opened_where_it_is_read_and_is_another(
    own: str, checks: str, expected: list[str], opened: list[str]
) -> None:
    with open_models(settings(f"qa.checks={checks}", aesthetic_clip=own)) as models:
        assert (models.aesthetic_clip is models.clip) == (len(expected) == 1)
    assert opened == expected
