"""Dialogues are read in every shape; what cannot be read is named, and stops nothing else."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magid_graph.config import ReaderSettings
from magid_graph.errors import InputError
from magid_graph.readers import files, json_values, open_input, read
from magid_graph.records import BadRow, Dialogue

Record = Dialogue | BadRow


def written(folder: Path, content: str | bytes, name: str = "in.json") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def texts(record: Record) -> list[tuple[str | None, str]]:
    assert "turns" in record, record
    return [(turn["speaker"], turn["text"]) for turn in record["turns"]]


def all_texts(path: Path) -> list[list[tuple[str | None, str]]]:
    return [texts(record) for record in read(path)]


PLAIN = [(None, "hi"), (None, "hello")]
NAMED = [("Ann", "hi"), ("Bob", "hello")]
CHAT = [("user", "hi"), ("assistant", "hello")]
SPOKEN = [{"speaker": "Ann", "text": "hi"}, {"speaker": "Bob", "text": "hello"}]
MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
SHAPES: dict[str, tuple[Any, list[Any]]] = {
    "lists of strings": ([["hi", "hello"], ["hi", "hello"]], [PLAIN, PLAIN]),
    "lists of speaker and text": ([SPOKEN], [NAMED]),
    "objects": ([{"id": "a", "turns": SPOKEN}, {"turns": ["hi", "hello"]}], [NAMED, PLAIN]),
    "messages": ([{"messages": MESSAGES}], [CHAT]),
    "bare list of strings": (["hi", "hello"], [PLAIN]),
    "bare list of speaker and text": (SPOKEN, [NAMED]),
    "bare messages": (MESSAGES, [CHAT]),
    "bare object": ({"turns": ["hi", "hello"]}, [PLAIN]),
    "bare object of messages": ({"messages": MESSAGES}, [CHAT]),
    "strings and objects": ([["hi", {"speaker": "Bob", "text": "hello"}]], [[(None, "hi"), ("Bob", "hello")]]),
    "text only": ([{"text": "hi"}, {"speaker": None, "text": "hello"}], [PLAIN]),
    "number as speaker": ([[{"speaker": 1, "text": "hi"}]], [[("1", "hi")]]),
    "unsaid messages": (
        {
            "messages": [
                {"role": "system", "content": "Be nice."},
                {"role": "user", "content": [*PARTS[:1], {"type": "image_url"}, *PARTS[1:]]},
                {"role": "assistant", "content": None, "tool_calls": []},
                {"role": "tool", "content": "{}"},
                {"role": "user", "name": "Ann", "content": "c"},
            ]
        },
        [[("user", "a\nb"), ("Ann", "c")]],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("indent", [None, 1])
def test_json_is_read_in_every_shape(tmp_path: Path, value: Any, expected: list[Any], indent: int | None) -> None:
    assert all_texts(written(tmp_path, json.dumps(value, indent=indent))) == expected


@pytest.mark.parametrize("name", ["in.jsonl", "in.NDJSON"])
def test_json_lines_are_a_dialogue_each(tmp_path: Path, name: str) -> None:
    lines = [
        json.dumps(["hi", "hello"]),
        "",
        json.dumps({"id": 7, "turns": SPOKEN}),
        json.dumps({"messages": MESSAGES}),
    ]
    path = written(tmp_path, "\r\n".join(lines), name)
    assert all_texts(path) == [PLAIN, NAMED, CHAT]
    assert [record["source"]["line"] for record in read(path)] == [1, 3, 4]


def test_plain_text_is_separated_by_blank_lines(tmp_path: Path) -> None:
    path = written(
        tmp_path, "\n\nhi\nhello\n \n\nAnn: hi\r\nBob: hello\n\nNote: bring milk\n\nsee you\nNote: bring milk", "in.txt"
    )
    note, last = [(None, "Note: bring milk")], [(None, "see you"), (None, "Note: bring milk")]
    assert all_texts(path) == [PLAIN, NAMED, note, last]
    assert [record["source"]["line"] for record in read(path)] == [3, 7, 10, 12]


@pytest.mark.parametrize("line", ["https://example.org: x", "10:30 is fine", "I have to say this: no", "1: one"])
def test_not_every_colon_names_a_speaker(tmp_path: Path, line: str) -> None:
    assert all_texts(written(tmp_path, f"{line}\n{line}", "in.txt")) == [[(None, line), (None, line)]]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    for name, content in {"a.json": '["hi","hello"]', "a.jsonl": '["hi","hello"]', "a.txt": "hi\nhello"}.items():
        assert all_texts(written(tmp_path, b"\xef\xbb\xbf" + content.encode(), name)) == [PLAIN]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('[["hi","hello"]]', [PLAIN]),
        ('["hi","hello"]\n["hi","hello"]\n', [PLAIN, PLAIN]),
        ("[\n[\n\n", None),
        ("hi\nhello", [PLAIN]),
    ],
)
def test_standard_input_tells_its_format(monkeypatch: pytest.MonkeyPatch, content: str, expected: Any) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    if expected is None:
        with pytest.raises(InputError, match="line 4, column 1"):
            list(read("-"))
        return
    with open_input("-") as source:
        for _ in range(2):
            assert [texts(record) for record in source.dialogues()] == expected
        assert next(source.dialogues())["source"]["file"] == "-"


WHOLE = {
    "empty": (b"", "in.json", "is empty"),
    "blank": (b" \n\t ", "in.json", "is empty"),
    "blank lines": (b"\n\n", "in.jsonl", "is empty"),
    "blank text": (b" \n\n", "in.txt", "is empty"),
    "empty list": (b"[ ]", "in.json", "is empty"),
    "not JSON": (b'[["hi"],\n  [hello]]', "in.json", "Expecting value (line 2, column 4)"),
    "cut off": (
        b'[["hi"],\n ["hel',
        "in.json",
        "Unterminated string starting at; is the file cut off? (line 2, column 3)",
    ),
    "cut off in a row": (
        b'[["hi"], ["hel"',
        "in.json",
        "Expecting ',' delimiter; is the file cut off? (line 1, column 16)",
    ),
    "not closed": (b'[["hi"]\n', "in.json", "not closed; is the file cut off? (line 2, column 1)"),
    "no comma": (
        b'[["hi"] ["x"]]',
        "in.json",
        "Expecting ',' delimiter (line 1, column 9); mend it there, or write one dialogue per line (JSON Lines)",
    ),
    "comma at the end": (b'[["hi"],]', "in.json", "Expecting value (line 1, column 9)"),
    "goes on": (b'[\n["hi"]]\n["hello"]', "in.json", "goes on after its end (line 3, column 1)"),
    "goes on after an object": (b'{"turns":["hi"]} {"turns":["hi"]}', "in.json", "goes on after its end"),
    "cut within an object": (b'{"turns":["hi"]', "in.json", "the object is not closed"),
    "no colon": (b'{"turns" ["hi"]}', "in.json", "Expecting ':' delimiter (line 1, column 10)"),
    "no key": (b"{1: 2}", "in.json", "Expecting property name enclosed in double quotes (line 1, column 2)"),
    "a word": (b'"hi"', "in.json", "neither a list of dialogues nor one dialogue"),
    "another object": (
        b'{"items": []}',
        "in.json",
        "its rows have `items`: say which holds the turns with `--map turns=",
    ),
    "a list of no dialogues": (b'{"data": []}', "in.json", "is empty"),
    "deep": (b"[" * 100_000, "in.json", "too many brackets"),
    "long number": (b"[" + b"1" * 5000 + b"]", "in.json", "line 1, column 2"),
    "latin-1": ('[["café"]]'.encode("latin-1"), "in.json", "not UTF-8: invalid continuation byte at byte 6"),
    "cut within a character": ("hi ☕".encode()[:-1], "in.txt", "not UTF-8: unexpected end of data at byte 3"),
    "utf-16": ('["hi"]'.encode("utf-16"), "in.json", "is UTF-16"),
    "utf-16 without mark": ('["hi"]'.encode("utf-16-be"), "in.json", "is UTF-16"),
    "unknown extension": (b"hi", "in.doc", "`in.doc` has no known extension; name it `.arrow`"),
}


@pytest.mark.parametrize(("content", "name", "why"), WHOLE.values(), ids=WHOLE)
def test_a_problem_of_the_whole_input_is_named(tmp_path: Path, content: bytes, name: str, why: str) -> None:
    with pytest.raises(InputError) as raised:
        list(read(written(tmp_path, content, name)))
    assert why in str(raised.value)


def test_a_byte_that_is_not_utf8_is_found_far_into_the_file(tmp_path: Path) -> None:
    content = ("[" + '["ééé"],' * 20_000).encode() + b'["\xff"]]'
    with pytest.raises(InputError, match=f"byte {content.index(0xFF):,}"):
        list(read(written(tmp_path, content)))


def test_a_path_that_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        list(read(tmp_path / "nowhere.json"))
    with pytest.raises(InputError, match="holds no file with dialogues"):
        list(read(tmp_path))
    with pytest.raises(InputError, match="`yaml` is not a format; there are `auto`, `mmdialog`"):
        list(read(written(tmp_path, '["hi"]'), ReaderSettings(format="yaml")))


ROWS = {
    "no turns": ([], "has no turns"),
    "no turns in an object": ({"id": "x", "turns": []}, "has no turns"),
    "turns of another type": ({"turns": "hi"}, "`turns` is a string"),
    "neither turns nor messages": ({"id": "x"}, "neither `turns` nor `messages`"),
    "a number": (3, "the row is a number"),
    "null": (None, "the row is null"),
    "a number as turn": (["hi", 3], "turn 1 is a number"),
    "a turn without text": (["hi", {"speaker": "Bob"}], "turn 1 has no text"),
    "an empty turn": (["hi", " \n"], "turn 1 has no text"),
    "a turn of control characters": (["hi", "\x00\x07"], "turn 1 has no text"),
    "a picture only": ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "has no turns"),
    "a number as text": ([{"text": 3}], "the text of turn 0 is a number"),
    "a list as speaker": ([{"speaker": [], "text": "hi"}], "the speaker of turn 0 is a list"),
    "a list as id": ({"id": [], "turns": ["hi"]}, "`id` is a list"),
    "a boolean as id": ({"id": True, "turns": ["hi"]}, "`id` is a boolean"),
    "too long": (["x" * 1_000_000], "turn 0 has 1,000,000 characters; `max_utterance_chars` is 20,000"),
}


@pytest.mark.parametrize(("row", "why"), ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("name", ["in.json", "in.jsonl"])
def test_a_bad_row_stops_no_other(tmp_path: Path, row: Any, why: str, name: str) -> None:
    rows = [["hi", "hello"], row, {"id": "last", "turns": ["bye"]}]
    content = json.dumps(rows) if name == "in.json" else "\n".join(map(json.dumps, rows))
    first, bad, last = read(written(tmp_path, content, name))
    assert "cause" in bad
    assert bad["cause"] == "bad_input"
    assert why in bad["message"]
    assert (bad["source"]["file"], bad["source"]["index"]) == (name, 1)
    assert texts(first) == PLAIN
    assert last["key"] == "last"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'["hi", "hel', "not valid JSON: Unterminated string starting at (column 8)"),
        (b"hello", "not valid JSON: Expecting value (column 1)"),
        (b'["caf\xe9"]', "not UTF-8 (byte 6 of the line)"),
        (b"[" * 100_000, "too many brackets"),
        (b"1" * 5000, "not valid JSON"),
    ],
)
def test_a_broken_line_stops_no_other(tmp_path: Path, line: bytes, why: str) -> None:
    first, bad, last = read(written(tmp_path, b'["hi"]\n' + line + b'\n["bye"]', "in.jsonl"))
    assert "cause" in bad
    assert why in bad["message"]
    assert "`in.jsonl`, line 2" in bad["message"]
    assert texts(first) + texts(last) == [(None, "hi"), (None, "bye")]


def test_a_line_too_long_for_memory_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 50)
    bad, last = read(written(tmp_path, json.dumps(["x" * 500]) + '\n["bye"]', "in.jsonl"))
    assert "cause" in bad
    assert "longer than 50 bytes" in bad["message"]
    assert texts(last) == [(None, "bye")]


def test_a_first_row_that_is_bad_does_not_hide_the_others(tmp_path: Path) -> None:
    bad, good = read(written(tmp_path, '["oops", ["hi", "hello"]]'))
    assert "cause" in bad
    assert texts(good) == PLAIN


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a\ud83d b", "a\ufffd b"),
        ("a\x00b\x1b[31m\x9bc\x7f", "ab[31mc"),
        ("a\r\nb\rc\td", "a\nb\nc\td"),
        ("שלום \u202bעולם", "שלום \u202bעולם"),
        ("e\u0301", "e\u0301"),
        ("\U0001f436", "\U0001f436"),
    ],
)
def test_text_is_normalised_at_the_door(tmp_path: Path, said: str, kept: str) -> None:
    (record,) = read(written(tmp_path, json.dumps([[{"speaker": said, "text": said}]])))
    assert texts(record) == [(" ".join(kept.split()), kept)]
    assert json.dumps(record, ensure_ascii=False).encode()


IDS = ["../../x", "/etc/passwd", "x" * 300, "CON", "a", "A", "0", "ü"]


def test_any_id_is_a_key(tmp_path: Path) -> None:
    path = written(
        tmp_path, json.dumps([{"id": given, "turns": ["hi"]} for given in IDS] + [{"id": 7, "turns": ["hi"]}])
    )
    assert [record["key"] for record in read(path)] == [*IDS, "7"]


def test_without_an_id_the_key_is_a_hash_of_the_content(tmp_path: Path) -> None:
    rows = [["hi"], ["hello"], {"id": None, "turns": ["hi"]}, {"id": "", "turns": [{"text": "hi"}]}, 3, 3]
    keys = [record["key"] for record in read(written(tmp_path, json.dumps(rows)))]
    assert len(keys[0]) == 16
    assert keys[2:4] == [f"{keys[0]}-2", f"{keys[0]}-3"]
    assert keys[5] == f"{keys[4]}-2"
    moved = written(tmp_path, json.dumps([["x"], ["hi"]]), "moved.json")
    assert [record["key"] for record in read(moved)][1] == keys[0]


def test_the_second_dialogue_with_an_id_is_a_bad_row_that_names_the_first(tmp_path: Path) -> None:
    path = written(
        tmp_path, '[{"id": 1, "turns": ["hi"]},\n["x"],\n{"id": "1", "turns": ["hello"]},\n{"id": 2, "turns": ["bye"]}]'
    )
    first, _, bad, last = read(path)
    assert "cause" in bad
    assert bad["message"].startswith("the id `1` was given before (`in.json`, line 1); make ids unique")
    assert bad["message"].endswith("(`in.json`, line 3)")
    assert (first["key"], last["key"]) == ("1", "2")
    assert bad["key"] not in ("1", "2")


@pytest.mark.parametrize(
    "row",
    [
        {"id": "mine", "turns": []},
        {"id": "mine", "turns": 7},
        {"id": "mine", "turns": ["hi", 7]},
        {"id": "mine", "turns": ["x" * 30_000]},
        {"conversation_id": "mine", "conversation": [{"turn": [{"__FILM__": "x"}]}]},
        {"dialogue_id": "mine", "dialogue": [{"message": None, "share_photo": False, "user_id": 0}]},
        {"id": "mine", "conversations": [{"from": "human", "value": 7}]},
        {"id": "mine", "messages": [{"role": "user", "content": 7}]},
    ],
    ids=["no turns", "turns of another type", "a bad turn", "too long", "MMDialog", "PhotoChat", "ShareGPT", "OpenAI"],
)
def test_a_bad_row_is_known_by_its_own_id(tmp_path: Path, row: dict[str, Any]) -> None:
    (bad,) = read(written(tmp_path, json.dumps(row) + "\n", "in.jsonl"))
    assert "cause" in bad
    assert bad["key"] == "mine"


def test_an_id_belongs_to_the_first_row_that_has_it_even_if_that_is_bad(tmp_path: Path) -> None:
    rows = [{"id": "mine", "turns": []}, {"id": "mine", "turns": ["hi"]}, {"id": "mine", "turns": []}]
    records = list(read(written(tmp_path, json.dumps(rows))))
    assert [record["key"] == "mine" for record in records] == [True, False, False]
    assert len({record["key"] for record in records}) == 3
    assert "the id `mine` was given before" in records[1]["message"]  # type: ignore[typeddict-item]


def test_a_limit_reads_no_further(tmp_path: Path) -> None:
    path = written(tmp_path, '["hi"]\n["hello"]\n["bye"]', "in.jsonl")
    assert [texts(record) for record in read(path, limit=2)] == [[(None, "hi")], [(None, "hello")]]
    assert len(list(read(path, max_utterance_chars=3))) == 3


@pytest.mark.parametrize("name", ["in.json", "in.jsonl", "in.txt"])
def test_memory_does_not_grow_with_the_input(tmp_path: Path, name: str) -> None:
    dialogues = ([f"utterance {n} " + "x" * 1000, "yes"] for n in range(6_000))
    content = {
        "in.json": lambda: json.dumps([{"id": n, "turns": turns} for n, turns in enumerate(dialogues)]),
        "in.jsonl": lambda: "\n".join(json.dumps({"id": n, "turns": turns}) for n, turns in enumerate(dialogues)),
        "in.txt": lambda: "\n\n".join("\n".join(turns) for turns in dialogues),
    }[name]()
    path = written(tmp_path, content, name)
    del content
    tracemalloc.start()
    assert sum(1 for _ in read(path)) == 6_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


def test_a_value_too_large_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "MAX_VALUE_CHARS", 200_000)
    with pytest.raises(InputError, match=r"200,000 characters begins here \(line 2, column 1\)"):
        list(read(written(tmp_path, '[["hi"],\n["' + "x" * 1_000_000 + '"]]')))


NAMES = st.sampled_from(["id", "turns", "text", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


@given(value=st.lists(VALUES, min_size=1, max_size=6), chunk=st.integers(1, 40), indent=st.none() | st.just(1))
def test_every_list_is_read_to_its_end_in_pieces_of_any_size(value: list[Any], chunk: int, indent: int | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_values, "_CHUNK", chunk)
        text = json.dumps(value, indent=indent)
        rows = [row.value for row in json_values.rows(io.StringIO(text), "x")]
        assert rows in (value, [value])
        for broken in (text[:-1], text + "x", text.replace("[", "[}", 1)):
            with pytest.raises(InputError, match=r"line \d+, column \d+"):
                list(json_values.rows(io.StringIO(broken), "x"))


@pytest.mark.parametrize(("name", "count"), [("examples/dialogues.json", 32), ("tests/data/everyday.json", 40)])
def test_the_dialogues_that_come_with_the_project_can_be_read(name: str, count: int) -> None:
    records = list(read(Path(__file__).parent.parent / name))
    assert len(records) == count
    assert all("turns" in record and 4 <= len(record["turns"]) <= 12 for record in records)


def test_gold_names_turns_that_are_there() -> None:
    dialogues = json.loads((Path(__file__).parent / "data" / "everyday.json").read_text(encoding="utf-8"))
    assert all(int(turn) < len(one["turns"]) and words for one in dialogues for turn, words in one["gold"].items())
    assert sum(not one["gold"] for one in dialogues) == 10
