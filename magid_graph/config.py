"""Settings: a preset, then `magid.toml`, then flags, each layer over the one before.

Every key knows where its value came from. Unknown keys are refused and the nearest known one is named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError

from magid_graph.errors import SettingsError
from magid_graph.layers import flatten, nearest, parse_assignments, read_preset, read_toml
from magid_graph.records import Constrain, Kind, Limits

Strategy = Literal["zero-shot", "few-shot", "cot", "brief"]
Check = Literal["safety", "match", "aesthetic"]

DEFAULT_PRESET = "pocket"


class _HowOnly:
    """Marks a setting that changes how fast or where work is done, never what comes out."""


HowOnly = _HowOnly()

_FromList = Strict(False)
"""Marks a tuple that is written as a list: TOML and JSON have no tuples."""


class Section(BaseModel):
    # Strict: `true` is no number and "5" no setting of 5. Whole numbers are taken where fractions may stand.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class ModelNames(Section):
    """Which models are used, each named `backend:model`."""

    llm: str
    """`openai:NAME`, `openai:NAME@URL` (any OpenAI-compatible server), `gguf:FILE`, `gguf:pocket`."""
    text_to_image: str
    """`diffusers:HUB-ID-OR-FOLDER`, `diffusers:pocket`, `retrieval:FOLDER`."""
    clip: str
    """`open_clip:ARCHITECTURE/WEIGHTS`, `open_clip:FOLDER`, `open_clip:pocket`."""
    aesthetic: str
    """`head:HUB-ID-OR-FOLDER`, `head:pocket`: a head on image embeddings."""
    aesthetic_clip: str | None = None
    """The embedding that the aesthetic head reads, named like `clip`; unset: the same model as `clip`."""
    safety: str
    """`opennsfw:`, `transformers:HUB-ID-OR-FOLDER`."""
    captioner: str | None = None
    """`transformers:HUB-ID-OR-FOLDER`, `transformers:pocket`, `openai:NAME`, `openai:NAME@URL`: writes the captions of
    pairs, and tells feedback what a refused picture showed."""


class ReaderSettings(Section):
    format: str = "auto"
    """How the input is written (`--format`); `auto`: told by its content."""
    map: Annotated[tuple[str, ...], _FromList] = ()
    """Which column is what (`--map`), e.g. `["turns=dialog", "speaker=name"]`."""
    merge_consecutive: bool = True
    """PhotoChat: messages that one person sends in a row become one turn."""
    emoji: Literal["auto", "always", "never"] = "auto"
    """Turn `:camera_with_flash:` back into the emoji; `auto`: where the data set is known to be written so."""
    detokenise: Literal["auto", "always", "never"] = "auto"
    """Write `do n't , you know ?` as `don't, you know?`; `auto`: where the data set is known to be written so."""
    speakers: Literal["as_given", "alternate"] = "as_given"
    """`alternate`: dialogues that name nobody are said by A and B in turns, as those of published sets always are."""
    license: str | None = None
    """Of the input, where it does not say so itself."""


class Llm(Section):
    temperature: float = Field(0.3, ge=0, le=2)
    max_tokens: int = Field(1024, ge=16)
    """Longest reply."""
    context_tokens: int = Field(16_384, ge=512)
    """Prompt and reply together; longer dialogues are scanned in overlapping windows."""
    constrain: Constrain = "auto"
    """How grammars of the replies are sent: as `vllm` (0.12 or newer) or `llama.cpp` reads them, or not at all. `auto`:
    to a GGUF model in this process only, because other servers ignore or refuse what they do not know."""
    timeout_s: Annotated[float, HowOnly] = Field(120, gt=0)
    max_retries: Annotated[int, HowOnly] = Field(4, ge=0)
    """Of one call, on 429, 5xx and lost connections; `Retry-After` is honoured."""
    parallel: Annotated[int, HowOnly] = Field(4, ge=1)
    """Slots of a GGUF model served in this process."""
    threads: Annotated[int, HowOnly] = Field(0, ge=0)
    """Of a GGUF model served in this process; 0: half of the cores (its threads spin, and drawing wants the rest)."""
    api_key_env: Annotated[str | None, HowOnly] = None
    """Name of the environment variable with the key of a server by URL; hosted OpenAI uses `OPENAI_API_KEY`."""


class Scanner(Section):
    strategy: Strategy = "cot"
    """The prompt's file name under prompts/scanner; `brief` is for models trained on this task."""

    @property
    def is_brief(self) -> bool:
        """Whether all nodes use the short prompts and tight grammars of such a model."""
        return self.strategy == "brief"

    max_images_per_dialogue: int = Field(2, ge=0)
    """0: no limit."""
    window_overlap: int = Field(2, ge=0)
    """Turns that neighbouring windows of a long dialogue share."""


class Generator(Section):
    num_inference_steps: int = Field(30, ge=1)
    guidance_scale: float = Field(5.0, ge=0)
    height: int | None = Field(None, ge=8)
    """Pixels; unset: the pipeline's own."""
    width: int | None = Field(None, ge=8)
    negative_prompt: str | None = None
    style: str = ""
    """Appended to each description."""
    too_long: Literal["shorten", "cut"] = "shorten"
    """What happens to a description with more tokens than the text encoder reads."""
    upscale_to: int | None = Field(None, ge=64, le=4096)
    """Small pictures are scaled up to this many pixels on the shorter side."""
    max_faults: int = Field(2, ge=0)
    """How often a blank picture is drawn again before the item fails."""
    vae: str | None = None
    refiner: str | None = None
    refiner_split: float = Field(0.8, gt=0, lt=1)
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    compile: Annotated[bool, HowOnly] = False
    batch_size: Annotated[int, HowOnly] = Field(4, ge=1)


class Qa(Section):
    checks: Annotated[tuple[Check, ...], _FromList] = ("safety", "match", "aesthetic")
    """In this order; the first that a picture fails is the reason it is refused."""
    clip_against: Literal["utterance", "description", "both"] = "description"
    min_clip_similarity: float = Field(0.21, ge=-1, le=1)
    min_aesthetic: float = Field(5.1, ge=0, le=10)
    max_nsfw: float = Field(0.5, ge=0, le=1)
    never_refuse: Annotated[tuple[Check, ...], _FromList] = ()
    """Of the checks, those whose scores are recorded and refuse nothing."""
    measure_all: bool = False
    """Measure the later checks too when an earlier one has failed."""
    blocked_terms: Annotated[tuple[str, ...], _FromList] = ()
    """Words that no description may hold, besides the built-in list."""
    batch_size: Annotated[int, HowOnly] = Field(16, ge=1)

    def limits(self) -> Limits:
        return Limits(
            min_clip_similarity=self.min_clip_similarity, min_aesthetic=self.min_aesthetic, max_nsfw=self.max_nsfw
        )


class Describer(Section):
    """How the first descriptions of pairs are asked for."""

    prompts: Annotated[tuple[str, ...], _FromList] = ("scenes",)
    """File names under prompts/describer/; the batches take them in turn."""
    topics: Annotated[tuple[str, ...], _FromList] = ()
    """What the descriptions of a batch are about; the batches take them in turn. None: anything."""
    at_once: int = Field(10, ge=1)
    """Descriptions that one question asks for, at most."""
    patience: int = Field(4, ge=1)
    """Questions in a row that may bring nothing new before a batch is given up."""
    shown: int = Field(20, ge=0)
    """Earlier descriptions that a question tells the language model not to repeat."""
    max_similarity: float = Field(0.92, ge=-1, le=1)
    """A description nearer to an earlier one of the run (cosine of text embeddings) is dropped. 1: none."""
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    """0: no limit. Not sent to hosted OpenAI, which has no such parameter."""


class CaptionerSettings(Section):
    """How pictures are described."""

    instruction: str = "Describe this image in detail."
    """What a chat model is asked; plain image-to-text models are not asked anything."""
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    max_tokens: int = Field(256, ge=8)
    """Longest caption."""
    max_side: int = Field(512, ge=32, le=4096)
    """Pixels on the longer side of a picture that is sent to a server."""
    batch_size: Annotated[int, HowOnly] = Field(8, ge=1)
    """Pictures that a local model describes at once, or calls to a server that are in flight."""
    api_key_env: Annotated[str | None, HowOnly] = None
    """Name of the environment variable with the key of a server by URL; hosted OpenAI uses `OPENAI_API_KEY`."""


class Cycle(Section):
    """The description -> picture -> caption cycle that makes pairs."""

    iterations: int = Field(5, ge=1, le=10_000)
    """Pictures of a chain; each is drawn from the caption of the one before."""
    batches: int = Field(10, ge=1)
    descriptions: int = Field(10, ge=1, le=1000)
    """First descriptions of a batch: each begins a chain."""
    count: int | None = Field(None, ge=1)
    """Batches are begun until exactly so many pairs are accepted; unset: `batches` of them."""
    qa: Literal["off", "filter", "gate"] = "off"
    """`off`: only unsafe pictures are refused, other scores are recorded. `filter`: what is refused becomes no pair,
    the chain goes on. `gate`: it is drawn again as in dialogues, and a chain whose picture is refused for good ends."""
    stop_drift: float | None = Field(None, ge=0, le=2)
    """A chain ends with the first caption further than this from its first description (1 - cosine)."""
    stop_fixed_point: bool = False
    """A chain ends with the first caption that repeats an earlier text of it."""
    shuffle: bool = False
    """The data set scatters the pictures of a chain, instead of keeping them together."""


class Retry(Section):
    regenerate: int = Field(2, ge=0, le=100)
    """How often the same description is drawn again with a new seed."""
    feedback: int = Field(1, ge=0, le=100)
    """How often the language model may describe the moment anew; the full number of attempts follows each time."""

    def max_attempts(self) -> int:
        return (1 + self.regenerate) * (1 + self.feedback)


class RunSettings(Section):
    seed: int = Field(0, ge=0)
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], HowOnly] = "auto"
    in_flight: Annotated[int, HowOnly] = Field(0, ge=0)
    """Items worked on at the same time; 0: four times the larger of batch size and LLM slots."""
    max_utterance_chars: int = Field(20_000, ge=1)
    """A longer utterance makes its dialogue `failed`."""
    image_format: Literal["png", "jpeg"] = "png"
    provenance: bool = True
    """Write recipe, model and seed into each picture's file, and that it is AI-generated (pixels stay as drawn)."""
    spans: Annotated[bool, HowOnly] = True
    """Record every node run. Without, `trace` shows the pictures and their scores, but not the way to them."""


class Settings(Section):
    """Everything that a run depends on besides its input and the prompts."""

    models: ModelNames
    reader: ReaderSettings = ReaderSettings()
    llm: Llm = Llm()
    scanner: Scanner = Scanner()
    generator: Generator = Generator()
    qa: Qa = Qa()
    retry: Retry = Retry()
    describer: Describer = Describer()
    captioner: CaptionerSettings = CaptionerSettings()
    cycle: Cycle = Cycle()
    run: RunSettings = RunSettings()

    def in_flight(self) -> int:
        return self.run.in_flight or 4 * max(self.generator.batch_size, self.llm.parallel)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings in force, the preset they began with, and where each value came from."""

    settings: Settings
    preset: str
    origins: dict[str, str]
    """`{"qa.min_aesthetic": "--set"}`; keys that nobody set are `default`."""


def load(preset: str = DEFAULT_PRESET, *, config_path: Path | None = None, assignments: Sequence[str] = ()) -> Loaded:
    """Merge the layers. `config_path` unset: `magid.toml` of the working directory, if there is one.

    Raises:
        SettingsError: unknown preset or key, wrong type, out of range, not TOML.
    """
    config_path = config_path or next((p for p in [Path("magid.toml")] if p.is_file()), None)
    layers = [(f"preset {preset}", read_preset(preset))]
    if config_path is not None:
        layers.append((str(config_path), read_toml(config_path)))
    layers.append(("--set", parse_assignments(assignments)))
    values: dict[str, object] = {}
    origins = dict.fromkeys(_known_keys(), "default")
    for origin, layer in layers:
        for key, value in flatten(layer):
            _refuse_unknown(key, origin)
            values[key] = value
            origins[key] = origin
    return Loaded(_validated(values, origins), preset, origins)


def changed(settings: Settings, assignments: Sequence[str]) -> Settings:
    """The settings with these `key=value` over them.

    Raises:
        SettingsError: unknown key, wrong type, out of range.
    """
    layer = dict(flatten(parse_assignments(assignments)))
    for key in layer:
        _refuse_unknown(key, "--set")
    return _validated(flat(settings) | layer, dict.fromkeys(layer, "--set"))


def flat(settings: Settings) -> dict[str, object]:
    """`{"qa.min_aesthetic": 5.1, …}`, every key."""
    return dict(flatten(settings.model_dump(mode="json")))


_ELSEWHERE: dict[Kind, tuple[str, ...]] = {
    "dialogue": ("describer.", "cycle."),
    "pairs": ("reader.", "scanner.max_images", "scanner.window", "run.max_utterance"),
}
"""Beginnings of the keys that a kind of run never reads."""


def determining(settings: Settings, kind: Kind = "dialogue") -> dict[str, object]:
    """The keys that what comes out of a run of this kind depends on."""
    how_only = {key for key, field in _known_keys().items() if HowOnly in field.metadata}
    elsewhere = _ELSEWHERE[kind]
    if settings.models.captioner is None:
        elsewhere = (*elsewhere, "captioner.")
    return {k: value for k, value in flat(settings).items() if k not in how_only and not k.startswith(elsewhere)}


def fingerprint(*parts: object) -> str:
    """64 hex digits that change when any part changes."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


@cache
def _known_keys() -> dict[str, Any]:
    return {
        f"{section}.{key}": field
        for section, part in Settings.model_fields.items()
        if isinstance(part.annotation, type)
        for key, field in part.annotation.model_fields.items()
    }


def _refuse_unknown(key: str, origin: str) -> None:
    if key not in _known_keys():
        raise SettingsError(f"unknown setting `{key}` ({origin}){nearest(key, list(_known_keys()))}")


def _validated(values: Mapping[str, object], origins: Mapping[str, str]) -> Settings:
    nested: dict[str, dict[str, object]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        nested.setdefault(section, {})[name] = value
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:2])
        given = "" if first["type"] == "missing" else f", not `{first['input']}`"
        origin = origins.get(key, "settings")
        raise SettingsError(f"`{key}` ({origin}): {first['msg']}{given}") from error
