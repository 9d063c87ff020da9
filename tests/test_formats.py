"""Published dialogue sets are read as they are: nothing lost, nothing reordered, nothing taken for another."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magid_graph.config import ReaderSettings
from magid_graph.errors import InputError
from magid_graph.readers import FORMATS, open_input, read
from magid_graph.readers.wording import detokenised, with_emoji
from magid_graph.records import BadRow, Dialogue, is_bad
from tests.shapes import SHAPES, Shape, photochat, put

AS_WRITTEN = ReaderSettings(emoji="never", detokenise="never", merge_consecutive=False)
TALK = [["Look at my kite!", "It is so red.", "I made it of paper.", "Well done."], ["Bread is ready.", "Oh, nice."]]


def good(path: Path, reader: ReaderSettings | None = None) -> list[Dialogue]:
    """The records, all of which could be used."""
    records = list(read(path, reader))
    assert [record for record in records if is_bad(record)] == []
    return [record for record in records if not is_bad(record)]


def bad(record: Dialogue | BadRow) -> str:
    assert is_bad(record)
    return record["message"]


def texts(record: Dialogue) -> list[str]:
    return [turn["text"] for turn in record["turns"]]


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


# -- every shape


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_each_shape_is_told_by_its_content_and_read_in_order(tmp_path: Path, shape: Shape) -> None:
    path = put(tmp_path, shape, TALK)
    with open_input(path) as source:
        assert source.found.form.name == shape.format
    records = good(path)
    assert [texts(record) for record in records] == TALK
    for record in records:
        assert [turn["speaker"] for turn in record["turns"][:2]] == list(shape.names)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_no_row_fits_two_formats(tmp_path: Path, shape: Shape) -> None:
    from magid_graph.readers.values import values

    with open_input(put(tmp_path, shape, TALK)) as source:
        (part,) = source.found.parts
    if part.container == "txt":
        lines = [line for line in part.path.read_text().splitlines() if line.strip()]
        fitting = [name for name, form in FORMATS.items() if form.fits_text(lines)]
        assert [name for name in fitting if name != "text"] == [shape.format][shape.format == "text" :]
        return
    for row in values(part):
        assert [name for name, form in FORMATS.items() if form.fits(row.value)] == [shape.format]


# Text formats part turns by these; nothing else is special to any of them.
SAFE = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\t|")
UTTERANCE = (
    st.text(SAFE, min_size=1, max_size=30)
    .map(str.strip)
    .filter(lambda text: text and "__eou__" not in text and "<image>" not in text and "persona: " not in text)
)
PAIRS = st.lists(st.tuples(UTTERANCE, UTTERANCE), min_size=1, max_size=4).map(
    lambda pairs: [text for pair in pairs for text in pair]
)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@given(talk=st.lists(PAIRS, min_size=1, max_size=4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_lost_or_reordered(tmp_path: Path, shape: Shape, talk: list[list[str]]) -> None:
    if shape.format == "text":  # where every line has a name and a colon, the names are speakers
        talk = [[f"- {text}" for text in one] for one in talk]
    path = put(tmp_path, shape, talk)
    records = good(path, AS_WRITTEN.model_copy(update={"format": shape.format}))
    assert [texts(record) for record in records] == talk
    assert len({record["key"] for record in records}) == len(talk)
    assert json.loads(json.dumps(records)) == records


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_reading_again_gives_the_same_records(tmp_path: Path, shape: Shape) -> None:
    path = put(tmp_path, shape, [*TALK, *TALK])
    with open_input(path) as source:
        first, again = list(source.dialogues()), list(source.dialogues())
    assert first == again
    assert len({record["key"] for record in first}) == len(first)


@pytest.mark.parametrize(
    "name", [name for name, shape in SHAPES.items() if shape.file.endswith(("json", "jsonl", "txt", "csv"))]
)
@pytest.mark.parametrize("how", ["gzip", "mark", "crlf"])
def test_packed_marked_and_windows_files_are_read_alike(tmp_path: Path, name: str, how: str) -> None:
    shape = SHAPES[name]
    plain = put(tmp_path / "plain", shape, TALK)
    content = plain.read_bytes()
    changed = {
        "gzip": gzip.compress(content),
        "mark": b"\xef\xbb\xbf" + content,
        "crlf": content
        if shape.format == "personachat" and shape.file.endswith("csv")
        else content.replace(b"\n", b"\r\n"),
    }[how]
    path = tmp_path / "other" / (shape.file + ".gz" * (how == "gzip"))
    path.parent.mkdir()
    path.write_bytes(changed)
    assert [texts(record) for record in good(path)] == [texts(record) for record in good(plain)]


# -- what each keeps


def test_ground_truth_pictures_are_kept(tmp_path: Path) -> None:
    first = {name: good(put(tmp_path / name, shape, TALK))[0].get("pictures") for name, shape in SHAPES.items()}
    url = "https://pictures.example/kite.jpg"
    assert first["MMDialog"] == [{"turn": 0, "placement": "after", "id": "-1000012098956892692"}]
    assert first["PhotoChat"] == [
        {"turn": 0, "placement": "own_turn", "speaker": "A", "id": f"train/{0:016x}", "url": url,
         "description": "Objects in the photo: Kite, Tree"}
    ]  # fmt: skip
    assert first["MMDD"] == [{"turn": 0, "placement": "in_place", "score": 0.58, "id": "kite_0.jpg"}]
    about = {"description": "A red kite", "rationale": "To show it"}
    assert first["DialogCC"] == [
        {"turn": 0, "placement": "after", **about, "id": name} for name in ("kite.jpg", "kite2.jpg")
    ]
    assert first["MAGID"] == [
        {"turn": 0, "placement": "after", "id": "image_Image_of_a_kite.png", "description": "Image of a kite."}
    ]
    assert first["Stark"] == [
        {"turn": 0, "placement": "after", "id": "7", "description": "a kite", "rationale": "to show it"}
    ]
    assert first["ShareGPT"] == [{"turn": 0, "placement": "after", "id": "kite.png"}]
    assert first["OpenAI"] == [{"turn": 0, "placement": "after", "url": url}]
    assert first["DailyDialog text"] is None


def test_labels_splits_ids_and_licences_are_kept(tmp_path: Path) -> None:
    def record(name: str, file: str | None = None) -> Dialogue:
        return good(put(tmp_path / name.replace(" ", "_"), SHAPES[name], TALK, name=file))[0]

    assert record("Persona-Chat JSON")["labels"] == {"persona": {"B": ["i fly kites ."]}}
    assert record("ParlAI text")["labels"] == {"persona": {"B": ["i fly kites.", "i bake bread."]}}
    assert record("Persona-Chat CSV")["labels"] == {"persona": {"B": ["i fly kites ."]}}
    assert record("DailyDialog rows")["labels"] == {"acts": ["inform"] * 4, "emotions": ["happiness"] * 4}
    one = record("DialogCC")
    assert one["key"] == "persona-0"
    assert one["source"] == {
        "file": "in.json", "index": 0, "line": 2, "dataset": "DialogCC", "split": "valid",
        "license": "CC-BY-NC-SA-4.0",
    }  # fmt: skip
    assert record("MMDD")["source"]["split"] == "valid"
    assert record("Persona-Chat JSON")["source"]["split"] == "train"
    assert record("PhotoChat", "test_01.json")["key"] == "test-0"
    assert record("PhotoChat", "in.json")["key"] == "0"
    assert record("plain JSON", "test.json")["key"] == "p0"


def test_a_licence_can_be_given_and_is_said_by_rows_first(tmp_path: Path) -> None:
    rows = [{"turns": ["hi"], "license": "MIT"}, {"turns": ["hello"], "split": "dev"}]
    first, second = good(write(tmp_path / "in.json", rows), ReaderSettings(license="CC0-1.0"))
    assert (first["source"]["license"], second["source"]["license"]) == ("MIT", "CC0-1.0")
    assert second["source"]["split"] == "valid"


def messages(*sent: tuple[int, str]) -> dict[str, Any]:
    """A PhotoChat dialogue; an empty message is the photo."""
    return {
        "dialogue": [{"message": text, "share_photo": not text, "user_id": user} for user, text in sent],
        "dialogue_id": 0,
        "photo_description": "a kite",
    }


@pytest.mark.parametrize(
    ("sent", "merged", "turn"),
    [
        (
            [(0, "Look"), (0, "here"), (0, ""), (1, "nice"), (1, "really")],
            [("A", "Look here"), ("B", "nice really")],
            0,
        ),
        ([(0, "Look"), (1, ""), (1, "mine")], [("A", "Look"), ("B", "mine")], 1),
        ([(0, "Look"), (1, ""), (0, "nice")], [("A", "Look"), ("A", "nice")], 0),
        ([(0, ""), (1, "nice")], [("B", "nice")], 0),
    ],
)
def test_messages_in_a_row_are_merged_or_kept(
    tmp_path: Path, sent: list[tuple[int, str]], merged: list[tuple[str, str]], turn: int
) -> None:
    path = write(tmp_path / "in.json", [messages(*sent)])
    (record,) = good(path)
    assert [(one["speaker"], one["text"]) for one in record["turns"]] == merged
    assert [(one["turn"], one["placement"]) for one in record["pictures"]] == [(turn, "own_turn")]
    (kept,) = good(path, ReaderSettings(merge_consecutive=False))
    assert [one["text"] for one in kept["turns"]] == [text for _, text in sent if text]


def test_mmdialog_turns_of_pictures_keep_their_speaker(tmp_path: Path) -> None:
    turns = [
        [{"__TEXT__": "Look :star:"}, {"__MEDIA__": "1"}, {"__TEXT__": "here"}],
        [{"__MEDIA__": "2"}, {"__MEDIA__": "3"}],
        [{"__TEXT__": "Both are nice"}],
    ]
    path = write(tmp_path / "in.json", [{"conversation_id": 5, "conversation": [{"turn": turn} for turn in turns]}])
    (record,) = good(path)
    assert [(one["speaker"], one["text"]) for one in record["turns"]] == [("A", "Look ⭐ here"), ("A", "Both are nice")]
    assert record["pictures"] == [
        {"turn": 0, "placement": "after", "id": "1"},
        {"turn": 0, "placement": "own_turn", "speaker": "B", "id": "2"},
        {"turn": 0, "placement": "own_turn", "speaker": "B", "id": "3"},
    ]


def test_dailydialog_has_the_labels_of_the_files_beside_it(tmp_path: Path) -> None:
    path = put(tmp_path, SHAPES["DailyDialog text"], [*TALK, ["Hello."]])
    for kind, lines in {"topic": "1\n6\n10\n", "act": "3 4 1 1\n2 9\n1\n", "emotion": "0 4 4 0\n0 0 0\n4\n"}.items():
        write(tmp_path / f"dialogues_{kind}.txt", lines)
    labels = [record["labels"] for record in good(path)]
    acts, emotions = ["directive", "commissive", "inform", "inform"], ["none", "happiness", "happiness", "none"]
    assert labels[0] == {"topic": "Ordinary Life", "acts": acts, "emotions": emotions}
    assert labels[1] == {"topic": "Tourism", "mismatched": ["acts", "emotions"]}
    assert labels[2] == {"topic": "Finance", "acts": ["inform"], "emotions": ["happiness"]}


def test_stark_sessions_are_dialogues_of_their_own(tmp_path: Path) -> None:
    session = [{"speaker": "Ada", "utter": "hi", "sharing_info": ""}]
    row = {"unique_id": "s", "episode": [{"session1:dialogue": repr(session)}, {"session2:dialogue": session}]}
    assert [record["key"] for record in good(write(tmp_path / "in.jsonl", row))] == ["s-session1", "s-session2"]


def test_partners_personas_are_kept_apart(tmp_path: Path) -> None:
    first_episode = "1 your persona: i bake.\n2 partner's persona: i fly.\n3 hi there\thello\t\ta|b\n"
    lines = f"{first_episode}1 partner's persona: i run.\n2 oh\tah\n"
    first, second = good(write(tmp_path / "train_both_original.txt", lines))
    assert first["labels"] == {"persona": {"B": ["i bake."], "A": ["i fly."]}}
    assert (texts(first), texts(second)) == (["hi there", "hello"], ["oh", "ah"])
    assert second["source"]["line"] == 4


# -- wording


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("do n't , you know ?", "don't, you know?"),
        ("I don ’ t know , it ’ s fine .", "I don’t know, it’s fine."),
        ('he said " hi there " ( soon ) .', 'he said "hi there" (soon).'),
        ("we 're gon na pay $ 5 ...", "we're gonna pay $5..."),
        ("nice :) and : this", "nice :) and: this"),
        ("the boys ' cats at 5 - 6", "the boys ' cats at 5 - 6"),
    ],
)
def test_tokenised_text_is_written_as_people_do(written: str, wanted: str) -> None:
    assert detokenised(written) == wanted


@given(text=st.text(st.sampled_from("ab tnsdm'’\".,!?:;)( $0gowetl"), max_size=40))
def test_detokenising_takes_only_spaces_away_and_is_done_once(text: str) -> None:
    done = detokenised(text)
    assert done.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("Happy day :camera_with_flash: :star:", "Happy day 📸 ⭐"),
        ("from 5:30 and 6:15", "from 5:30 and 6:15"),
        ("a:b:c :x: :thumbsup: :no_such_name:", "a:b:c :x: :thumbsup: :no_such_name:"),
    ],
)
def test_only_known_emoji_names_are_turned_back(written: str, wanted: str) -> None:
    assert with_emoji(written) == wanted


def test_wording_follows_the_data_set_unless_it_is_said(tmp_path: Path) -> None:
    said = [["it 's a :star: !"]]
    daily = put(tmp_path, SHAPES["DailyDialog text"], said)
    media = put(tmp_path, SHAPES["MMDialog"], said)
    plain = put(tmp_path, SHAPES["plain JSON"], said)
    assert [texts(good(path)[0])[0] for path in (daily, media, plain)] == [
        "it's a :star:!",
        "it 's a ⭐ !",
        "it 's a :star: !",
    ]
    always = ReaderSettings(emoji="always", detokenise="always")
    never = ReaderSettings(emoji="never", detokenise="never")
    assert {texts(good(path, always)[0])[0] for path in (daily, media, plain)} == {"it's a ⭐!"}
    assert {texts(good(path, never)[0])[0] for path in (daily, media, plain)} == {"it 's a :star: !"}


def test_speakers_can_be_made_where_nobody_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "in.json", [["hi", "hello", "bye"], [{"speaker": "Ada", "text": "hi"}, "hello"]])
    made = [
        [turn["speaker"] for turn in record["turns"]] for record in good(path, ReaderSettings(speakers="alternate"))
    ]
    assert made == [["A", "B", "A"], ["Ada", None]]


# -- broken rows

BROKEN: dict[str, tuple[str, Any, str]] = {
    "MMDialog: no turns": ("mmdialog", {"conversation_id": 1, "conversation": [{"turn": "hi"}]}, "`turn` is a string"),
    "MMDialog: unknown element": ("mmdialog", {"conversation": [{"turn": [{"__SOUND__": "x"}]}]}, "neither `__TEXT__`"),
    "MMDialog: pictures only": ("mmdialog", {"conversation": [{"turn": [{"__MEDIA__": "x"}]}]}, "has no turns"),
    "PhotoChat: a number as message": (
        "photochat",
        {"dialogue": [{"message": 3, "share_photo": False}]},
        "text of turn 0 is a number",
    ),
    "PhotoChat: a list as user": (
        "photochat",
        {"dialogue": [{"message": "a", "share_photo": False, "user_id": []}]},
        "speaker of turn 0 is a list",
    ),
    "PhotoChat: a string": ("photochat", "hi", "no object with `dialogue`"),
    "DailyDialog: null": ("dailydialog", {"dialog": ["hi", None], "act": []}, "turn 1 has no text"),
    "MMDD: beyond the end": (
        "mmdd",
        {"dialog": ["hi"], "replaced_idx": 1},
        "`replaced_idx` is 1, but the dialogue has 1 turns",
    ),
    "MMDD: true": ("mmdd", {"dialog": ["hi"], "replaced_idx": True}, "`replaced_idx` is True"),
    "DialogCC: no utterance": ("dialogcc", {"dialogue": [{"utterance": None}]}, "turn 0 has no text"),
    "Persona-Chat: no candidates": (
        "personachat",
        {"personality": [], "utterances": [{"history": ["hi"], "candidates": []}]},
        "no candidates",
    ),
    "Persona-Chat: empty": ("personachat", {"personality": [], "utterances": []}, "has no turns"),
    "ShareGPT: too few pictures": (
        "sharegpt",
        {"conversations": [{"from": "human", "value": "<image><image>x"}], "images": ["a"]},
        "2 `<image>`, but there are 1",
    ),
    "Stark: code": ("stark", {"session1:dialogue": "__import__('os').getcwd()"}, "no list as Python or JSON"),
    "Stark: deep": ("stark", {"session1:dialogue": "[" * 100_000}, "no list as Python or JSON"),
    "OpenAI: no list": ("openai", {"messages": "hi"}, "`messages` is a string"),
}


@pytest.mark.parametrize(("format", "row", "why"), BROKEN.values(), ids=BROKEN)
def test_a_broken_row_fails_with_its_place_and_stops_no_other(tmp_path: Path, format: str, row: Any, why: str) -> None:
    shape = next(shape for shape in SHAPES.values() if shape.format == format and ".json" in shape.file)
    whole = json.loads(shape.write(TALK[:1])) if shape.file.endswith(".json") and format != "mmdialog" else None
    if isinstance(whole, dict):
        whole = whole["train"]
    one = whole[0] if whole else json.loads(str(shape.write(TALK[:1])).splitlines()[0])
    other = one | {name: 9 for name in ("conversation_id", "dialogue_id", "id", "unique_id") if name in one}
    path = write(tmp_path / "in.jsonl", "\n".join(json.dumps(each) for each in (one, row, other)))
    first, broken, last = read(path)
    assert why in bad(broken)
    assert bad(broken).endswith("(`in.jsonl`, line 2)")
    assert not is_bad(first)
    assert not is_bad(last)


def test_a_broken_line_of_text_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "dialogues_text.txt"
    path.write_bytes(b"Hi . __eou__ Hello . __eou__\ncaf\xe9 __eou__\n\nBye . __eou__ __eou__\nSee you . __eou__\n")
    first, latin, empty, last = read(path)
    assert "not UTF-8 (byte 4) (`dialogues_text.txt`, line 2)" in bad(latin)
    assert "turn 1 has no text (`dialogues_text.txt`, line 4)" in bad(empty)
    assert not is_bad(first)
    assert not is_bad(last)
    path = tmp_path / "valid_none_original.txt"
    path.write_bytes(b"1 hi\thello\n2 caf\xe9\tah\n1 no reply\nlost\n1 oh\tah\n")
    latin, lost, last = read(path)
    assert "not UTF-8 (byte 6), line 2" in bad(latin)
    assert "a line of the episode has no number, line 4 (`valid_none_original.txt`, line 3)" in bad(lost)
    assert not is_bad(last)


def test_csv_rows_that_do_not_fit_the_header_fail_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", 'chat,Persona\n"hi\nhello\n",i fly\n\nlost\n"bye\n",\n')
    first, lost, last = read(path)
    assert "the row has 1 columns, the header 2 (`in.csv`, line 6)" in bad(lost)
    assert not is_bad(first)
    assert (first["source"]["line"], last["source"]["line"]) == (2, 7)
    with pytest.raises(InputError, match="no header line with a name for each column"):
        list(read(write(tmp_path / "in.csv", "chat,chat\nhi,ho")))
    (cut,) = read(write(tmp_path / "in.csv", 'chat\n"hi'), ReaderSettings(format="personachat"))
    assert "not valid CSV: unexpected end of data (`in.csv`, line 2)" in bad(cut)


def test_a_damaged_columnar_file_is_named(tmp_path: Path) -> None:
    for name in ("in.parquet", "in.arrow"):
        with pytest.raises(InputError, match=f"`{name}` cannot be read as"):
            list(read(write(tmp_path / name, "PAR1 and no more")))
    path = tmp_path / "in.json.gz"
    path.write_bytes(gzip.compress(json.dumps([["hi"]] * 99_999).encode())[:-20])
    with pytest.raises(InputError, match=r"`in.json.gz` is damaged gzip"):
        list(read(path))


def test_a_released_file_of_magid_keeps_rows_that_are_broken(tmp_path: Path) -> None:
    rows = {
        "0": [["txt", "hi"], ["img", "a.png"]],
        "1": "lost",
        "2": [["img", "b.png"]],
        "3": [["sound", "x"]],
        "4": [["txt", "bye"]],
    }
    first, *broken, last = read(write(tmp_path / "train" / "data.json", rows))
    assert [row["key"] for row in (first, last)] == ["train-0", "train-4"]
    assert ["a string" in bad(broken[0]), "no turns" in bad(broken[1]), "entry 0" in bad(broken[2])] == [True] * 3


# -- strange files


def test_values_that_are_not_json_go_no_further(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"dialog": ["hi", "ho"], "replaced_idx": 0, "score": NaN, "dialog": ["a", "\\ud83d b"]}\n')
    (record,) = good(path)
    assert texts(record) == ["a", "\ufffd b"]  # of two keys of the same name the last counts, as everywhere
    assert record["pictures"] == [{"turn": 0, "placement": "in_place"}]
    path = write(tmp_path / "in.json", f"[\n{path.read_text()}]")
    assert good(path)[0]["turns"] == record["turns"]


@pytest.mark.parametrize("deep", ["[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000])
def test_deep_rows_fail_alone(tmp_path: Path, deep: str) -> None:
    first, broken, last = read(write(tmp_path / "in.jsonl", f'["hi"]\n{{"turns": {deep}}}\n["bye"]'))
    assert is_bad(broken)
    assert not is_bad(first)
    assert not is_bad(last)


def test_a_list_of_strings_is_one_dialogue_only_if_it_is_short(tmp_path: Path) -> None:
    path = write(tmp_path / "in.json", ["hi"] * 10_001)
    with pytest.raises(InputError, match="too long to be one dialogue"):
        list(read(path))


# -- folders


def test_a_folder_is_read_as_one_input_with_splits(tmp_path: Path) -> None:
    for split, shards in {"train": 2, "dev": 1, "test": 1}.items():
        for shard in range(shards):
            rows = [photochat(2 * shard + at, one) for at, one in enumerate(TALK)]
            write(tmp_path / "photochat" / split / f"{split}_{shard:02}.json", rows)
    write(tmp_path / "photochat" / "README.md", "---\nlicense: cc-by-4.0\n---\n# PhotoChat")
    write(tmp_path / "photochat" / "LICENSE.txt", "Be kind.\n")
    write(tmp_path / "photochat" / ".cache" / "x.json", "[]")
    records = good(tmp_path / "photochat")
    assert [record["key"] for record in records] == [
        "valid-0", "valid-1", "test-0", "test-1", "train-0", "train-1", "train-2", "train-3",
    ]  # fmt: skip
    assert [record["source"]["index"] for record in records] == list(range(8))
    assert records[0]["source"] == {
        "file": "dev/dev_00.json", "index": 0, "line": 1, "dataset": "PhotoChat", "split": "valid", "id": "0",
        "license": "cc-by-4.0",
    }  # fmt: skip


def test_the_identity_of_a_folder_is_that_of_the_files_that_are_read(tmp_path: Path) -> None:
    def identity() -> str:
        with open_input(tmp_path / "set") as source:
            return source.sha256()

    first = put(tmp_path / "set" / "train", SHAPES["PhotoChat"], TALK, name="a.json")
    put(tmp_path / "set" / "test", SHAPES["PhotoChat"], TALK, name="b.json")
    before = identity()
    write(tmp_path / "set" / "train" / "kite.jpg", "a picture")
    assert identity() == before
    put(tmp_path / "set" / "train", SHAPES["PhotoChat"], TALK[:1], name="a.json")
    changed = identity()
    first.rename(first.with_name("c.json"))
    assert len({before, changed, identity()}) == 3


def test_labels_beside_a_file_are_part_of_its_identity(tmp_path: Path) -> None:
    path = put(tmp_path, SHAPES["DailyDialog text"], TALK)
    seen = set()
    for topics in (None, "1\n2\n", "1\n3\n"):
        if topics:
            write(tmp_path / "dialogues_topic.txt", topics)
        with open_input(path) as source:
            seen.add(source.sha256())
    assert len(seen) == 3


def test_the_same_dialogues_are_not_read_twice_from_one_folder(tmp_path: Path) -> None:
    for name in ("train_none_original", "train_self_original", "train_self_revised", "train_both_original_no_cands"):
        put(tmp_path / "persona", SHAPES["ParlAI text"], TALK, name=f"{name}.txt")
    put(tmp_path / "persona", SHAPES["ParlAI text"], TALK, name="valid_none_original.txt")
    with open_input(tmp_path / "persona") as source:
        kept = [part.name for part in source.found.parts]
        assert kept == ["train_both_original_no_cands.txt", "valid_none_original.txt"]
        assert source.found.left_out["train_self_revised.txt"] == "another file has the same dialogues"
    for name in ("dialogues_text.txt", "train/dialogues_train.txt", "test/dialogues_test.txt"):
        put(tmp_path / "daily", SHAPES["DailyDialog text"], TALK, name=name)
    write(tmp_path / "daily/train/dialogues_act_train.txt", "1 1 1 1\n2 2\n")
    records = good(tmp_path / "daily")
    assert [record["source"]["file"].rpartition("/")[2] for record in records[::2]] == [
        "dialogues_test.txt",
        "dialogues_train.txt",
    ]
    assert records[2]["labels"] == {"acts": ["inform"] * 4}


def test_a_folder_of_two_data_sets_asks_which(tmp_path: Path) -> None:
    put(tmp_path / "both", SHAPES["PhotoChat"], TALK, name="a.json")
    put(tmp_path / "both", SHAPES["MMDD"], TALK, name="b.json")
    write(tmp_path / "both" / "notes.txt", "hello")
    with pytest.raises(InputError, match=r"photochat \(`a.json`\), mmdd \(`b.json`\); choose one with `--format`"):
        list(read(tmp_path / "both"))
    assert len(good(tmp_path / "both", ReaderSettings(format="mmdd"))) == 2


def test_a_folder_that_datasets_saved_is_read(tmp_path: Path) -> None:
    import datasets

    rows = [{"dialog": one, "name": f"n{at}", "picture": b"\x89PNG"} for at, one in enumerate(TALK)]
    saved = datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(rows), "validation": datasets.Dataset.from_list(rows)}
    )
    saved.save_to_disk(str(tmp_path / "saved"))
    records = good(tmp_path / "saved", ReaderSettings(map=("turns=dialog", "id=name")))
    assert [texts(record) for record in records] == TALK * 2
    assert [record["key"] for record in records] == ["train-n0", "train-n1", "valid-n0", "valid-n1"]


# -- a mapping of columns


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"dialog": ["hi", "hello"], "who": ["Ada", "Ben"]}, ("turns=dialog", "speaker=who")),
        (
            {"talk": {"lines": [{"said": "hi", "by": "Ada"}, {"said": "hello", "by": "Ben"}]}},
            ("turns=talk.lines", "text=said", "speaker=by"),
        ),
        ({"t": {"text": ["hi", "hello"], "speaker": ["Ada", "Ben"]}}, ("turns=t",)),
        ({"t": [{"content": "hi", "role": "Ada"}, {"utterance": "hello", "from": "Ben"}]}, ("turns=t",)),
    ],
)
def test_columns_are_read_by_a_mapping(tmp_path: Path, row: Any, columns: tuple[str, ...]) -> None:
    (record,) = good(write(tmp_path / "in.jsonl", row), ReaderSettings(map=columns))
    assert [(turn["speaker"], turn["text"]) for turn in record["turns"]] == [("Ada", "hi"), ("Ben", "hello")]


@pytest.mark.parametrize("text", ["hi\nhello\n", "hi __eou__ hello __eou__"])
def test_text_in_a_column_is_parted_into_turns(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "in.json", [{"id": 1, "text": text}])
    (record,) = good(path, ReaderSettings(map=("turns=text", "id=id")))
    assert texts(record) == ["hi", "hello"]
    assert record["key"] == "1"


@pytest.mark.parametrize(
    ("columns", "row", "why"),
    [
        (("dialog",), None, "write it as `--map turns=COLUMN`"),
        (("turn=dialog",), None, "what can be mapped: `turns`, `text`"),
        (("id=name",), None, "add `--map turns=COLUMN`"),
        (("turns=talk",), None, "no row of `in.jsonl` has the column `talk` of `--map`; there are `dialog`"),
        (("turns=talk.lines",), {"talk": {"line": []}}, "there is no column `talk.lines`; there are `talk`"),
        (("turns=talk",), {"talk": 3}, "column `talk` is a number; it must be a list, or text"),
        (("turns=talk",), {"talk": [{"said": "hi"}]}, "add `--map text=FIELD`"),
        (("turns=talk", "speaker=who"), {"talk": ["hi"], "who": ["a", "b"]}, "names 2 speakers for 1 turns"),
    ],
)
def test_a_mapping_that_does_not_fit_says_what_would(
    tmp_path: Path, columns: tuple[str, ...], row: Any, why: str
) -> None:
    path = write(tmp_path / "in.jsonl", {"dialog": ["hi"]} if row is None else row)
    reader = ReaderSettings(map=columns)
    if row is None:
        with pytest.raises(InputError) as raised:
            list(read(path, reader))
        assert why in str(raised.value)
    else:
        (record,) = read(path, reader)
        assert why in bad(record)
