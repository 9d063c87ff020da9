"""A data set in the making: written beside the one that is there, checked, and put in its place as a whole.

What has not changed is linked from the old one and not written again. A picture is shipped only if its bytes are those
that were judged. A process that is killed leaves the old data set, or the new one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from magid_graph import __version__
from magid_graph.errors import DamagedPicture, UsageError
from magid_graph.exporters.files import link_or_copy, mend, put_in_place, refuse, sha256_of, storing, to_disk
from magid_graph.records import ImageFile

RECORD = ".export.json"
"""What an export leaves about itself, for the next one; its name is hidden from those who load the data set."""


@dataclass(slots=True)
class Folder:
    """Where a format writes. Paths in it are relative, with forward slashes."""

    path: Path
    """Of the data set; what is written is in `made` until all of it is there."""
    made: Path
    root: Path
    """What the pictures' paths are relative to."""
    before: dict[str, Any]
    """The record of the export that is there."""
    notes: Counter[str] = field(default_factory=Counter)
    """What was flipped, split or left out, and how often."""
    tally: Counter[str] = field(default_factory=Counter)
    """`samples`, `pictures`, and how many files were `kept` and `written`."""
    shards: dict[str, dict[str, str]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    @contextmanager
    def text(self, name: str) -> Iterator[TextIO]:
        """A text file of the data set."""
        part = self.place(name)
        with part.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        self.texts.append(name)

    def split_files(self, name: str, *, first: str = "", between: str = "\n", last: str = "") -> SplitFiles:
        """A text file for each split that has a row; `name` holds `{split}`."""
        return SplitFiles(self, name, first, between, last)

    def place(self, name: str) -> Path:
        """Where a file of the data set is to be written; `settle` it afterwards."""
        part = self.made / name
        part.parent.mkdir(parents=True, exist_ok=True)
        return part

    def ship(self, image: ImageFile, into: str = "images") -> str:
        """The picture as a file of the data set: linked or copied, never encoded again. Returns its path.

        Raises `DamagedPicture` unless its bytes are those that were judged.
        """
        sha256, suffix = image["sha256"], Path(image["path"]).suffix
        # A folder of the hub holds 10,000 files at most: pictures are spread over 256.
        name = f"{into}/{sha256[:2]}/{sha256}{suffix}"
        target = self.made / name
        if target.exists():
            return name
        target.parent.mkdir(parents=True, exist_ok=True)
        old, origin = self.path / name, self.root / image["path"]
        is_there = old.is_file() and origin.is_file()
        if is_there and not old.samefile(origin):
            self.check(image)
            if self._linked(old, target, sha256):
                self.tally["kept"] += 1
                return name
            is_there = False
        if not self._linked(origin, target, sha256):
            raise _damaged(image)
        self.tally["kept" if is_there else "written"] += 1
        return name

    def check(self, image: ImageFile) -> None:
        """Raise `DamagedPicture` unless the picture's bytes in the run are those that were judged."""
        origin = self.root / image["path"]
        if not origin.is_file() or sha256_of(origin) != image["sha256"]:
            raise _damaged(image)

    def data(self, image: ImageFile) -> bytes:
        """The picture's bytes. Raises `DamagedPicture` unless they are those that were judged."""
        try:
            data = (self.root / image["path"]).read_bytes()
        except OSError as error:
            raise DamagedPicture(f"`{image['path']}` cannot be read ({error.strerror}); it is not shipped") from error
        if hashlib.sha256(data).hexdigest() != image["sha256"]:
            raise _damaged(image)
        return data

    def keep(self, name: str, content: str, *, images: Iterable[ImageFile] = ()) -> bool:
        """Whether the data set that is there had a file of this content, which is then a file of this one.

        `content` is a hash of all that the file is made of. A kept file's bytes are those that were written. The
        pictures in it are read in the run, too: damage there is found whether or not anything is written.
        """
        for image in images:
            self.check(image)
        for old, known in self.before.get("shards", {}).items():
            if known["content"] == content and self._linked(self.path / old, self.place(name), known["sha256"]):
                self.shards[name] = known
                self.tally["kept"] += 1
                return True
        return False

    def settle(self, name: str, content: str) -> None:
        """Say that a file is written that a later export may `keep`."""
        to_disk(self.made / name)
        self.shards[name] = {"content": content, "sha256": sha256_of(self.made / name)}
        self.tally["written"] += 1

    def _linked(self, origin: Path, target: Path, sha256: str) -> bool:
        """Whether `target` is now a file with these bytes. The file that is shipped is the one that is read."""
        if not origin.is_file():
            return False
        link_or_copy(origin, target)
        if sha256_of(target) == sha256:
            return True
        target.unlink()
        return False

    def drop(self, name: str) -> None:
        """Do without a text file that was written."""
        (self.made / name).unlink()
        self.texts.remove(name)

    def settle_texts(self) -> None:
        """Keep the text files that are there where they are the same; the others are on the disk after this."""
        for name in self.texts:
            self._settle_text(name)

    def _settle_text(self, name: str) -> None:
        part, old = self.made / name, self.path / name
        if old.is_file() and old.stat().st_size == part.stat().st_size and sha256_of(old) == sha256_of(part):
            part.unlink()
            link_or_copy(old, part)
            self.tally["kept"] += 1
            return
        to_disk(part)
        self.tally["written"] += 1


Rule: TypeAlias = Callable[[Iterator[str], Path], str | None]
"""What is wrong with a file's lines, by the rules of those who will read it; the path tells where it lies."""


class SplitFiles:
    """Text files of rows, one per split, opened as its first row comes."""

    def __init__(self, folder: Folder, name: str, first: str, between: str, last: str) -> None:
        self._folder, self._name = folder, name
        self._first, self._between, self._last = first, between, last
        self._files: dict[str, TextIO] = {}
        self._stack = ExitStack()

    def __enter__(self) -> SplitFiles:
        return self

    @property
    def names(self) -> list[str]:
        """The files that were written."""
        return [self._name.format(split=split) for split in self._files]

    def write(self, split: str, row: str) -> None:
        """A row of this split."""
        between = self._between if split in self._files else ""
        self._file(split).write(between + row)

    def _file(self, split: str) -> TextIO:
        if split not in self._files:
            self._files[split] = self._stack.enter_context(self._folder.text(self._name.format(split=split)))
            self._files[split].write(self._first)
        return self._files[split]

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:
            if kind is None:
                for file in self._files.values():
                    file.write("\n" + self._last)
                if not self._files:
                    # Whoever loads it without looking finds an empty data set, not none.
                    self._file("train").write(self._last)

    def check(self, rule: Rule) -> None:
        """Read each file again.

        Raises `StorageFailed`.
        """
        for name in self.names:
            made = self._folder.made / name
            with made.open(encoding="utf-8", newline="") as file:
                if (why := rule(iter(file), made)) is not None:
                    raise refuse(self._folder.path / name, why)


def _damaged(image: ImageFile) -> DamagedPicture:
    return DamagedPicture(f"`{image['path']}` is missing or is not the picture that was judged; it is not shipped")


@contextmanager
def renewed(path: Path, *, root: Path, owner: str, is_ours: bool = False) -> Iterator[Folder]:
    """A folder to write to, which takes the place of `path` when the body has ended well.

    Args:
        root: what the pictures' paths are relative to.
        owner: which run it belongs to.
        is_ours: whatever is at `path` may be replaced: it lies in the run itself.

    Raises:
        UsageError: `path` holds something else, or another run's data set.
        StorageFailed: it cannot be written.
    """
    made = path.with_name(f".{path.name}.part")
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        mend(path)
        before = _record_of(path, owner, is_ours=is_ours)
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        try:
            folder = Folder(path, made, root, before)
            yield folder
            folder.settle_texts()
            _leave_record(folder, owner)
            put_in_place(made, path)
            _keep_what_is_not_ours(made, folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _record_of(path: Path, owner: str, *, is_ours: bool) -> dict[str, Any]:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return {}
    try:
        record: dict[str, Any] = json.loads((path / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        if is_ours and path.is_dir():
            return {}
        raise UsageError(f"`{path}` holds something that is no export of magid-graph; give another `--out`") from None
    if record.get("owner") != owner and not is_ours:
        raise UsageError(f"`{path}` holds the data set of another run; give another `--out`, or remove it")
    return record


def _leave_record(folder: Folder, owner: str) -> None:
    entries = sorted([*(entry.name for entry in folder.made.iterdir()), RECORD])
    record = {"magid_graph": __version__, "owner": owner, "entries": entries, "shards": folder.shards}
    (folder.made / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _keep_what_is_not_ours(old: Path, folder: Folder) -> None:
    """Files that a person has put beside the data set stay there."""
    if not old.is_dir() or not folder.before:
        return
    ours = set(folder.before.get("entries", ()))
    for entry in old.iterdir():
        if entry.name not in ours and not (folder.path / entry.name).exists():
            entry.rename(folder.path / entry.name)
