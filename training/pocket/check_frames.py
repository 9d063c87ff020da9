"""Whether sentence frames can be used: `python -m training.pocket.check_frames [--show N] FILE …`.

Each frame of a `shares*.txt` or `talk*.txt` is filled in with many topics. What is wrong is printed with its line: two
turns that show something, a slot left over, a caption with words that were not said. `talk/README.md` says how frames
are written.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from magid_graph.models.wording import LOOK_BACK, PLAIN
from magid_graph.protocol import normalised
from training.pocket.dialogues import Turn, exchange
from training.pocket.phrases import HERE, Topic, lines, other_things, pick_thing, world_things

TRIALS = 25
"""Topics with which each frame is tried."""
MOST_WORDS = 17


def faults(path: Path, show: int = 0) -> Iterator[tuple[int, str, str]]:
    """Line number, frame and what is wrong with it."""
    is_talk = path.name.startswith("talk")
    known = {line for other in (HERE / "talk").rglob("*.txt") if other != path.resolve() for line in lines(other)}
    categories = {thing.category for thing in (*world_things(), *other_things())}
    section: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        frame = line.strip()
        if not frame or frame.startswith("#"):
            continue
        if frame.startswith("["):
            section = frame.strip("[]").split()
            if not is_talk and section != ["any"] and not set(section) <= categories:
                yield number, frame, f"is no list of categories: {', '.join(sorted(categories))}"
        elif frame in known:
            yield number, frame, "is there twice"
        elif fault := _fault(frame, [] if is_talk or section == ["any"] else section, is_talk=is_talk, show=show):
            yield number, frame, fault
        known.add(frame)


def _fault(frame: str, categories: list[str], *, is_talk: bool, show: int) -> str | None:
    shown = sum(part.startswith("*") for part in frame.partition("=>")[0].split(" // "))
    if shown != (0 if is_talk else 1):
        return f"{shown} turns begin with *"
    if frame.count("(") != frame.count(")"):
        return "brackets do not match"
    for seed in range(TRIALS):
        rng = random.Random(seed)
        thing = pick_thing(rng, "train", rng.choice(categories) if categories else "")
        try:
            turns = exchange(frame, Topic.about(rng, "train", thing))
        except KeyError as missing:
            return f"there is no slot {missing}"
        if seed < show:
            print("  ", *(turn.text for turn in turns), "=>", *(turn.caption for turn in turns if turn.caption))
        if fault := next(filter(None, (_fault_of(turns, at) for at in range(len(turns)))), None):
            return fault
    return None


def _fault_of(turns: list[Turn], at: int) -> str | None:
    turn = turns[at]
    if left := re.search(r"[{}*|]|=>", turn.text + turn.caption):
        return f"`{left[0]}` is left over in `{turn.text}`"
    if not turn.caption:
        return None
    if len(turn.caption.split()) > MOST_WORDS:
        return f"the caption `{turn.caption}` is long"
    said = set(normalised(" ".join(one.text for one in turns[max(0, at - LOOK_BACK) : at + 1])).split())
    strange = [word for word in normalised(turn.caption).split() if word not in said | PLAIN]
    return f"the caption `{turn.caption}` has words that were not said: {strange}" if strange else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--show", type=int, default=0, help="print each frame as this many topics fill it in")
    options = parser.parse_args()
    found = 0
    for path in options.files:
        for number, frame, fault in faults(path, options.show):
            found += 1
            print(f"{path.name}:{number}: {fault}\n    {frame}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
