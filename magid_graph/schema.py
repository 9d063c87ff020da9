"""The tables of `run.db`."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    position INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL DEFAULT 'pending',
    reason TEXT,
    message TEXT,
    finished_at REAL,
    duration_s REAL,
    retries INTEGER NOT NULL DEFAULT 0,
    input TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS items_by_state ON items (state, position);
CREATE TABLE IF NOT EXISTS attempts (
    position INTEGER NOT NULL, turn INTEGER NOT NULL, n INTEGER NOT NULL,
    verdict TEXT NOT NULL, reason TEXT, record TEXT NOT NULL,
    PRIMARY KEY (position, turn, n)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attempts_by_verdict ON attempts (verdict);
CREATE TABLE IF NOT EXISTS spans (
    position INTEGER NOT NULL, seq INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (position, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS exchanges (
    position INTEGER NOT NULL, seq INTEGER NOT NULL,
    node TEXT NOT NULL, turn INTEGER, call TEXT NOT NULL, cached INTEGER NOT NULL,
    PRIMARY KEY (position, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (hash TEXT PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pairs (
    position INTEGER NOT NULL, iteration INTEGER NOT NULL,
    accepted INTEGER NOT NULL, shuffled INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (position, iteration)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (batch INTEGER PRIMARY KEY, record TEXT NOT NULL);
"""
"""`items` has a row for each dialogue or chain; `attempts.turn` is a chain's iteration. `pairs` and `batches` (what the
describer was asked for) are empty in a run over dialogues.
"""
