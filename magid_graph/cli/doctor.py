"""`magid-graph doctor`: what is installed, which device, and what each preset still needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from magid_graph.cli import options

if TYPE_CHECKING:
    from magid_graph.doctor import Finding


def doctor(as_json: options.AsJson = False) -> None:
    """Show what is installed, which device is there, and what each preset still needs."""
    from magid_graph import console
    from magid_graph import doctor as checks

    packages, device, presets = checks.packages(), checks.device(), checks.all_presets()
    if as_json:
        console.show_json(
            {
                "packages": [asdict(one) for one in packages],
                "device": asdict(device),
                "presets": {name: [asdict(one) for one in needs] for name, needs in presets.items()},
            }
        )
        return
    _show([*packages, device])
    for name, needs in presets.items():
        console.show(f"\npreset {name}: {'ready' if all(one.is_fine for one in needs) else 'needs more'}")
        _show(needs)


def _show(findings: Sequence[Finding]) -> None:
    from magid_graph import console

    for one in findings:
        console.show(f"  {'ok' if one.is_fine else '!!'}  {one.what}: {one.detail}")
