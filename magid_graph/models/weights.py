"""Where weights come from: a folder, or an id on the Hugging Face hub. Folders never touch the network."""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from magid_graph.errors import MagidError, ModelUnavailable

MODEL_SUFFIXES = frozenset({".safetensors", ".onnx", ".gguf", ".json", ".jinja", ".txt", ".model"})

SAMPLE_BYTES = 1 << 20
"""Of a file larger than `WHOLE_BYTES`, this much is hashed at each of `SAMPLES` places from beginning to end."""
WHOLE_BYTES = 64 << 20
SAMPLES = 16


def folder_of(model: str) -> Path | None:
    """The folder that `model` names; `None` where it is an id on the hub.

    Raises:
        ModelUnavailable: it is written like a path, and there is no such folder.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path.resolve()
    if model.startswith((".", "~", os.sep)) or "\\" in model or model.count("/") > 1:
        raise ModelUnavailable(f"there is no model folder `{model}`: check the path (or give a hub id, `owner/name`)")
    return None


def identity(model: str, revision: str | None = None) -> str:
    """What tells this model from others in records: `owner/name@commit`, or a folder's name and a hash of its files.

    The commit is the one that was opened: ask after opening, which may have fetched another than before. A folder's
    path is no part of it: the same weights elsewhere are the same model, other weights in the same place are not.
    """
    folder = folder_of(model)
    if folder:
        return f"{folder.name}@{fingerprint(folder)}"
    commit = _cached_commit(model, revision or "main") or revision
    return f"{model}@{commit}" if commit else model


def _cached_commit(model: str, revision: str) -> str | None:
    """The commit that a branch or tag stood for when the hub was last asked; `None` where the cache does not tell."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=model, repo_type="model")
    try:
        return (folder / "refs" / revision).read_text().strip() or None
    except OSError:
        return None


def fingerprint(path: Path) -> str:
    """Twelve hex digits over the names, sizes and content of a model's files, of which large ones are sampled."""
    files = (
        [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and p.suffix in MODEL_SUFFIXES)
    )
    digest = hashlib.sha256()
    for file in files:
        name = file.name if path.is_file() else file.relative_to(path).as_posix()
        digest.update(f"{name}\0{file.stat().st_size}\0".encode())
        for chunk in _chunks(file):
            digest.update(chunk)
    return digest.hexdigest()[:12]


def _chunks(file: Path) -> Iterator[bytes]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= WHOLE_BYTES:
            yield stream.read()
            return
        for i in range(SAMPLES):
            stream.seek((size - SAMPLE_BYTES) * i // (SAMPLES - 1))
            yield stream.read(SAMPLE_BYTES)


def fetch_file(model: str, filename: str, *, revision: str | None = None) -> Path:
    """One file of a model on the hub, from the local cache or downloaded."""
    from huggingface_hub import hf_hub_download

    folder_of(model)
    with opening(model):
        return Path(hf_hub_download(model, filename, revision=revision))


@contextmanager
def opening(model: str) -> Iterator[None]:
    """Whatever goes wrong while a model is opened becomes `ModelUnavailable` with the next step; silences chatter."""
    _hush()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MagidError:
        raise
    except Exception as error:
        raise unavailable(model, error) from error


def unavailable(model: str, error: BaseException) -> ModelUnavailable:
    """The error a person can act on, from what a library said when it could not open `model`."""
    path = Path(model).expanduser()
    if isinstance(error, ImportError):
        return ModelUnavailable(f"`{model}` needs a package that is not installed: {_first_line(error)}")
    if path.exists():
        return ModelUnavailable(
            f"the model `{model}` cannot be opened: {_first_line(error)} "
            f"(expected its config and `.safetensors` weights; pickled weights are not loaded)"
        )
    names = {type(e).__name__ for e in _causes(error)}
    if names & {"GatedRepoError"}:
        return ModelUnavailable(
            f"`{model}` is gated: accept its licence on its page on the hub, then run `hf auth login` or set `HF_TOKEN`"
        )
    if names & {"RepositoryNotFoundError", "RevisionNotFoundError", "HFValidationError"}:
        return ModelUnavailable(f"the hub has no model `{model}` (or it is private): check the id and the revision")
    if names & {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectionError", "ConnectTimeout"}:
        return ModelUnavailable(_offline(model))
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}:
        return ModelUnavailable(_offline(model))
    return ModelUnavailable(
        f"the model `{model}` cannot be opened: {_first_line(error)} "
        f"(`hf download {model}` fetches it; a folder's path works in place of the id)"
    )


def _offline(model: str) -> str:
    return (
        f"`{model}` is not on this machine, and the hub cannot be reached: run `hf download {model}` where it can "
        f"(unset `HF_HUB_OFFLINE` if it is set), or give the path of a folder that holds the model"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _hush() -> None:
    """Keep the libraries' progress bars and notes off the terminal, which the live view owns."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    try:
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
    except ImportError:
        pass
    try:
        from diffusers.utils import logging as diffusers_logging

        diffusers_logging.disable_progress_bar()
    except ImportError:
        pass
    # After the imports: importing one of them sets its level anew.
    for name in ("diffusers", "transformers", "huggingface_hub", "open_clip", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
