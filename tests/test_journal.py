from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from magid_graph.errors import StorageFailed, UsageError
from magid_graph.journal import Asked, Journal, Outcome
from magid_graph.records import BadRow, Dialogue


def dialogue(key: str) -> Dialogue:
    return {"key": key, "turns": [{"speaker": None, "text": f"hello {key}"}], "source": {"file": "x", "index": 0}}


def bad_row(key: str) -> BadRow:
    return {"key": key, "cause": "bad_input", "message": "no turns", "source": {"file": "x", "index": 1}}


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "run.db")
    yield opened
    opened.close()


def test_every_row_of_the_input_is_an_item(journal: Journal) -> None:
    journal.ingest([dialogue("a"), bad_row("b"), dialogue("c")])
    assert journal.is_ingested()
    assert journal.counts() == {"pending": 2, "accepted": 0, "rejected": 0, "failed": 1}
    assert [item.row["key"] for item in journal.pending()] == ["a", "c"]
    assert [item.key for item in journal.items()] == ["a", "b", "c"]


def test_an_input_that_raises_halfway_leaves_nothing(journal: Journal) -> None:
    def rows() -> Iterator[Dialogue]:
        yield dialogue("a")
        raise UsageError("duplicate id")

    with pytest.raises(UsageError):
        journal.ingest(rows())
    assert not journal.is_ingested()
    assert sum(journal.counts().values()) == 0


@pytest.mark.parametrize("limit", [None, 1, 255, 256, 257, 600, 1000])
def test_pending_items_come_in_order_up_to_the_limit(journal: Journal, limit: int | None) -> None:
    journal.ingest(dialogue(str(n)) for n in range(600))
    expected = [str(n) for n in range(600)][:limit]
    assert [item.row["key"] for item in journal.pending(limit)] == expected


async def test_a_finished_item_is_there_as_a_whole_and_written_over_by_the_next_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run.db")
    journal.ingest([dialogue("a")])
    journal.remember("h1", "chat", {"reply": "none", "messages": []})
    await journal.finish(
        Outcome("a", "failed", "server_error", "it said 500", asked=[Asked("scanner", None, "h1", False)])
    )
    assert journal.reasons("failed") == {"server_error": 1}
    assert journal.reopen_failed("blank_picture") == 0
    assert journal.reopen_failed("server_error") == 1
    await journal.finish(Outcome("a", "rejected", "no_moment"))
    assert journal.counts()["rejected"] == 1
    assert journal.asked(0) == []
    journal.close()


def test_rows_that_could_not_be_read_stay_failed(journal: Journal) -> None:
    journal.ingest([bad_row("b")])
    assert journal.reopen_failed() == 0


def test_calls_are_remembered_across_processes(tmp_path: Path) -> None:
    first = Journal(tmp_path / "run.db")
    first.remember("h", "chat", {"reply": "a lone surrogate is gone: \ufffd"})
    assert first.recall("unknown") is None
    first.close()
    again = Journal(tmp_path / "run.db")
    assert again.recall("h") == {"reply": "a lone surrogate is gone: \ufffd"}
    again.close()


async def test_many_writers_share_transactions_and_each_is_committed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run.db")
    journal.ingest(dialogue(str(n)) for n in range(500))
    await asyncio.gather(*(journal.finish(Outcome(str(n), "rejected", "no_moment")) for n in range(500)))
    assert journal.counts()["rejected"] == 500
    journal.close()


async def test_a_journal_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run.db")
    journal.ingest([dialogue("a")])
    with sqlite3.connect(tmp_path / "run.db") as other:
        other.execute("CREATE TRIGGER full BEFORE UPDATE ON items BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(StorageFailed, match="cannot be written: disk full"):
        await journal.finish(Outcome("a", "rejected", "no_moment"))
    assert journal.counts()["pending"] == 1
    journal.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.db").write_text("this is not a database, it is a text of more than a few bytes" * 20)
    with pytest.raises(UsageError, match="is not a journal"):
        Journal(tmp_path / "run.db")


async def test_what_cannot_be_encoded_is_a_fault_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run.db")
    journal.ingest([dialogue("a")])
    with pytest.raises(StorageFailed, match="surrogates"):
        await asyncio.wait_for(journal.finish(Outcome("a", "failed", "unexpected", "a lone \ud83d")), 20)
    journal.close()


def test_a_reopened_item_counts_its_retries_and_can_be_worked_on_alone(journal: Journal) -> None:
    journal.ingest([dialogue("a"), dialogue("b")])
    journal.fail(1, "server_error", "it said 500")
    assert journal.reopen_failed() == 1
    assert [(item.row["key"], item.retries) for item in journal.pending()] == [("a", 0), ("b", 1)]
    assert [item.row["key"] for item in journal.pending(only_retried=True)] == ["b"]
    assert (journal.pending_count(), journal.pending_count(only_retried=True)) == (2, 1)
