"""The small models that ship with the package; MODEL_CARD.md says what they are. Importing this loads nothing."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from magid_graph.errors import ModelUnavailable, WeightsDamaged

Name = Literal["text_to_image", "clip", "aesthetic", "captioner", "llm"]

WEIGHTS_DIR = Path(__file__).parent / "weights"
CHECKSUMS = WEIGHTS_DIR / "SHA256SUMS"
"""One line per file, as `sha256sum` writes them; paths are relative to the folder it is in."""
NAMES: tuple[str, ...] = get_args(Name)


@cache
def weights(name: str) -> Path:
    """Where the pocket model `name` lies: its folder, and for `llm` its GGUF file.

    The files are compared with SHA256SUMS, once per process and model.

    Raises:
        ModelUnavailable: there is no pocket model of that name.
        WeightsDamaged: a file is missing or is not the one that was shipped; names it.
    """
    files = [(digest, file) for digest, file in shipped() if file.split("/")[0] == name]
    if name not in NAMES or not files:
        raise ModelUnavailable(
            f"`pocket` has no `{name}` model here: known are {', '.join(NAMES)}; reinstall the package"
        )
    for digest, file in files:
        _check(digest, WEIGHTS_DIR / file)
    folder = WEIGHTS_DIR / name
    return next(folder.glob("*.gguf")) if name == "llm" else folder


def shipped() -> list[tuple[str, str]]:
    """Digest and relative path of every file that ships."""
    if not CHECKSUMS.exists():
        return []
    lines = CHECKSUMS.read_text(encoding="utf-8").splitlines()
    return [(digest, file) for digest, _, file in (line.partition("  ") for line in lines)]


def _check(digest: str, path: Path) -> None:
    if not path.is_file():
        raise WeightsDamaged(
            f"`{path}` is missing: reinstall the package (`pip install --force-reinstall magid-graph`)"
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise WeightsDamaged(
            f"`{path}` is not the file that ships (sha256 {found[:12]}… instead of {digest[:12]}…): "
            f"reinstall the package, or in a checkout `git checkout` it"
        )
