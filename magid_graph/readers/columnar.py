"""Parquet and Arrow files, as Hugging Face data sets are kept: a row is an object of its columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from magid_graph.errors import InputError
from magid_graph.readers.draft import Row
from magid_graph.readers.files import Part, check_file

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 256


def rows(part: Part) -> Iterator[Row]:
    """The rows; columns of bytes (pictures) are not read. Raises `InputError` where the file is damaged."""
    import pyarrow as pa

    check_file(part.path)
    number = 0
    try:
        for batch in _batches(part):
            for value in batch.to_pylist():
                number += 1
                yield Row(number, value)
    except (pa.ArrowException, OSError) as error:
        first = str(error).strip().partition("\n")[0]
        raise InputError(f"`{part.name}` cannot be read as {part.container}: {first}") from error


def _batches(part: Part) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    if part.container == "parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(part.path) as file:
            yield from file.iter_batches(_BATCH_ROWS, columns=_readable(file.schema_arrow), use_threads=False)
        return
    with pa.memory_map(str(part.path)) as file:
        for batch in _arrow_batches(file):
            kept = batch.select(_readable(batch.schema))
            yield from (kept.slice(at, _BATCH_ROWS) for at in range(0, kept.num_rows, _BATCH_ROWS))


def _arrow_batches(file: Any) -> Iterator[pa.RecordBatch]:
    """Of the file format, or of the stream format that `datasets` writes."""
    import pyarrow as pa

    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    if not is_file:
        yield from pa.ipc.open_stream(file)
        return
    with pa.ipc.open_file(file) as reader:
        for at in range(reader.num_record_batches):
            yield reader.get_batch(at)


def _readable(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if not _holds_bytes(field.type)]


def _holds_bytes(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(_holds_bytes(kind.field(at).type) for at in range(kind.num_fields))
    if types.is_list(kind) or types.is_large_list(kind):
        return _holds_bytes(kind.value_type)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))
