"""One HTML page of a run: an overview, every item as a chat or a filmstrip, and every attempt with its figures.

It opens from disk, asks no network for anything, and runs no script but its own.
"""

from __future__ import annotations

from magid_graph.page.write import MOST_EMBEDDED, Written, write_page

__all__ = ["MOST_EMBEDDED", "Written", "write_page"]
