"""Writing the page: items stream through it in chunks, so that memory and the browser's first second stay small."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from magid_graph.diagram import as_svg, diagram_of, style
from magid_graph.exporters.files import replacing
from magid_graph.graph import GRAPHS, bounds
from magid_graph.page.items import Edges, IndexRow, detail, images, index_row
from magid_graph.page.thumbnails import thumbnail
from magid_graph.readers.text import normalise
from magid_graph.records import ItemState
from magid_graph.trace.glance import Glance
from magid_graph.trace.reading import Reading, Trace

if TYPE_CHECKING:
    from jinja2 import Template

CHUNK = 24
"""Items that are unpacked together: as many as the page shows at once."""

MOST_EMBEDDED = 1000
"""Pictures that travel inside a page, about 10 MB; a page of more shows the files beside it."""

_FINISHED: tuple[ItemState, ...] = ("accepted", "rejected", "failed")

_GRAPH = {"dialogue": "dialogue", "pairs": "chain"}
"""The graph that one item runs through, by the kind of run."""

_SCRIPTS = ("dom", "data", "parts", "overview", "gallery", "item", "main")
"""In the order in which they build on each other."""


@dataclass(frozen=True, slots=True)
class Written:
    """A page that was written."""

    path: Path
    items: int
    left_out: int
    """Items that the run has and the page has not."""
    embedded: int
    """Pictures inside the page; the others are shown from the run directory."""


def write_page(
    reading: Reading, path: Path, *, most: int | None = None, is_embedding: bool = True, with_exchanges: bool = True
) -> Written:
    """Write the page of a run, or of its first `most` items.

    `is_embedding`: carry small pictures inside, if there are not more than `MOST_EMBEDDED`; else they are shown from
    the run directory, and the page has to stay where it is.
    """
    counts = reading.counts()
    finished = sum(counts[state] for state in _FINISHED)
    kept = finished if most is None else min(most, finished)
    is_embedding = is_embedding and reading.pictures() <= MOST_EMBEDDED
    page = _Page(reading, path, is_embedding=is_embedding, left_out=finished - kept)
    traces = reading.traces(_FINISHED, with_exchanges=with_exchanges)
    with replacing(path, lambda part: None) as file:
        file.writelines(_template().generate(page=page, chunks=page.chunks(islice(traces, kept))))
    return Written(path, len(page), page.left_out, page.embedded)


class _Page:
    """What the template asks for: chunk after chunk first, and last what depends on all items."""

    def __init__(self, reading: Reading, path: Path, *, is_embedding: bool, left_out: int) -> None:
        run = reading.run
        self.title = normalise(run.path.resolve().name)
        self.kind = reading.kind
        self.is_embedding = is_embedding
        self.left_out = left_out
        self.embedded = 0
        self.css, self.script = _css(), _script()
        self._run = run
        self._diagram = diagram_of(GRAPHS[_GRAPH[reading.kind]](), bounds(run.settings()))
        self._edges = Edges(self._diagram)
        self._images = _address(run.path, path.parent)
        self._index: list[IndexRow] = []
        self._seen = Glance(reading.limits)
        self._taken: Counter[str] = Counter()

    def chunks(self, traces: Iterable[Trace]) -> Iterator[tuple[str, str]]:
        """The details of some items, packed, and their pictures, if the page carries them."""
        while some := list(islice(traces, CHUNK)):
            for trace in some:
                self._note(trace)
            details = _json([detail(trace, self._edges) for trace in some])
            # Prompts repeat: packed, a page of 10,000 items has a tenth of its size.
            packed = base64.b64encode(gzip.compress(details.encode(), compresslevel=6, mtime=0)).decode()
            yield packed, _json(self._thumbnails(some)) if self.is_embedding else ""

    def about(self) -> str:
        """JSON: the run, its counts, and a row for each item."""
        manifest = self._run.manifest
        return _json(
            {
                "title": self.title,
                "kind": self.kind,
                "preset": manifest["preset"],
                "seed": manifest["seed"],
                "created_at": manifest["created_at"],
                "models": {kind: name for kind, name in manifest["models"].items() if name},
                "images": self._images,
                "left_out": self.left_out,
                "chunk": CHUNK,
                "glance": self._seen.as_json(),
                "edges": self._taken,
                "items": self._index,
            }
        )

    def graph(self) -> str:
        return as_svg(self._diagram, is_alone=False)

    @property
    def policy(self) -> str:
        """The content security policy: no address but the pictures', no script and no style but the page's own."""
        images = "data:" if self.is_embedding else "data: 'self' file:"
        return (
            f"default-src 'none'; img-src {images}; style-src {_hash(self.css)}; script-src {_hash(self.script)};"
            " base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
        )

    def __len__(self) -> int:
        return len(self._index)

    def _note(self, trace: Trace) -> None:
        taken = self._edges.taken(trace.steps)
        self._index.append(index_row(trace, taken))
        self._seen.add(trace)
        self._taken.update(taken)

    def _thumbnails(self, traces: Iterable[Trace]) -> dict[str, str]:
        found = {image["path"]: thumbnail(self._run.path, image) for trace in traces for image in images(trace)}
        self.embedded += len(found)
        return {path: small for path, small in found.items() if small is not None}


def _address(run_dir: Path, page_dir: Path) -> str | None:
    """How the page's folder names the run directory; `None` from another drive."""
    try:
        return quote(Path(os.path.relpath(run_dir.resolve(), page_dir.resolve())).as_posix()) + "/"
    except ValueError:
        return None


def _json(value: object) -> str:
    """JSON that may stand in a page: `<` cannot end the element that it is in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _template() -> Template:
    from jinja2 import Environment

    return Environment(autoescape=True, trim_blocks=True).from_string(_file("page.html"))


def _css() -> str:
    return style() + _file("page.css")


def _script() -> str:
    return '"use strict";\n' + "\n".join(_file(f"scripts/{name}.js") for name in _SCRIPTS)


def _file(name: str) -> str:
    return (resources.files(__package__) / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
