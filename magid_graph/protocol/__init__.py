"""What is sent to the language model and how its replies are read: pure functions, strict and range-checked.

A reply is text from a stranger. It is either what the protocol says, or a `ReplyFault` whose message tells the model
what to do differently; nothing in a reply is guessed at, and nothing is dropped in silence.
"""

from __future__ import annotations

from magid_graph.protocol.descriptions import check as check_description
from magid_graph.protocol.descriptions import normalised
from magid_graph.protocol.replies import Found, parse_feedback, parse_numbered, parse_scan, parse_shortened, read_list
from magid_graph.protocol.transcript import harmless, merge_found, render_dialogue, render_turns, rough_tokens, windows

__all__ = [
    "Found",
    "check_description",
    "harmless",
    "merge_found",
    "normalised",
    "parse_feedback",
    "parse_numbered",
    "parse_scan",
    "parse_shortened",
    "read_list",
    "render_dialogue",
    "render_turns",
    "rough_tokens",
    "windows",
]
