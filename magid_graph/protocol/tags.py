"""The tags of a reply: `<reason>…</reason>` and `<result>…</result>`, in either order, in any case."""

from __future__ import annotations

import re
from itertools import zip_longest

from magid_graph.errors import ReplyFault

_THOUGHT_BEGINS = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_THOUGHT_ENDS = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*```[\w-]*[ \t]*$", re.MULTILINE)
_REASON = re.compile(r"<\s*reason\s*>((?:(?!<\s*reason\s*>).)*?)<\s*/\s*reason\s*>", re.IGNORECASE | re.DOTALL)
_OPEN_REASON = re.compile(r"<\s*reason\s*>([^<]*)", re.IGNORECASE)
_TAG = re.compile(r"<\s*(/?)\s*(reason|result)\s*>", re.IGNORECASE)
_COMPLETE = re.compile(r"(?:[.!?…\"'”’`)]|\n)\s*\Z")
REFUSAL = re.compile(
    r"\A\W*(?:(?:i'm|i am|we're|we are) (?:very |so |really )?(?:sorry|afraid|unable|not able)\b|(?:sorry|apologies)\b"
    r"|i (?:can't|can not|cannot|won't|will not|must decline|do not feel|don't feel)\b|as an ai\b|unfortunately,? i\b)",
    re.IGNORECASE,
)


def plain(reply: str) -> str:
    """The reply with real line ends, without thoughts and code fences."""
    text = reply.replace("\r\n", "\n").replace("\r", "\n").replace("\\r\\n", "\n").replace("\\n", "\n")
    # A chat template may open the thought itself, so that the reply only closes it: what counts comes after the end.
    text = _THOUGHT_ENDS.split(text)[-1]
    return _FENCE.sub("", _THOUGHT_BEGINS.split(text, maxsplit=1)[0])


def is_refusal(text: str) -> bool:
    """Whether the text declines to answer: `I'm sorry, I cannot …`."""
    return REFUSAL.match(text.replace("’", "'").strip()) is not None


def reason_of(text: str) -> str:
    """All reasons as one line; empty when the reply gives none."""
    reasons = _REASON.findall(text) or _OPEN_REASON.findall(text)
    return " ".join(" ".join(reasons).split())


def results_of(text: str) -> list[str]:
    """The bodies of all result tags.

    Raises `ReplyFault` when there is none, or when one is not closed. Only the very end of the reply may lack its
    closing tag (servers swallow it when it is their stop word), and only after a complete line: else it was cut off.
    """
    # A reason may mention the result tag; only when nothing else holds a result was it nested there.
    bodies = _bodies(_REASON.sub("", text)) or _bodies(text)
    if not bodies:
        raise ReplyFault(_no_result(text))
    return bodies


def _no_result(text: str) -> str:
    if is_refusal(text):
        return "the reply is a refusal; write a <result> tag, with none in it if no utterance deserves a picture"
    return "the reply has no <result> tag; write the answer between <result> and </result>"


def _bodies(text: str) -> list[str]:
    bodies, tags = [], list(_TAG.finditer(text))
    for here, after in zip_longest(tags, tags[1:]):
        if here[2].lower() != "result" or here[1]:
            continue
        body = text[here.end() : after.start() if after else len(text)]
        if after is None and not _COMPLETE.search(body) and body.strip().lower() != "none":
            raise ReplyFault("the reply is cut off: the last line is not complete and </result> is missing")
        if after is not None and (after[2].lower(), after[1]) != ("result", "/"):
            raise ReplyFault("a <result> tag is not closed; write </result> before any other tag")
        bodies.append(body)
    return bodies
