"""Writing data sets: one output format per file, each a view of finished items that can be written again at any time.

Exporters stream: memory does not grow with the run. Each writes a neighbour of the file, reads it back by the rules of
those who will read it, and only then puts it in place. A picture is shipped only if its
bytes are those that were judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from magid_graph.exporters.gallery import write_gallery
from magid_graph.exporters.imagefolder import write_imagefolder
from magid_graph.exporters.items import FinishedItem
from magid_graph.exporters.magi import write_magi
from magid_graph.exporters.prompts import write_prompts

EXPORTERS: dict[str, Callable[[Iterable[FinishedItem], Path], Path]] = {
    "magi": write_magi,
    "imagefolder": write_imagefolder,
    "prompts": write_prompts,
    "gallery": write_gallery,
}
"""Each takes the finished items and the run directory, and returns the file that it wrote.

Raises `DamagedPicture`, which names the picture, or `StorageFailed`; what was there before then stays as it was.
"""

READS_EXCHANGES = ("prompts",)
"""The formats that show the exchanges of an item; to the others they may be left out."""

__all__ = ["EXPORTERS", "READS_EXCHANGES", "FinishedItem"]
