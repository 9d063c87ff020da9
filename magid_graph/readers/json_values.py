"""`.json`: a list of dialogues, or one dialogue, read value by value.

The standard library's decoder does the reading, on a buffer that holds one value at a time: memory is bounded by the
largest dialogue, and every fault has its line and column.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any, NoReturn, TextIO

from magid_graph.errors import InputError
from magid_graph.readers.rows import Row
from magid_graph.readers.shapes import is_dialogue, is_turn

_CHUNK = 1 << 16
MAX_VALUE_CHARS = 1 << 26
"""A value larger than 64 M characters is not a dialogue: reading it would take the memory of the machine."""
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def rows(file: TextIO, name: str) -> Iterator[Row]:
    """The dialogues of a JSON document. Raises `InputError` where it is not JSON, or holds no dialogues."""
    values = _Values(file, name)
    first = values.peek()
    if first == "[":
        yield from _told_apart(values.elements())
    elif first == "{":
        line, value = values.line, values.next()
        values.expect_end()
        if not is_dialogue(value):
            raise InputError(f"`{name}` holds one object without `turns` or `messages`; a list of dialogues is needed")
        yield Row(line, value)
    elif first:
        values.next()
        values.expect_end()
        raise InputError(f"`{name}` holds neither a list of dialogues nor one dialogue")


def _told_apart(elements: Iterator[Row]) -> Iterator[Row]:
    """The list's elements, or the list as a whole where all its elements are turns."""
    turns: list[Row] = []
    for row in elements:
        if is_dialogue(row.value) or not (turns or is_turn(row.value)):
            # What looked like turns before was a bad row each.
            yield from chain(turns, [row], elements)
            return
        turns.append(row)
    if turns:
        yield Row(turns[0].line, [row.value for row in turns])


class _Values:
    """A document as a sequence of values, decoded one at a time."""

    def __init__(self, file: TextIO, name: str) -> None:
        self._file, self._name = file, name
        self._text, self._at = "", 0
        self.line, self._column = 1, 1

    def elements(self) -> Iterator[Row]:
        """The elements of the list that begins here, to the end of the document."""
        self._take(1)
        if self.peek() == "]":
            self._take(1)
            return self.expect_end()
        while True:
            self.peek()
            yield Row(self.line, self.next())
            match self.peek():
                case ",":
                    self._take(1)
                case "]":
                    self._take(1)
                    return self.expect_end()
                case "":
                    self._fail("the list is not closed; is the file cut off?")
                case _:
                    self._fail("Expecting ',' delimiter")

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._take(space.end() - self._at if space else 0)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def next(self) -> Any:
        """The value that begins here."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                offset = error.pos - self._at
                if self._is_broken(error) or not self._read_on():
                    self._take(offset)
                    self._fail(error.msg)
            except RecursionError:
                self._fail("too many brackets inside one another")
            except ValueError as error:
                self._fail(str(error))
            else:
                # A number at the end of the buffer may go on.
                length, is_ended = end - self._at, end < len(self._text)
                if is_ended or not self._read_on():
                    self._take(length)
                    return value

    def expect_end(self) -> None:
        """Raise `InputError` unless only white space follows."""
        if self.peek():
            self._fail("the document goes on after its end (JSON Lines? name the file `.jsonl`)")

    def _is_broken(self, error: json.JSONDecodeError) -> bool:
        """Whether more text could not mend it: the fault is not at the end of what was read so far."""
        return error.pos < len(self._text) - 16 and not error.msg.startswith("Unterminated string")

    def _take(self, count: int) -> None:
        taken = self._text[self._at : self._at + count]
        if newlines := taken.count("\n"):
            self.line += newlines
            self._column = len(taken) - taken.rfind("\n")
        else:
            self._column += count
        self._at += count

    def _read_on(self) -> bool:
        """Read more text; twice as much each time, so that a large value is not decoded over and over."""
        kept = self._text[self._at :]
        if len(kept) > MAX_VALUE_CHARS:
            self._fail(f"a value of more than {MAX_VALUE_CHARS:,} characters begins here")
        more = self._file.read(max(_CHUNK, len(kept)))
        self._text, self._at = kept + more, 0
        return bool(more)

    def _fail(self, why: str) -> NoReturn:
        raise InputError(f"`{self._name}` is not valid JSON: {why} (line {self.line}, column {self._column})")
