"""The page of a run, in a real browser."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from magid_graph.models.fake import FakeEmbedder
from magid_graph.page import write_page
from magid_graph.records import BadRow, Dialogue
from magid_graph.run_dir import RunDir
from magid_graph.trace.reading import Reading
from tests.browser import Tab, opened_browser
from tests.graph_runs import Fakes, dialogue, fake_settings
from tests.traced_runs import made_run

NASTY = '<script>document.title = "owned"</script>"><img src=x onerror="document.title=1">'
ROWS: list[Dialogue | BadRow] = [
    dialogue("boat"),
    dialogue("small talk", ["hello", "how are you?", "fine"]),
    dialogue(NASTY, ["hi", f"look, here is a photo of {NASTY}"]),
    {"key": "row-3", "cause": "bad_input", "message": "it has no turns", "source": {"file": "made", "index": 3}},
    *(dialogue(f"talk-{n:02}", ["hello", f"look, this is my {n}th kite"]) for n in range(30)),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """34 items, 32 of them with a picture; the first of each is off topic in 20 of them."""
    fakes = Fakes(clip=FakeEmbedder([0.1, 0.3] * 20 + [0.3] * 20))
    settings = fake_settings(run={"in_flight": 1})
    return asyncio.run(made_run(tmp_path_factory.mktemp("run"), ROWS, fakes=fakes, settings=settings))


@pytest.fixture(scope="module")
def file(run: RunDir) -> Path:
    with contextlib.closing(Reading(run)) as reading:
        return write_page(reading, run.path / "trace.html").path


@pytest.fixture(scope="module")
def browser(run: RunDir) -> Iterator[Any]:
    # After the run: a browser that is open has an event loop of its own in this thread.
    with opened_browser() as opened:
        yield opened


@pytest.fixture
def tab(browser: Any, file: Path) -> Iterator[Tab]:
    opened = Tab(browser, file)
    yield opened
    opened.page.close()
    assert opened.complaints == []
    # Pictures travel inside: the page itself is all that was opened.
    assert {url for url in opened.requests if not url.startswith("data:")} == {file.resolve().as_uri()}


def test_a_page_opened_from_disk_shows_items_and_their_pictures(tab: Tab) -> None:
    assert tab.found(34)[:2] == ["boat", "small talk"]
    assert tab.page.locator(".card img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert "no moment" in tab.page.locator(".card", has_text="small talk").inner_text()
    assert "it has no turns" in tab.page.locator(".card", has_text="row-3").inner_text()
    tab.press("n")
    tab.expect(".card").to_have_count(10)
    assert "page 2 of 2" in tab.page.locator("#pages").inner_text()


def test_text_from_strangers_is_inert(tab: Tab) -> None:
    tab.found(34)
    card = tab.page.locator(".card").nth(2)
    assert card.locator("h3").inner_text() == NASTY
    assert NASTY in card.locator(".bubble").last.inner_text()
    card.click()
    assert tab.item() == NASTY
    assert tab.page.title().endswith("magid-graph")
    assert tab.page.locator("[onerror], [src='x']").count() == 0
    assert tab.page.locator("script:not([type])").count() == 1


def test_search_looks_into_prompts_and_replies_and_at_every_word(tab: Tab) -> None:
    tab.press("/")
    tab.page.keyboard.type("KITE 7th")
    assert set(tab.found(3)) == {"talk-07", "talk-17", "talk-27"}
    tab.page.fill("#q", "it can be seen")  # in no text that is shown: only in what the model replied
    assert len(tab.found(33)) == 24
    tab.page.fill("#q", "nowhere at all")
    assert tab.found(0) == []
    tab.page.click("text=Show all items")
    assert len(tab.found(34)) == 24


def test_filters_narrow_together_and_the_address_keeps_them(tab: Tab, browser: Any, file: Path) -> None:
    tab.page.click("[data-state=rejected]")
    assert tab.found(1) == ["small talk"]
    tab.page.click("[data-state=accepted]")
    tab.found(32)
    tab.page.select_option("#attempts", "2")
    redrawn = tab.found(20)
    again = Tab(browser, file, place=tab.page.url.partition("#")[1] + tab.page.url.partition("#")[2])
    assert again.found(20) == redrawn
    again.page.close()
    tab.page.click("#clear")
    tab.found(34)


def test_an_edge_of_the_graph_chooses_the_items_that_took_it(tab: Tab) -> None:
    tab.found(34)
    tab.page.focus("[data-edge='qa/regenerate']")
    tab.press("Enter")
    assert len(tab.found(20)) == 20
    assert "qa → regenerate" in tab.page.locator("#edge").inner_text()


def test_an_item_shows_each_attempt_and_its_way_lit_up(tab: Tab) -> None:
    tab.found(34)
    tab.press("j", "Enter")
    assert tab.item() == "boat"
    attempts = tab.page.locator(".attempt").all_inner_texts()
    assert ["drawn again" in text for text in attempts] == [True, False]
    assert re.search(r"match\s+0\.100 ≥ 0\.210", attempts[0])
    assert re.search(r"seed \d+", attempts[0])
    lit = tab.page.locator("#item .edge.lit").evaluate_all("edges => edges.map(edge => edge.dataset.edge)")
    assert sorted(lit) == ["START/", "generator/", "qa/accept", "qa/regenerate", "scanner/each moment"]
    tab.page.click("#item summary:has-text('asked')")
    assert "red boat" in " ".join(tab.page.locator("#item pre").all_inner_texts())


def test_keys_move_between_items_and_close(tab: Tab) -> None:
    tab.found(34)
    tab.press("j", "j", "Enter")
    assert tab.item() == "small talk"
    tab.press("ArrowLeft")
    tab.expect("#item h2").to_have_text("boat")
    tab.press("Escape")
    tab.page.wait_for_selector("#item", state="hidden")
    tab.press("?")
    assert "next card" in tab.page.locator("#help").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser: Any, file: Path, scheme: Any) -> None:
    phone = Tab(browser, file, width=390, scheme=scheme)
    phone.found(34)
    wide = "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
    assert phone.page.evaluate(wide) == 0
    phone.page.locator(".card").first.click()
    phone.item()
    assert phone.page.evaluate("document.getElementById('item').scrollWidth <= innerWidth")
    ink, page = phone.page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert (brightness(ink) > brightness(page)) == (scheme == "dark")
    phone.page.close()
    assert phone.complaints == []


def brightness(color: str) -> int:
    return sum(int(part) for part in re.findall(r"\d+", color)[:3])
