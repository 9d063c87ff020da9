"""`magid-graph doctor`: what is installed, which device, and what each preset still needs."""

from __future__ import annotations

from dataclasses import asdict

from magid_graph.cli import options


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
    console.show_table(
        ("package", "", "version"), [(one.what, _mark(one.is_fine), one.detail) for one in [*packages, device]]
    )
    for name, needs in presets.items():
        ready = "ready" if all(one.is_fine for one in needs) else "needs more"
        console.show(f"\npreset {name}: {ready}")
        console.show_table(("model", "", "state"), [(one.what, _mark(one.is_fine), one.detail) for one in needs])


def _mark(is_fine: bool) -> str:
    return "ok" if is_fine else "!!"
