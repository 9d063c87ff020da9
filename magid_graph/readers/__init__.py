"""Reading dialogues: one format per file, streaming, so that memory does not grow with the input.

`files` opens them, `values` takes their rows out of JSON, CSV or Parquet, `detect` tells the format, the format's
reader makes a draft of each row, and `finishing` a record of each draft. A problem of the whole input is an
`InputError`. A problem of one row is a `BadRow`, and the rows after it are read.
"""

from __future__ import annotations

from magid_graph.readers.formats import FORMATS
from magid_graph.readers.source import Input, open_input, read

__all__ = ["FORMATS", "Input", "open_input", "read"]
