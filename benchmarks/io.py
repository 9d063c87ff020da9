"""How fast data sets are read and written: `python -m benchmarks.io`, or one part of it: `… readers`."""

from __future__ import annotations

import argparse

from benchmarks import exporting, reading
from benchmarks.report import Figure, circumstances, table, write_section

PARTS = ("readers", "exporters")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=PARTS, help="default: both")
    parser.add_argument("--json-gb", type=float, default=2.0, help="size of the JSON list whose memory is measured")
    parser.add_argument("--pictures", type=int, default=100_000, help="small pictures of the exporters' memory")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    arguments = parser.parse_args()
    for part in (arguments.part,) if arguments.part else PARTS:
        found: list[Figure] = (
            reading.figures(json_gb=arguments.json_gb)
            if part == "readers"
            else exporting.figures(pictures=arguments.pictures)
        )
        text = f"{table(found)}\n\n{circumstances()}"
        print(text)
        if arguments.write:
            write_section(f"Data in and out: {part}", text)


if __name__ == "__main__":
    main()
