from __future__ import annotations

import os
import socket

import pytest

from tests.conftest import Blocked


def test_the_session_is_offline() -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(Blocked), socket.socket() as one:
        one.connect(("192.0.2.1", 80))  # an address reserved for documentation
