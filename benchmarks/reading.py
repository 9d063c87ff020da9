"""How fast dialogues are read, and in how much memory. Each measurement has a process of its own.

`--json-gb` sets the size of the JSON list (2 GB); files lie in a temporary folder and are removed.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from benchmarks.report import Figure

_SAID = "look at my new kite it is red and we flew by the sea yesterday with bread for all of you how nice"
_LINES_MB = 200
_PLACE = "@"
"""Where the number goes in the id of a dialogue."""


def figures(*, json_gb: float) -> list[Figure]:
    """Measure reading in every shape that is large in practice."""
    with tempfile.TemporaryDirectory(prefix="magid-graph-io-") as place:
        folder = Path(place)
        return [
            *_speed("JSON Lines of turns", _written(folder / "turns.jsonl", _turns, _LINES_MB), bar=50),
            *_speed("JSON Lines of MMDialog", _written(folder / "media.jsonl", _mmdialog, _LINES_MB), bar=50),
            *_speed("a JSON list of PhotoChat", _written(folder / "photos.json", _photochat, _LINES_MB)),
            *_speed("the same list by ijson, rows only", folder / "photos.json", how="ijson"),
            *_speed("the same list by our reader, rows only", folder / "photos.json", how="rows"),
            *_memory(_written(folder / "large.json", _turns, 1000 * json_gb)),
        ]


def _speed(what: str, path: Path, *, how: str = "records", bar: float | None = None) -> list[Figure]:
    found = _measured(path, how)
    mb = path.stat().st_size / 1e6
    return [
        Figure(f"{what}: read", mb / found["wall_s"], "MB/s", bar),
        Figure(f"{what}: read, per second of CPU", mb / found["cpu_s"], "MB/s"),
        Figure(f"{what}: dialogues", found["rows"] / found["wall_s"], "/s"),
    ]


def _memory(path: Path) -> list[Figure]:
    found = _measured(path, "records")
    gb = path.stat().st_size / 1e9
    what = f"a JSON list of {gb:.1f} GB, {found['rows'] / 1e6:.1f} M dialogues"
    return [
        Figure(f"{what}: largest memory of the process", found["peak_mb"], "MB", 200, "less"),
        Figure(f"{what}: of which before reading", found["start_mb"], "MB"),
        Figure(f"{what}: read", path.stat().st_size / 1e6 / found["wall_s"], "MB/s"),
    ]


# -- files


def _written(path: Path, dialogue: Callable[[str, random.Random], Any], megabytes: float) -> Path:
    """Invented dialogues, about as many as asked for, with an id each; a name in `.json` makes a list of them."""
    chance = random.Random(0)
    # A few thousand different ones: making each anew would take longer than all that is measured.
    forms = [json.dumps(dialogue(_PLACE, chance)).partition(_PLACE) for _ in range(5000)]
    begin, between, end = ("[\n", ",\n", "\n]\n") if path.suffix == ".json" else ("", "\n", "\n")
    left = megabytes * 1e6
    with path.open("w", encoding="utf-8") as file:
        for at in count():
            before, _, after = forms[at % len(forms)]
            left -= file.write(f"{between if at else begin}{before}{at}{after}")
            if left < 0:
                break
        file.write(end)
    return path


def _texts(chance: random.Random) -> list[str]:
    return [" ".join(chance.choices(_SAID.split(), k=12)) for _ in range(8)]


def _turns(id: str, chance: random.Random) -> dict[str, Any]:
    said = [{"speaker": ("Ada", "Ben")[n % 2], "text": text} for n, text in enumerate(_texts(chance))]
    return {"id": id, "turns": said}


def _mmdialog(id: str, chance: random.Random) -> dict[str, Any]:
    turns = [{"turn": [{"__TEXT__": f"{text} :star:"}]} for text in _texts(chance)]
    turns[3]["turn"].append({"__MEDIA__": str(chance.getrandbits(62))})
    return {"conversation_id": id, "conversation": turns}


def _photochat(id: str, chance: random.Random) -> dict[str, Any]:
    sent = [{"message": text, "share_photo": False, "user_id": n // 2 % 2} for n, text in enumerate(_texts(chance))]
    sent.insert(4, {"message": "", "share_photo": True, "user_id": 1})
    photo = {"photo_description": "Objects in the photo: Kite", "photo_id": f"train/{chance.getrandbits(62):016x}"}
    return {"dialogue": sent, "dialogue_id": id, **photo}


# -- one measurement, in a process of its own


def _measured(path: Path, how: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.reading", how, str(path)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def _measure(how: str, path: Path) -> dict[str, float]:
    with _opened(how, path) as rows:
        next(rows)  # imports and the look at the first rows are no part of reading
        process = psutil.Process()
        read, start_mb = 1, process.memory_info().rss / 1e6
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in rows:
            read += 1
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"rows": read, "wall_s": wall, "cpu_s": cpu, "start_mb": start_mb, "peak_mb": _peak_mb()}


@contextmanager
def _opened(how: str, path: Path) -> Iterator[Iterator[Any]]:
    if how == "ijson":
        import ijson  # type: ignore[import-untyped]

        with path.open("rb") as file:
            yield iter(ijson.items(file, "item", use_float=True))
        return
    from magid_graph.readers import open_input
    from magid_graph.readers.values import values

    with open_input(path) as source:
        yield source.dialogues() if how == "records" else values(source.found.parts[0])


def _peak_mb() -> float:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], Path(sys.argv[2]))))
