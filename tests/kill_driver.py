"""A process that runs `magid-graph` once for each line on its standard input, in a child that a test may kill.

Everything is imported once, here: a child is at work within milliseconds, so that a kill can meet it anywhere. Each
question to a model is noted in a file before it is answered, one line per question.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import PngImagePlugin  # noqa: F401

from magid_graph import cli, exporters, session  # noqa: F401
from magid_graph.models import Message, Reply, chat, fake, opening  # noqa: F401

LOG = Path(sys.argv[1]) if __name__ == "__main__" else Path()


class NotedChat(fake.FakeChat):
    async def reply(self, messages: Sequence[Message], *, seed: int | None = None, **options: Any) -> Reply:
        note(question(messages, seed))
        return await super().reply(messages, seed=seed, **options)


class NotedPainter(fake.FakeTextToImage):
    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Any]:
        for prompt, seed in zip(prompts, seeds, strict=True):
            note(drawing(prompt, seed))
        return super().generate(prompts, seeds)


def question(messages: Sequence[Message], seed: int | None) -> str:
    return hashlib.sha256(json.dumps([list(messages), seed]).encode()).hexdigest()


def drawing(prompt: str, seed: int) -> str:
    return f"{seed} {prompt}"


def note(line: str) -> None:
    handle = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def serve() -> None:
    fake.FakeChat, fake.FakeTextToImage = NotedChat, NotedPainter  # type: ignore[misc]
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            sys.argv = ["magid-graph", *json.loads(line)]
            cli.main()
            os._exit(0)
        say(child)
        _, status = os.waitpid(child, 0)
        say(os.waitstatus_to_exitcode(status))


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve()
