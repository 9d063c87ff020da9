"""A real browser, headless and with no way out of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

Scheme = Literal["light", "dark"]

_PATIENCE_MS = 60_000
"""How long a loaded machine may take; nothing waits longer than it needs."""

_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def chromium_path() -> str:
    """Where the browser is. Skips the test where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium here: `apt-get install chromium` brings it")
    return found


@contextmanager
def opened_browser() -> Iterator[Any]:
    """Skips the test where there is no browser, or no driver."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright here: `pip install playwright` brings it")
    path = chromium_path()
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_QUIET))
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page opened from disk. It keeps what it asked for, and what it complained about."""

    def __init__(
        self,
        browser: Any,
        file: Path,
        *,
        width: int = 1280,
        scheme: Literal["light", "dark"] = "light",
        place: str = "",
    ) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page.set_default_timeout(_PATIENCE_MS)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.resolve().as_uri() + place)
        self.page.wait_for_selector("#cards > *")

    def keys(self) -> list[str]:
        """The items whose cards are shown."""
        return list(self.page.locator(".card h3").all_inner_texts())

    def found(self, count: int) -> list[str]:
        """The items that are shown once a search has come to its end and found this many."""
        self.expect("#found").to_have_text("1 item" if count == 1 else f"{count} items")
        self.expect(".card").to_have_count(min(count, 24))
        return self.keys()

    def expect(self, selector: str) -> Any:
        """Waits until what is said of these elements is true."""
        from playwright.sync_api import expect

        expect.set_options(timeout=_PATIENCE_MS)
        return expect(self.page.locator(selector))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def item(self) -> str:
        """The item that is open, once it is."""
        self.page.wait_for_selector("#item[open] h2")
        return str(self.page.locator("#item h2").inner_text())
