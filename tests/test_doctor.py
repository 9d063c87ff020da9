"""What the doctor takes for present, and what it tells to fetch, set or start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from magid_graph import config, doctor
from magid_graph.doctor import Finding
from tests.scripted_server import ScriptedServer


def finding(kind: str, name: str, *assignments: str) -> Finding:
    return doctor._model(kind, name, config.load("local", assignments=assignments).settings)


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """A model of the hub's cache, with nothing in it yet."""
    snapshot = tmp_path / "models--some--model" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    refs = tmp_path / "models--some--model" / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)
    return snapshot


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")


def test_a_model_is_here_once_its_weights_are(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    download = huggingface_hub.snapshot_download
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda model, **options: download(model, cache_dir=cached.parents[2], **options),
    )
    assert finding("captioner", "transformers:no/such").detail == "fetch it: `hf download no/such`"
    put(cached, "config.json")
    assert "only a part" in finding("captioner", "transformers:some/model").detail
    put(cached, "model.safetensors")
    assert finding("captioner", "transformers:some/model").is_fine
    put(cached, "model_index.json", "unet/config.json", "scheduler/scheduler_config.json")
    assert not finding("text_to_image", "diffusers:some/model").is_fine
    put(cached, "unet/diffusion_pytorch_model.fp16.safetensors")
    assert finding("text_to_image", "diffusers:some/model").is_fine


def test_the_vae_is_needed_too() -> None:
    needs = doctor.preset_needs("local")
    assert any(need.what == "vae diffusers:madebyollin/sdxl-vae-fp16-fix" for need in needs)


def test_a_server_on_this_machine_is_asked_without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with ScriptedServer(models=["toy"]) as server:
        assert finding("llm", f"openai:toy@{server.url}") == Finding(
            f"llm openai:toy@{server.url}", True, "answers with 200"
        )


@pytest.mark.parametrize(
    ("model", "assignments", "expected"),
    [
        ("openai:gpt-4o-mini", [], "set OPENAI_API_KEY"),
        ("openai:toy@http://127.0.0.1:9/v1", ["llm.api_key_env=NOT_SET_HERE"], "set NOT_SET_HERE"),
        ("openai:toy@http://127.0.0.1:9/v1", [], "no answer (ConnectError)"),
    ],
)
def test_what_is_missing_is_told(model: str, assignments: list[str], expected: str, monkeypatch: Any) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    said = finding("llm", model, *assignments)
    assert not said.is_fine
    assert said.detail.startswith(expected)
