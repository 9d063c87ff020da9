"""Opens the models that the settings name, each `backend:model`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from magid_graph import pocket
from magid_graph.config import Settings
from magid_graph.context import Models
from magid_graph.errors import ModelUnavailable, SettingsError
from magid_graph.models import AestheticHead, Captioner, Chat, Embedder, Onlooker, SafetyClassifier, TextToImage

_BACKENDS = {
    "llm": ("openai", "gguf", "fake"),
    "text_to_image": ("diffusers", "retrieval", "fake"),
    "clip": ("open_clip", "fake"),
    "aesthetic": ("head", "fake"),
    "aesthetic_clip": ("open_clip", "fake"),
    "safety": ("opennsfw", "transformers", "fake"),
    "captioner": ("transformers", "openai", "fake"),
}


def check_names(settings: Settings) -> None:
    """Raises `SettingsError` where a model's name is none that could be opened. Opens nothing."""
    for kind, name in settings.models.model_dump().items():
        if name is not None and split_name(name)[0] not in _BACKENDS[kind]:
            raise _unknown(kind, name)


@contextmanager
def open_models(settings: Settings) -> Iterator[Models]:
    """Every model of a run, closed again at the end.

    Raises:
        ModelUnavailable: one cannot be had; the message says what to do.
        SettingsError: a name that no backend knows.
    """
    names, checks = settings.models, settings.qa.checks
    with ExitStack() as closing, ThreadPoolExecutor(1, "open-llm") as beside:
        chat = beside.submit(open_chat, settings, closing)
        if split_name(names.llm)[0] != "gguf":
            # A client loads nothing: a key that is missing is told before minutes of loading. A GGUF file's server
            # starts while the others import torch.
            chat.result()
        clip = open_embedder(names.clip, settings)
        has_own = "aesthetic" in checks and names.aesthetic_clip not in (None, names.clip)
        aesthetic_clip = open_embedder(str(names.aesthetic_clip), settings) if has_own else clip
        yield Models(
            text_to_image=open_text_to_image(settings, clip),
            clip=clip,
            aesthetic_clip=aesthetic_clip,
            aesthetic=open_aesthetic(names.aesthetic, aesthetic_clip) if "aesthetic" in checks else None,
            safety=open_safety(names.safety, settings) if "safety" in checks else None,
            captioner=open_captioner(names.captioner, settings) if names.captioner else None,
            chat=chat.result(),
        )


def split_name(name: str) -> tuple[str, str]:
    """`backend:model` in its two parts."""
    backend, colon, model = name.partition(":")
    if not colon:
        raise SettingsError(f"model `{name}`: write it as `backend:model`, e.g. `diffusers:{name}`")
    return backend, model


def open_chat(settings: Settings, closing: ExitStack) -> Chat:
    from magid_graph.models.chat import OpenAIChat

    backend, model = split_name(settings.models.llm)
    llm = settings.llm
    match backend:
        case "openai":
            name, _, url = model.partition("@")
            return OpenAIChat(
                name,
                base_url=url or None,
                api_key=_key_named(llm.api_key_env),
                timeout_s=llm.timeout_s,
                max_retries=llm.max_retries,
                constrain=llm.constrain,
            )
        case "gguf":
            from magid_graph.models.llama_server import LlamaServer
            from magid_graph.models.weights import fingerprint

            path = pocket.weights("llm") if model == "pocket" else Path(model)
            server = LlamaServer(
                path,
                context_tokens=llm.context_tokens,
                parallel=llm.parallel,
                threads=llm.threads or max(1, (os.cpu_count() or 1) // 2),
            )
            closing.callback(server.close)
            return OpenAIChat(
                path.name,
                base_url=server.base_url,
                api_key=server.api_key,
                timeout_s=llm.timeout_s,
                max_retries=llm.max_retries,
                constrain="llama.cpp" if llm.constrain == "auto" else llm.constrain,
                max_in_flight=llm.parallel,
                model_id=f"gguf:{path.stem}@{fingerprint(path)}",
            )
        case "fake":
            from magid_graph.models.fake import FakeChat

            return FakeChat(latency_s=_seconds(model))
    raise _unknown("llm", settings.models.llm)


def open_text_to_image(settings: Settings, clip: Embedder) -> TextToImage:
    backend, model = split_name(settings.models.text_to_image)
    drawing = settings.generator
    match backend:
        case "diffusers":
            from magid_graph.models.diffusion import DiffusersTextToImage

            return DiffusersTextToImage(
                _shipped(model, "text_to_image"),
                device=settings.run.device,
                dtype=drawing.dtype,
                vae=drawing.vae,
                refiner=drawing.refiner,
                refiner_split=drawing.refiner_split,
                num_inference_steps=drawing.num_inference_steps,
                guidance_scale=drawing.guidance_scale,
                height=drawing.height,
                width=drawing.width,
                negative_prompt=drawing.negative_prompt,
                compile=drawing.compile,
                upscale_to=drawing.upscale_to,
            )
        case "retrieval":
            from magid_graph.models.retrieval import RetrievalTextToImage

            return RetrievalTextToImage(model, clip)
        case "fake":
            from magid_graph.models.fake import FakeTextToImage

            return FakeTextToImage(seconds_per_picture=_seconds(model))
    raise _unknown("text_to_image", settings.models.text_to_image)


def open_embedder(name: str, settings: Settings) -> Embedder:
    backend, model = split_name(name)
    match backend:
        case "open_clip":
            from magid_graph.models.clip import OpenClipEmbedder

            return OpenClipEmbedder(_shipped(model, "clip"), device=settings.run.device)
        case "fake":
            from magid_graph.models.fake import FakeEmbedder

            return FakeEmbedder()
    raise _unknown("clip", name)


def open_aesthetic(name: str, clip: Embedder) -> AestheticHead:
    backend, model = split_name(name)
    match backend:
        case "head":
            from magid_graph.models.aesthetic import EmbeddingHead

            return EmbeddingHead(_shipped(model, "aesthetic"), embedding=clip.model_id)
        case "fake":
            from magid_graph.models.fake import FakeAestheticHead

            return FakeAestheticHead()
    raise _unknown("aesthetic", name)


def open_safety(name: str, settings: Settings) -> SafetyClassifier:
    backend, model = split_name(name)
    match backend:
        case "opennsfw":
            from magid_graph.models.safety import OpenNsfw

            return OpenNsfw()
        case "transformers":
            from magid_graph.models.safety import HFImageClassifier

            return HFImageClassifier(model, device=settings.run.device)
        case "fake":
            from magid_graph.models.fake import FakeSafety

            return FakeSafety()
    raise _unknown("safety", name)


def open_captioner(name: str, settings: Settings) -> Captioner | Onlooker:
    backend, model = split_name(name)
    looking = settings.captioner
    match backend:
        case "transformers":
            from magid_graph.models.caption import TransformersCaptioner

            return TransformersCaptioner(
                _shipped(model, "captioner"),
                device=settings.run.device,
                instruction=looking.instruction,
                max_new_tokens=looking.max_tokens,
                temperature=looking.temperature,
                top_p=looking.top_p,
                top_k=looking.top_k,
            )
        case "openai":
            return _open_onlooker(model, settings)
        case "fake":
            from magid_graph.models.fake import FakeCaptioner

            return FakeCaptioner()
    raise _unknown("captioner", name)


def _open_onlooker(model: str, settings: Settings) -> Onlooker:
    from magid_graph.models.chat import OpenAIChat
    from magid_graph.models.vision_chat import VisionChatCaptioner

    name, _, url = model.partition("@")
    looking = settings.captioner
    chat = OpenAIChat(
        name,
        base_url=url or None,
        api_key=_key_named(looking.api_key_env),
        timeout_s=settings.llm.timeout_s,
        max_retries=settings.llm.max_retries,
        max_in_flight=looking.batch_size,
    )
    return VisionChatCaptioner(
        chat,
        instruction=looking.instruction,
        temperature=looking.temperature,
        top_p=looking.top_p,
        top_k=looking.top_k,
        max_tokens=looking.max_tokens,
        max_side=looking.max_side,
    )


def _key_named(variable: str | None) -> str | None:
    """The key in that environment variable. Raises `ModelUnavailable` where a variable is named and not set."""
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise ModelUnavailable(f"`api_key_env={variable}`: set `{variable}` to the key, or take the setting away")
    return key


def _seconds(model: str) -> float:
    """`fake:0.2` takes that many seconds for each call."""
    try:
        return float(model or 0)
    except ValueError:
        raise SettingsError(f"model `fake:{model}`: a fake's name is the seconds it takes, e.g. `fake:0.2`") from None


def _shipped(model: str, kind: str) -> str:
    """`pocket` stands for the model of that kind that ships with the package."""
    return str(pocket.weights(kind)) if model == "pocket" else model


def _unknown(kind: str, name: str) -> SettingsError:
    known = ", ".join(f"`{backend}:`" for backend in _BACKENDS[kind])
    return SettingsError(f"`models.{kind}={name}`: there is no such backend; known: {known}")
