"""No test reaches a hub or any address but loopback."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ.pop("OPENAI_API_KEY", None)


def _is_loopback(address: Any) -> bool:
    if not isinstance(address, tuple):  # a Unix socket's path
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return address[0] == "localhost"


class Blocked(AssertionError):
    """A test tried to leave this machine."""


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Every connection that is not to loopback fails the test that makes it."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guard(call: Any) -> Any:
        def guarded(self: socket.socket, address: Any) -> Any:
            if not _is_loopback(address):
                raise Blocked(f"connection to {address}")
            return call(self, address)

        return guarded

    socket.socket.connect, socket.socket.connect_ex = guard(connect), guard(connect_ex)  # type: ignore[method-assign]
    yield
    socket.socket.connect, socket.socket.connect_ex = connect, connect_ex  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Default paths (`outputs/`, `magid.toml`) never touch the checkout."""
    monkeypatch.chdir(tmp_path)
