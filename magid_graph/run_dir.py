"""The run directory: which run a command continues, its manifest, and a lock against a second process."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from magid_graph import __version__, prompts
from magid_graph.artifacts import sweep, write_atomically
from magid_graph.config import Loaded, Settings, determining, fingerprint
from magid_graph.errors import StorageFailed, UsageError
from magid_graph.journal import Journal
from magid_graph.records import Kind

HOME = Path("outputs")

_BEGINNINGS = ("run.json", "run.db", "run.db-wal", "run.db-shm", "run.lock")

_MANIFEST: dict[str, Any] = {
    **dict.fromkeys(("magid_graph", "identity", "preset", "created_at"), str),
    **dict.fromkeys(("input", "settings", "origins", "prompts"), dict),
    "command": list,
    "weights": str | None,
}
"""What other code relies on in `run.json`."""

_PACKAGES = ("torch", "diffusers", "transformers", "open_clip_torch", "langgraph", "langchain-openai", "xllamacpp")


@dataclass(frozen=True, slots=True)
class RunDir:
    """A directory and what its run depends on."""

    path: Path
    manifest: dict[str, Any]
    is_new: bool

    def journal(self) -> Journal:
        return Journal(self.path / "run.db")

    def journal_there(self) -> Journal:
        """The journal, which is not made anew.

        Raises:
            UsageError: there is none.
        """
        if not (self.path / "run.db").exists():
            raise UsageError(f"there is no journal `{self.path / 'run.db'}`; `{self.command()}` begins the run again")
        return self.journal()

    def kind(self) -> Kind:
        """What the run makes; those of the first version knew dialogues only, and did not say."""
        kind: Kind = self.manifest.get("kind", "dialogue")
        return kind

    def settings(self) -> Settings:
        """The settings of the run.

        Raises:
            UsageError: another version of this program wrote them, and they have changed since.
        """
        try:
            return Settings.model_validate(self.manifest["settings"])
        except ValidationError as error:
            raise UsageError(
                f"`{self.path}` was made by magid-graph {self.manifest['magid_graph']}, whose settings this version"
                f" ({__version__}) does not know; start a new run, or install that version"
            ) from error

    def command(self) -> str:
        """The command line that began this run, naming its directory where that would not be found again."""
        words = self.manifest["command"]
        is_named = any(word == "--new" or word.partition("=")[0] == "--out" for word in words)
        kept = _without_place(words)
        return shlex.join(["magid-graph", *kept, *(["--out", str(self.path)] if is_named else [])])

    def lock(self) -> AbstractContextManager[object]:
        """Held for as long as a process writes here. What a killed one left half-written is removed.

        Raises:
            UsageError: another process holds it.
            StorageFailed: the directory cannot be written.
        """
        try:
            held = FileLock(self.path / "run.lock").acquire(timeout=0)
            sweep(self.path)
            return held
        except Timeout:
            raise UsageError(f"another process is working on `{self.path}`; wait for it, or stop it") from None
        except OSError as error:
            raise StorageFailed(f"`{self.path}` cannot be written: {error.strerror or error}") from error


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest(loaded: Loaded, source: str, source_sha256: str, *, kind: Kind = "dialogue") -> dict[str, Any]:
    """Everything that the run depends on, and what it was made with."""
    settings = loaded.settings
    depends: dict[str, Any] = {
        # Runs of dialogues had no kind once, and are found again.
        **({} if kind == "dialogue" else {"kind": kind}),
        "input_sha256": source_sha256,
        "settings": determining(settings, kind),
        "prompts": prompts.hashes(*_prompt_names(settings, kind)),
        "weights": _shipped_weights(settings),
    }
    return {
        "magid_graph": __version__,
        "kind": kind,
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
        changed = ", ".join(difference(there, RunDir(path, wanted, is_new=True)))
        raise UsageError(
            f"`{path}` holds another run (changed since: {changed}); give another `--out`, or `--new` for one beside it"
        )
    # The same results, but perhaps by smaller batches or on another device: what is asked for now counts.
    return replace(there, manifest=there.manifest | {name: wanted[name] for name in ("settings", "origins")})


def create(run: RunDir) -> None:
    """Make the directory, if there is none.

    Raises:
        StorageFailed: it cannot be made.
    """
    try:
        run.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailed(f"`{run.path}` cannot be made: {error.strerror}; choose another `--out`") from error


def write_manifest(run: RunDir) -> None:
    """Write `run.json`.

    Raises:
        StorageFailed: it cannot be written.
    """
    text = json.dumps(run.manifest, indent=2, ensure_ascii=False) + "\n"
    # File names are bytes to some systems: what is not UTF-8 in them cannot be written as text.
    write_atomically(run.path / "run.json", text.encode(errors="replace"))


def note_opened(run: RunDir, opened: Mapping[str, str]) -> None:
    """Keep which models the run works with.

    Raises:
        UsageError: an earlier command on this run worked with others.
    """
    known = run.manifest.get("opened", opened)
    changed = [f"{kind} {known.get(kind)} -> {name}" for kind, name in opened.items() if known.get(kind) != name]
    if changed:
        raise _changed(run, "the models' files have", changed)
    if "opened" not in run.manifest:
        run.manifest["opened"] = dict(opened)
        write_manifest(run)


def changed_since(run: RunDir) -> list[str]:
    """Which prompts, and whether the shipped weights, are others today than those that the run was made with."""
    settings = run.settings()
    today, was = prompts.hashes(*_prompt_names(settings, run.kind())), run.manifest["prompts"]
    changed = [f"prompt {name}" for name in today if was.get(name) != today[name]]
    return changed + (["the shipped weights"] if run.manifest["weights"] != _shipped_weights(settings) else [])


def check_unchanged(run: RunDir) -> None:
    """Raise `UsageError` where the run's results would depend on other prompts or shipped weights today."""
    if changed := changed_since(run):
        raise _changed(run, "what it depends on has", changed)


def _changed(run: RunDir, what: str, changed: Sequence[str]) -> UsageError:
    words = _without_place(run.manifest["command"])
    return UsageError(
        f"`{run.path}` cannot go on: {what} changed since it began ({', '.join(changed)}); its pictures would not be"
        f" those of one run. Bring them back, or begin anew: `{shlex.join(['magid-graph', *words, '--new'])}`"
    )


def discard(run: RunDir) -> None:
    """Remove a run that did not begin; a directory that was there before, or holds anything else, stays."""
    for name in _BEGINNINGS:
        (run.path / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        run.path.rmdir()


def open_run(path: Path) -> RunDir:
    """An existing run, by directory or by its name under `outputs/`.

    Raises:
        UsageError: there is no run.
    """
    place = path if (path / "run.json").exists() else HOME / path
    try:
        return RunDir(place, _manifest_in(place / "run.json"), is_new=False)
    except (FileNotFoundError, NotADirectoryError):
        known = ", ".join(sorted(f"`{run.parent}`" for run in HOME.glob("*/run.json"))) or "none"
        raise UsageError(f"there is no run in `{path}`; runs under `{HOME}`: {known}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"`{place / 'run.json'}` cannot be read: {error}") from error


def newest_run() -> RunDir:
    """The run under `outputs/` that was worked on last.

    Raises:
        UsageError: there is none.
    """
    worked_on = {file.parent: file.stat().st_mtime for file in HOME.glob("*/run.db")}
    if not worked_on:
        raise UsageError(
            f"there is no run under `{HOME}`; name a run directory, or make one: `magid-graph dialogue FILE`"
        )
    return open_run(max(worked_on, key=lambda place: worked_on[place]))


def _manifest_in(file: Path) -> dict[str, Any]:
    """What `run.json` says. Raises `ValueError` where it is none of ours."""
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    for name, kind in _MANIFEST.items():
        if not isinstance(found, dict) or not isinstance(found.get(name), kind):
            raise ValueError(f"it is no manifest of magid-graph (`{name}`)")
    if not {"path", "sha256"} <= found["input"].keys():
        raise ValueError("it is no manifest of magid-graph (`input`)")
    return found


def latest_relative(stem: str, run: RunDir) -> RunDir | None:
    """The newest other run of the same input's name, if there is one that can be read."""
    found = []
    for file in HOME.glob(f"{_safe(stem)}-{'[0-9a-f]' * 8}*/run.json"):
        with contextlib.suppress(UsageError):
            found.append(open_run(file.parent))
    others = [other for other in found if other.path != run.path]
    return max(others, key=_age, default=None)


def _age(run: RunDir) -> tuple[str, int]:
    # Runs of one script may begin in the same second.
    return str(run.manifest["created_at"]), (run.path / "run.json").stat().st_mtime_ns


def difference(one: RunDir, other: RunDir) -> list[str]:
    """What the results of two runs depend on differently, in words.

    Raises:
        UsageError: another version of this program wrote one of them.
    """
    was, now = one.manifest, other.manifest
    before, after = determining(one.settings(), other.kind()), determining(other.settings(), other.kind())
    changed = [] if was["input"]["sha256"] == now["input"]["sha256"] else ["the input"]
    # A key that only one of them depends on comes with another that differs, e.g. `captioner.*` with the captioner.
    changed += [f"{key} {before[key]} -> {after[key]}" for key in after if before.get(key, after[key]) != after[key]]
    changed += [f"prompt {name}" for name in now["prompts"] if was["prompts"].get(name) != now["prompts"][name]]
    return changed + (["the shipped weights"] if was["weights"] != now["weights"] else [])


def _prompt_names(settings: Settings, kind: Kind) -> list[str]:
    brief = "brief" if settings.scanner.is_brief else "full"
    own = [f"scanner/{settings.scanner.strategy}"]
    if kind == "pairs":
        own = [f"describer/{name}" for name in settings.describer.prompts]
    return [*own, f"feedback/{brief}", f"shorten/{brief}", "again"]


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


def _is_beginning(entry: Path) -> bool:
    """Whether a run that was killed as it began may have left this."""
    return entry.name in _BEGINNINGS or (entry.name.startswith(".") and entry.suffix == ".part")


def _without_place(words: Sequence[str]) -> list[str]:
    """The words of a command line without `--new` and `--out DIR`."""
    kept = []
    rest = iter(words)
    for word in rest:
        if word == "--out":
            next(rest, None)
        elif word != "--new" and not word.startswith("--out="):
            kept.append(word)
    return kept


def _refuse_foreign(path: Path) -> None:
    if path.is_file():
        raise UsageError(f"`{path}` is a file; `--out` names a directory")
    if path.is_dir() and any(not _is_beginning(entry) for entry in path.iterdir()):
        raise UsageError(f"`{path}` is not empty and holds no run; `--out` names a new directory or one of a run")
