from __future__ import annotations

from magid_graph.recent import Recent


def test_what_was_used_last_is_kept_up_to_a_number() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert [recent.get(key) for key in "abc"] == [1, None, 3]


def test_large_values_leave_room_for_fewer() -> None:
    recent: Recent[str, int] = Recent(10, size=lambda value: value)
    for key, value in [("a", 4), ("b", 4), ("b", 6), ("c", 5)]:
        recent.put(key, value)
    assert [recent.get(key) for key in "abc"] == [None, None, 5]
    recent.put("d", 5)
    assert [recent.get(key) for key in "cd"] == [5, 5]


def test_what_is_larger_than_everything_is_not_kept() -> None:
    recent: Recent[str, int] = Recent(10, size=lambda value: value)
    recent.put("a", 11)
    assert recent.get("a") is None
