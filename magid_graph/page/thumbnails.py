"""Small pictures that travel inside the page."""

from __future__ import annotations

import base64
import io
import logging
from pathlib import Path

from magid_graph.records import ImageFile

logger = logging.getLogger(__name__)

SIDE = 320
"""Pixels of the longer side: sharp where the page shows it at 160 on a dense screen, and 8 to 15 KB."""


def thumbnail(run_dir: Path, image: ImageFile) -> str | None:
    """The picture as a `data:` address; `None` where the file is missing or is no picture."""
    from PIL import Image

    try:
        with Image.open(run_dir / image["path"]) as picture:
            small = picture.convert("RGB")
            small.thumbnail((SIDE, SIDE))
            buffer = io.BytesIO()
            small.save(buffer, "WEBP", quality=78, method=2)
    except (OSError, ValueError, Image.DecompressionBombError):
        logger.warning("`%s` cannot be shown", image["path"], exc_info=True)
        return None
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
