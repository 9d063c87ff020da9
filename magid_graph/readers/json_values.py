"""JSON documents, read value by value: a list of dialogues, one dialogue, or an object of dialogues or of such lists.

The standard library's decoder does the reading, on a buffer that holds one value at a time: memory is bounded by the
largest dialogue, and every row and every fault has its line. `ijson` streams as fast, but does not say on which line a
value stands (`python -m benchmarks.io` measures both).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn, TextIO

from magid_graph.errors import InputError
from magid_graph.readers.draft import Row
from magid_graph.readers.json_lines import as_null

_CHUNK = 1 << 16
MAX_VALUE_CHARS = 1 << 26
"""A value larger than 64 M characters is not a dialogue: reading it would take the memory of the machine."""
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder(parse_constant=as_null)
_LISTS = ("train", "valid", "validation", "dev", "val", "test", "data")
"""Keys of a document under which lists of dialogues stand."""


def rows(file: TextIO, name: str) -> Iterator[Row]:
    """The dialogues of a JSON document. Raises `InputError` where it is not JSON, or holds no dialogues."""
    values = _Values(file, name)
    first = values.peek()
    if first == "[":
        yield from values.elements()
    elif first == "{":
        yield from _of_object(values)
    elif first:
        values.next()
        values.expect_end()
        raise InputError(f"`{name}` holds neither a list of dialogues nor one dialogue")
    values.expect_end()


def _of_object(values: _Values) -> Iterator[Row]:
    """The rows of its lists (other members are notes), or its members by id, or else the object itself."""
    begin, start = values.line, values.position
    members: list[Row] = []
    has_lists = is_by_id = False
    for line, key in values.members():
        if key in _LISTS and values.peek() == "[":
            has_lists = True
            for row in values.elements():
                yield Row(row.line, row.value, split=key)
            continue
        members.append(Row(line, values.next(), name=key))
        is_by_id = is_by_id or _is_dialogue_by_id(members[-1])
        if is_by_id:
            yield from members
            members = []
        elif values.position - start > MAX_VALUE_CHARS:
            values.fail(f"an object of more than {MAX_VALUE_CHARS:,} characters is no dialogue")
    if not has_lists and not is_by_id:
        yield Row(begin, {row.name: row.value for row in members})


def _is_dialogue_by_id(member: Row) -> bool:
    """Whether the member of a document is a dialogue: a list of `["txt", …]` and `["img", …]`."""
    entries = member.value
    return isinstance(entries, list) and any(isinstance(one, list) and one[:1] in (["txt"], ["img"]) for one in entries)


class _Values:
    """A document as a sequence of values, decoded one at a time."""

    def __init__(self, file: TextIO, name: str) -> None:
        self._file, self._name = file, name
        self._text, self._at, self._passed = "", 0, 0
        self.line, self._column = 1, 1

    @property
    def position(self) -> int:
        """How many characters were taken so far."""
        return self._passed + self._at

    def elements(self) -> Iterator[Row]:
        """The elements of the list that begins here."""
        self._take(1)
        is_over = self._ends("]")
        while not is_over:
            self.peek()
            yield Row(self.line, self.next())
            is_over = self._goes_on("]", "list")

    def members(self) -> Iterator[tuple[int, str]]:
        """Line and key of each member of the object that begins here; its value is for the caller to take."""
        self._take(1)
        is_over = self._ends("}")
        while not is_over:
            if self.peek() != '"':
                self.fail("Expecting property name enclosed in double quotes")
            line, key = self.line, self.next()
            if self.peek() != ":":
                self.fail("Expecting ':' delimiter")
            self._take(1)
            self.peek()
            yield line, key
            is_over = self._goes_on("}", "object")

    def _ends(self, bracket: str) -> bool:
        is_over = self.peek() == bracket
        self._take(is_over)
        return is_over

    def _goes_on(self, bracket: str, what: str) -> bool:
        """Step over what follows a value. Returns whether that is the end."""
        found = self.peek()
        if found not in (",", bracket):
            self.fail("Expecting ',' delimiter" if found else f"the {what} is not closed; is the file cut off?")
        self._take(1)
        return found == bracket

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
                    is_at_end = not self._text[self._at + offset :].strip() or error.msg.startswith(
                        "Unterminated string"
                    )
                    self._take(offset)
                    self.fail(f"{error.msg}; is the file cut off?" if is_at_end else error.msg)
            except RecursionError:
                self.fail("too many brackets inside one another")
            except ValueError as error:
                self.fail(str(error))
            else:
                # A number at the end of the buffer may go on.
                length, is_ended = end - self._at, end < len(self._text)
                if is_ended or not self._read_on():
                    self._take(length)
                    return value

    def expect_end(self) -> None:
        """Raise `InputError` unless only white space follows."""
        if self.peek():
            self.fail("the document goes on after its end")

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
            self.fail(f"a value of more than {MAX_VALUE_CHARS:,} characters begins here")
        more = self._file.read(max(_CHUNK, len(kept)))
        self._passed += self._at
        self._text, self._at = kept + more, 0
        return bool(more)

    def fail(self, why: str) -> NoReturn:
        raise InputError(
            f"`{self._name}` is not valid JSON: {why} (line {self.line}, column {self._column}); mend it there, or"
            f" write one dialogue per line (JSON Lines), where a broken row stops no other"
        )
