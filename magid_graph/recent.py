"""What was used last, kept up to a size."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """The values that were last put or got, by key, as many as fit. Safe to use from any thread."""

    def __init__(self, limit: int, *, size: Callable[[Value], int] = lambda value: 1) -> None:
        """Keeps values whose sizes add up to at most `limit`; unless told otherwise, each counts as one."""
        self._limit = limit
        self._size = size
        self._used = 0
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: Key, value: Value) -> None:
        with self._lock:
            if key in self._values:
                self._used -= self._size(self._values.pop(key))
            self._values[key] = value
            self._used += self._size(value)
            while self._used > self._limit:
                self._used -= self._size(self._values.popitem(last=False)[1])
