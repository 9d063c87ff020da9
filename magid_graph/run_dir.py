"""The run directory: which run a command continues, its manifest, and a lock against a second process."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from magid_graph import __version__, prompts
from magid_graph.artifacts import write_atomically
from magid_graph.config import Loaded, Settings, determining, fingerprint
from magid_graph.errors import StorageFailed, UsageError
from magid_graph.journal import Journal

HOME = Path("outputs")

_PACKAGES = ("torch", "diffusers", "transformers", "open_clip_torch", "langgraph", "langchain-openai", "xllamacpp")


@dataclass(frozen=True, slots=True)
class RunDir:
    """A directory and what its run depends on."""

    path: Path
    manifest: dict[str, Any]
    is_new: bool

    def journal(self) -> Journal:
        return Journal(self.path / "run.db")

    def settings(self) -> Settings:
        """The settings that the run was started with."""
        return Settings.model_validate(self.manifest["settings"])

    def lock(self) -> FileLock:
        """Taken for as long as a process writes here.

        Raises:
            UsageError: another process holds it.
        """
        lock = FileLock(self.path / "run.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(f"another process is working on `{self.path}`; wait for it, or stop it") from None
        return lock


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest(loaded: Loaded, source: str, source_sha256: str) -> dict[str, Any]:
    """Everything that the run depends on, and what it was made with."""
    settings = loaded.settings
    depends = {
        "input_sha256": source_sha256,
        "settings": determining(settings),
        "prompts": prompts.hashes(*_prompt_names(settings)),
        "weights": _shipped_weights(settings),
    }
    return {
        "magid_graph": __version__,
        "identity": fingerprint(depends),
        "preset": loaded.preset,
        "input": {"path": source, "sha256": source_sha256},
        "settings": settings.model_dump(mode="json"),
        "origins": loaded.origins,
        "models": settings.models.model_dump(),
        "seed": settings.run.seed,
        "prompts": depends["prompts"],
        "weights": depends["weights"],
        "versions": {"python": sys.version.split()[0], **{name: _version(name) for name in _PACKAGES}},
        "command": sys.argv[1:],
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def locate(stem: str, wanted: dict[str, Any], *, out: Path | None, is_fresh: bool) -> RunDir:
    """The directory for this manifest: the one that holds the same run already, or a new one.

    Raises:
        UsageError: `out` holds something else.
    """
    path = out or HOME / f"{_safe(stem)}-{wanted['identity'][:8]}"
    if is_fresh:
        path = _beside(path)
    if not (path / "run.json").exists():
        _refuse_foreign(path)
        return RunDir(path, wanted, is_new=True)
    there = open_run(path)
    if there.manifest["identity"] != wanted["identity"]:
        changed = ", ".join(difference(there.manifest, wanted))
        raise UsageError(
            f"`{path}` holds another run (changed since: {changed}); give another `--out`, or `--new` for one beside it"
        )
    return there


def create(run: RunDir) -> None:
    """Make the directory and write its manifest.

    Raises:
        StorageFailed: it cannot be written.
    """
    try:
        (run.path / "images").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailed(f"`{run.path}` cannot be made: {error.strerror}; choose another `--out`") from error
    text = json.dumps(run.manifest, indent=2, ensure_ascii=False) + "\n"
    write_atomically(run.path / "run.json", text.encode())


def open_run(path: Path) -> RunDir:
    """An existing run, by directory or by its name under `outputs/`.

    Raises:
        UsageError: there is no run.
    """
    path = path if path.exists() else HOME / path
    try:
        return RunDir(path, json.loads((path / "run.json").read_text("utf-8")), is_new=False)
    except (FileNotFoundError, NotADirectoryError):
        known = ", ".join(sorted(f"`{run.parent}`" for run in HOME.glob("*/run.json"))) or "none"
        raise UsageError(f"there is no run in `{path}`; runs under `{HOME}`: {known}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"`{path / 'run.json'}` cannot be read: {error}") from error


def relatives(stem: str, wanted: dict[str, Any]) -> list[tuple[Path, list[str]]]:
    """Other runs of the same input's name, newest first, each with what differs."""
    found = []
    for file in HOME.glob(f"{_safe(stem)}-*/run.json"):
        there = open_run(file.parent).manifest
        if there["identity"] != wanted["identity"]:
            found.append((there["created_at"], file.parent, difference(there, wanted)))
    return [(path, changed) for _, path, changed in sorted(found, reverse=True)]


def difference(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What the results of two runs depend on differently, in words."""
    changed = [] if one["input"]["sha256"] == other["input"]["sha256"] else ["the input"]
    before, after = (determining(Settings.model_validate(m["settings"])) for m in (one, other))
    changed += [f"{key} {before[key]} -> {after[key]}" for key in after if before[key] != after[key]]
    changed += [f"prompt {name}" for name in other["prompts"] if one["prompts"].get(name) != other["prompts"][name]]
    return changed + (["the shipped weights"] if one["weights"] != other["weights"] else [])


def _prompt_names(settings: Settings) -> list[str]:
    kind = "brief" if settings.scanner.strategy == "brief" else "full"
    return [f"scanner/{settings.scanner.strategy}", f"feedback/{kind}", f"shorten/{kind}", "again"]


def _shipped_weights(settings: Settings) -> str | None:
    """The hash of the shipped models' checksums, for runs that use any of them."""
    from magid_graph.pocket import CHECKSUMS

    uses_pocket = any(str(name).endswith(":pocket") for name in settings.models.model_dump().values())
    return sha256_of(CHECKSUMS) if uses_pocket and CHECKSUMS.exists() else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _safe(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-")[:60] or "dialogues"


def _beside(path: Path) -> Path:
    number = 2
    while path.exists():
        path = path.with_name(f"{path.name.rsplit('~', 1)[0]}~{number}")
        number += 1
    return path


def _refuse_foreign(path: Path) -> None:
    if path.is_file():
        raise UsageError(f"`{path}` is a file; `--out` names a directory")
    if path.is_dir() and any(path.iterdir()):
        raise UsageError(f"`{path}` is not empty and holds no run; `--out` names a new directory or one of a run")
