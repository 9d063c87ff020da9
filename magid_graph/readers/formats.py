"""All formats by name, in the order in which they are tried: from the most telling shape to the plainest."""

from __future__ import annotations

from magid_graph.readers import (
    dailydialog,
    dialogcc,
    magid,
    mapped,
    mmdd,
    mmdialog,
    openai_chat,
    personachat,
    photochat,
    plain_text,
    sharegpt,
    stark,
    turns,
)  # fmt: skip
from magid_graph.readers.format import Format

_MODULES = (
    mmdialog, photochat, dialogcc, mmdd, dailydialog, personachat, magid, stark, sharegpt, openai_chat, turns,
    plain_text, mapped,
)  # fmt: skip

FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in _MODULES}
