"""Text is normalised at the door, and nowhere else."""

from __future__ import annotations

import re

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def normalise(text: str) -> str:
    """The text as every later step may rely on it: encodable as UTF-8, with no control characters but `\\n` and `\\t`.

    Lone surrogates (common in scraped chats) become U+FFFD, line ends become `\\n`, other control characters go.
    The rest is kept as it was written, right-to-left marks included. There is no Unicode normalisation (NFC), because
    what goes in as text has to come out of the data set as the same text.
    """
    if text.isprintable():
        return text
    text = _LONE_SURROGATE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _CONTROL.sub("", text)
