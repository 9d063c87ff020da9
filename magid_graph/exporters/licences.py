"""What a data set may be given on under: never more than each of its sources allows."""

from __future__ import annotations

from collections.abc import Iterable

from magid_graph.errors import UsageError

_PUBLIC: frozenset[str] = frozenset()
_CONDITIONS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("cc0-1.0", "unlicense", "pddl"), _PUBLIC),
    **dict.fromkeys(("mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "odc-by"), frozenset({"name"})),
    **{f"cc-by-{version}": frozenset({"name"}) for version in ("2.0", "3.0", "4.0")},
    **{f"cc-by-sa-{version}": frozenset({"name", "same licence"}) for version in ("3.0", "4.0")},
    **{f"cc-by-nc-{version}": frozenset({"name", "no sale"}) for version in ("2.0", "3.0", "4.0")},
    **{f"cc-by-nc-sa-{version}": frozenset({"name", "no sale", "same licence"}) for version in ("3.0", "4.0")},
    **{f"cc-by-nd-{version}": frozenset({"name", "no changes"}) for version in ("4.0",)},
    **{f"cc-by-nc-nd-{version}": frozenset({"name", "no sale", "no changes"}) for version in ("3.0", "4.0")},
}
"""What each licence asks of whoever gives the data on; a picture added to a dialogue is a change."""


def normal(licence: str) -> str:
    """As the hub writes it: `CC BY-NC-SA 4.0` is `cc-by-nc-sa-4.0`."""
    return "-".join(licence.strip().lower().replace("_", "-").split())


def licence_for(sources: Iterable[str | None], claimed: str | None) -> str | None:
    """The licence of a data set made from sources of these licences (`None`: nobody said); `None`: nothing can be said.

    Raises:
        UsageError: the claimed licence allows more than a source does, or a source allows no changed versions.
    """
    stated = sorted({normal(source) for source in sources if source})
    if claimed is None:
        return stated[0] if len(stated) == 1 and not _forbids_changes(stated[0]) else None
    claim = normal(claimed)
    for source in stated:
        if (why := _conflict(claim, source)) is not None:
            raise UsageError(f"`--license {claimed}`: a source is under `{source}`, {why}")
    return claim


def _conflict(claim: str, source: str) -> str | None:
    """Why what comes from a source cannot be given on under the claimed licence."""
    if _forbids_changes(source):
        return "which allows no changed versions: this data set cannot be given on"
    if claim == source:
        return None
    asked = _CONDITIONS.get(source)
    if asked is None or claim not in _CONDITIONS:
        return f"and whether `{claim}` allows more is not known here; claim the same, or none"
    if "same licence" in asked:
        return "which asks for the same licence"
    if not asked <= _CONDITIONS[claim]:
        return f"which asks for more ({', '.join(sorted(asked - _CONDITIONS[claim]))})"
    return None


def _forbids_changes(licence: str) -> bool:
    return "no changes" in _CONDITIONS.get(licence, _PUBLIC) or "-nd" in licence
