from __future__ import annotations

import json
from pathlib import Path

import pytest

from magid_graph import config, layers
from magid_graph.errors import SettingsError
from magid_graph.records import Kind


def test_flags_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "magid.toml"
    path.write_text("[qa]\nmin_aesthetic = 4.0\nmax_nsfw = 0.2\n")
    loaded = config.load("paper", config_path=path, assignments=["qa.max_nsfw=0.1"])
    assert loaded.settings.qa.min_aesthetic == 4.0
    assert loaded.settings.qa.max_nsfw == 0.1
    assert loaded.settings.qa.clip_against == "utterance"
    assert loaded.origins["qa.min_aesthetic"] == str(path)
    assert loaded.origins["qa.max_nsfw"] == "--set"
    assert loaded.origins["qa.clip_against"] == "preset paper"
    assert loaded.origins["retry.regenerate"] == "preset paper"
    assert loaded.origins["run.seed"] == "default"


def test_the_file_of_the_working_directory_is_found(tmp_path: Path) -> None:
    Path("magid.toml").write_text("[run]\nseed = 7\n")
    assert config.load().settings.run.seed == 7


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("qa.min_aestetic=5", "did you mean `qa.min_aesthetic`"),
        ("min_aesthetic=5", "did you mean `qa.min_aesthetic`"),
        ("qa.min_aesthetic=50", "less than or equal to 10"),
        ("qa.min_aesthetic=lots", "valid number"),
        ("qa.min_aesthetic=nan", "finite"),
        ("qa.max_nsfw=true", "valid number"),
        ("qa.max_nsfw='0.5'", "valid number"),
        ("retry.regenerate=true", "valid integer"),
        ("retry.regenerate=2.0", "valid integer"),
        ("qa.measure_all=1", "valid boolean"),
        ("qa.checks='safety'", "valid tuple"),
        ("qa.blocked_terms=[1]", "valid string"),
        ("models.captioner=3", "valid string"),
        ("retry.regenerate=-1", "greater than or equal to 0"),
        ("qa.clip_against=caption", "'utterance', 'description' or 'both'"),
        ("run.device=tpu", "'auto', 'cpu', 'cuda' or 'mps'"),
        ("qa.min_aesthetic", "--set key=value"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_reason(assignment: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        config.load(assignments=[assignment])


def test_whole_numbers_and_lists_are_taken_as_toml_and_json_write_them() -> None:
    loaded = config.load(assignments=["qa.max_nsfw=1", 'qa.checks=["safety"]', "models.captioner=none"])
    assert (loaded.settings.qa.max_nsfw, loaded.settings.qa.checks) == (1.0, ("safety",))
    kept = json.loads(json.dumps(loaded.settings.model_dump(mode="json")))
    assert config.Settings.model_validate(kept) == loaded.settings


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean `pocket`"):
        config.load("pokcet")


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "magid.toml"
    path.write_text("[qa\n")
    with pytest.raises(SettingsError, match=r"is not TOML.*line 1"):
        config.load(config_path=path)


@pytest.mark.parametrize("name", layers.presets())
def test_every_preset_loads(name: str) -> None:
    assert config.load(name).settings.models.llm


def test_how_work_is_done_does_not_change_what_a_run_is() -> None:
    few, many = (config.load(assignments=[f"generator.batch_size={n}", f"run.in_flight={n}"]) for n in (1, 64))
    assert config.determining(few.settings) == config.determining(many.settings)
    other = config.load(assignments=["qa.min_aesthetic=5.2"])
    assert config.determining(few.settings) != config.determining(other.settings)


def test_settings_that_a_kind_of_run_never_reads_do_not_change_what_it_is() -> None:
    def of(kind: Kind, *assignments: str) -> dict[str, object]:
        return config.determining(config.load(assignments=assignments).settings, kind)

    assert of("dialogue") == of("dialogue", "describer.patience=9", "cycle.iterations=2")
    assert of("pairs") == of("pairs", "scanner.max_images_per_dialogue=9", "run.max_utterance_chars=9")
    assert of("pairs") != of("pairs", "cycle.iterations=2")
    # Feedback tells what the captioner saw, if there is one.
    assert of("dialogue") != of("dialogue", "captioner.max_tokens=9")
    blind = "models.captioner=none"
    assert of("dialogue", blind) == of("dialogue", blind, "captioner.max_tokens=9")


def test_the_paper_preset_is_the_papers() -> None:
    settings = config.load("paper").settings
    assert (settings.qa.clip_against, settings.qa.min_clip_similarity) == ("utterance", 0.21)
    assert settings.qa.min_aesthetic == 5.1
    assert (settings.llm.temperature, settings.scanner.strategy) == (0.3, "cot")
    assert settings.retry.max_attempts() == 6
