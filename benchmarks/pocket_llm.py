"""How well the pocket language model does its four jobs: `python -m benchmarks.pocket_llm [--gguf FILE] [--count N]`.

Held-out dialogues come from frames and nouns that training never used. They were made once, from the lists of
2026-11-25, and kept in a file: lists grow, and figures of different days would not be comparable. The crowded ones are
made from the held-out frames of `talk/free`, most of which name many things and show one. The everyday ones were
written by hand.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from openai import OpenAI

from magid_graph import prompts
from magid_graph.errors import ReplyFault
from magid_graph.models.grammars import describer_grammar, feedback_grammar, scanner_grammar, shorten_grammar
from magid_graph.models.llama_server import LlamaServer
from magid_graph.protocol import parse_feedback, parse_numbered, parse_scan, parse_shortened
from training.pocket import tasks
from training.pocket.dialogues import dialogues
from training.pocket.phrases import is_said, world_things

ROOT = Path(__file__).parents[1]
GGUF = ROOT / "magid_graph" / "pocket" / "weights" / "llm" / "pocket-llm.gguf"
HELD_OUT = ROOT / "tests" / "data" / "held_out.json"
EVERYDAY = ROOT / "tests" / "data" / "everyday.json"
SEED = 77
TOPICS = ("anything", "winter", "wild animals", "a birthday party", "music", "under the sea", "the city", "breakfast")

Row = tuple[str, float, str]
"""What was measured, its value, and the bar it has to pass."""


@dataclass(frozen=True, slots=True)
class Case:
    """A dialogue and, for each turn that shows something, the words of which a right description has one."""

    said: list[str]
    """What was said, without who said it."""
    lines: list[str]
    gold: dict[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Scanned:
    case: Case
    reply: str
    found: dict[int, str] | None
    """Descriptions by turn, or nothing where the reply did not parse."""


class Asker:
    """Asks a served model; counts what it wrote."""

    def __init__(self, server: LlamaServer) -> None:
        self.client = OpenAI(base_url=server.base_url, api_key=server.api_key)
        self.tokens_per_s: list[tuple[int, float]] = []

    def __call__(self, name: str, grammar: str, temperature: float = 0.0, **values: object) -> str:
        """The reply to a brief of `magid_graph/prompts`."""
        return self.reply(prompts.render(name, **values), grammar, temperature)

    def reply(self, messages: list[dict[str, str]], grammar: str, temperature: float = 0.0) -> str:
        reply: Any = self.client.chat.completions.create(
            model="pocket",
            messages=messages,  # type: ignore[arg-type]
            temperature=temperature,
            max_tokens=600,
            seed=SEED,
            extra_body={"grammar": grammar},
        )
        timings = (reply.model_extra or {}).get("timings", {})
        self.tokens_per_s.append((timings.get("predicted_n", 0), timings.get("predicted_per_second", 0.0)))
        return reply.choices[0].message.content or ""


@contextmanager
def served(gguf: Path, *, parallel: int = 1, threads: int = 2) -> Iterator[Asker]:
    server = LlamaServer(gguf, context_tokens=2048, parallel=parallel, threads=threads)
    try:
        yield Asker(server)
    finally:
        server.close()


def crowded_cases(count: int) -> list[Case]:
    cases = []
    for one in islice(dialogues(SEED, "held_out", plain=0), count):
        lines = [tasks.utterance_line(i, turn) for i, turn in enumerate(one.turns)]
        cases.append(Case([turn.text for turn in one.turns], lines, {i: one.turns[i].names for i in one.moments()}))
    return cases


def kept_cases(path: Path, count: int | None = None) -> list[Case]:
    """The first dialogues of a file."""
    cases = []
    for one in json.loads(path.read_text(encoding="utf-8"))[:count]:
        said = [turn if isinstance(turn, str) else turn["text"] for turn in one["turns"]]
        lines = [f"Utterance: {i}: {spoken(turn)}" for i, turn in enumerate(one["turns"])]
        cases.append(Case(said, lines, {int(i): tuple(words) for i, words in one["gold"].items()}))
    return cases


def spoken(turn: str | dict[str, str]) -> str:
    if isinstance(turn, str):
        return turn
    return f"{turn['speaker']}: {turn['text']}" if turn.get("speaker") else turn["text"]


def scan(ask: Asker, case: Case) -> Scanned:
    """As many pictures are allowed as there are moments, and two at least: choosing too many is possible."""
    limit, indices = max(2, len(case.gold)), range(len(case.lines))
    grammar = scanner_grammar(indices, limit, said=case.said)
    reply = ask("scanner/brief", grammar, max_images=limit, dialogue="\n".join(case.lines))
    try:
        found = parse_scan(reply, turns=indices, max_images=limit, utterances=dict(enumerate(case.lines)))
    except ReplyFault:
        return Scanned(case, reply, None)
    return Scanned(case, reply, {one.turn: one.description for one in found})


def f1(results: Sequence[Scanned]) -> float:
    """Of turns chosen against turns that show something, over all dialogues together."""
    right = sum(len((r.found or {}).keys() & r.case.gold.keys()) for r in results)
    chosen, wanted = sum(len(r.found or {}) for r in results), sum(len(r.case.gold) for r in results)
    return 2 * right / max(1, chosen + wanted)


def names_right(results: Sequence[Scanned]) -> float:
    """Of the turns rightly chosen, the share whose description names what is shown."""
    pairs = [(r.case.gold[i], text) for r in results for i, text in (r.found or {}).items() if i in r.case.gold]
    return sum(any(is_said(word, text) for word in words) for words, text in pairs) / max(1, len(pairs))


def parsed(results: Sequence[Scanned]) -> float:
    return sum(r.found is not None for r in results) / max(1, len(results))


def feedback_is_new(ask: Asker, sample: tasks.Sample) -> bool:
    """Whether the reply to a feedback brief is a description that was not tried."""
    index = int(re.search(r"Utterance: (\d+):", sample.reply)[1])  # type: ignore[index]
    earlier = re.findall(r'^\d+\. "(.*?)": ', sample.brief, re.MULTILINE)
    reply = ask.reply([{"role": "user", "content": sample.brief}], feedback_grammar(index, said=[sample.brief]))
    try:
        parse_feedback(reply, turn=index, earlier=earlier)
    except ReplyFault:
        return False
    return True


def described(ask: Asker, topic: str, avoid: Sequence[str] = (), count: int = 10) -> list[str]:
    """Different descriptions on a topic; `count` were asked for."""
    values = {"count": count, "topic": topic, "avoid": "\n".join(avoid)}
    return parse_numbered(ask("describer/brief", describer_grammar(count), temperature=1.0, **values), count)


def is_known(text: str) -> bool:
    """Whether a description names an object of the picture-book world."""
    return any(is_said(thing.word, text) for thing in world_things())


def fits_topic(text: str, topic: str) -> bool:
    """Whether a description names one of the objects that the topic makes one think of."""
    names = {thing.name for name, things, _ in tasks.topics() if name == topic for thing in things}
    return any(is_said(thing.word, text) for thing in world_things() if thing.name in names)


def shorten_fits(ask: Asker, sample: tasks.Sample) -> bool:
    limit = int(re.search(r"at most (\d+) words", sample.brief)[1])  # type: ignore[index]
    try:
        grammar = shorten_grammar(limit, said=sample.brief.partition("words: ")[2])
        parse_shortened(ask.reply([{"role": "user", "content": sample.brief}], grammar), limit)
    except ReplyFault:
        return False
    return True


def rows(gguf: Path = GGUF, count: int = 150, threads: int = 2) -> list[Row]:
    """What is promised of the model, as (what, value, bar)."""
    rng = random.Random(SEED)
    with served(gguf, parallel=4, threads=threads) as ask, ThreadPoolExecutor(4) as pool:
        held_out = list(pool.map(lambda case: scan(ask, case), kept_cases(HELD_OUT, count)))
        crowded = list(pool.map(lambda case: scan(ask, case), crowded_cases(count)))
        everyday = list(pool.map(lambda case: scan(ask, case), kept_cases(EVERYDAY)))
        feedback = [tasks.feedback(rng, "held_out") for _ in range(count // 4)]
        shorten = [tasks.shorten(rng, "held_out") for _ in range(count // 4)]
        new = list(pool.map(lambda sample: feedback_is_new(ask, sample), feedback))
        short = list(pool.map(lambda sample: shorten_fits(ask, sample), shorten))
        first = list(pool.map(lambda topic: described(ask, topic), TOPICS))
        again = list(pool.map(lambda topic, told: described(ask, topic, told), TOPICS, first))
    everything = [*held_out, *crowded, *everyday]
    return [
        ("scanner F1, held-out dialogues", f1(held_out), "≥ 0.80"),
        ("scanner F1, everyday dialogues", f1(everyday), "≥ 0.60"),
        ("scanner F1, crowded held-out dialogues", f1(crowded), ""),
        ("description names the object, held-out", names_right(held_out), "≥ 0.85"),
        ("description names the object, everyday", names_right(everyday), "≥ 0.85"),
        ("description names the object, crowded held-out", names_right(crowded), ""),
        ("scanner replies that parse", parsed(everything), "= 1.00"),
        ("feedback replies that are new descriptions", sum(new) / len(new), ""),
        ("shortened descriptions that fit", sum(short) / len(short), ""),
        *describer_rows(first, again),
        ("tokens per second, one reply at a time", speed(gguf, threads), "≥ 60"),
    ]


def describer_rows(first: Sequence[Sequence[str]], again: Sequence[Sequence[str]]) -> list[Row]:
    """Of ten descriptions asked for on each topic, and of ten more by a model that is told the first ten."""
    themed = [
        (text, topic) for topic, texts in zip(TOPICS, first, strict=True) if topic != "anything" for text in texts
    ]
    texts, wanted = [text for found in first for text in found], 10 * len(TOPICS)
    new = [len(set(more) - set(told)) for told, more in zip(first, again, strict=True)]
    return [
        ("described scenes that are distinct", len(texts) / wanted, ""),
        ("· ten more that are new", sum(new) / wanted, ""),
        ("· of the world's objects", sum(map(is_known, texts)) / max(1, len(texts)), ""),
        ("· on the topic", sum(fits_topic(text, topic) for text, topic in themed) / max(1, len(themed)), ""),
    ]


def speed(gguf: Path, threads: int, count: int = 8) -> float:
    """Tokens written per second of writing, with the grammar."""
    with served(gguf, threads=threads) as ask:
        for case in kept_cases(HELD_OUT, count):
            scan(ask, case)
        written = sum(tokens for tokens, _ in ask.tokens_per_s)
        return written / sum(tokens / rate for tokens, rate in ask.tokens_per_s if rate)


def show_faults(gguf: Path, count: int) -> None:
    """Print the dialogues whose moments were not found exactly."""
    with served(gguf) as ask:
        for case in kept_cases(HELD_OUT, count):
            result = scan(ask, case)
            if (result.found or {}).keys() != case.gold.keys():
                print("\n".join(case.lines), result.reply, f"gold: {case.gold}", "", sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gguf", type=Path, default=GGUF)
    parser.add_argument("--count", type=int, default=150, help="held-out dialogues")
    parser.add_argument(
        "--faults", action="store_true", help="show the held-out dialogues that were scanned wrongly instead"
    )
    parser.add_argument("--threads", type=int, default=2, help="1 where others use the processor too")
    given = parser.parse_args()
    if given.faults:
        show_faults(given.gguf, given.count)
        return
    began = time.monotonic()
    for what, value, bar in rows(given.gguf, given.count, given.threads):
        print(f"{what:45} {value:8.3f}  {bar}")
    print(f"measured in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
