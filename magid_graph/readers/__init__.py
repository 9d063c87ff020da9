"""Reading dialogues: one input format per file, streaming, so that memory does not grow with the input.

A problem of the whole input is an `InputError`. A problem of one row is a `BadRow`, and the rows after it are read.
"""

from __future__ import annotations

from magid_graph.readers.source import FORMATS, Input, open_input, read

__all__ = ["FORMATS", "Input", "open_input", "read"]
