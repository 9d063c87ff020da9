"""Writes the SHA256SUMS that `magid_graph.pocket` checks at load: `python -m training.pocket.checksums`."""

from __future__ import annotations

import hashlib

from magid_graph.pocket import CHECKSUMS, WEIGHTS_DIR


def main() -> None:
    files = sorted(
        path for path in WEIGHTS_DIR.rglob("*") if path.is_file() and path != CHECKSUMS and path.name[0] != "."
    )
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(WEIGHTS_DIR).as_posix()}\n"
        for path in files
    ]
    CHECKSUMS.write_text("".join(lines), encoding="utf-8")
    size = sum(path.stat().st_size for path in files)
    print(f"{len(files)} files, {size / 1e6:.1f} MB, largest {max(path.stat().st_size for path in files) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
