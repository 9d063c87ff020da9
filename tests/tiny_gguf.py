"""A language model of 200 KB with random weights, in the format that llama.cpp loads."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

CHAT_TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}[assistant]"

_WIDTH, _HEADS, _LAYERS, _INNER = 64, 4, 2, 128


def write_tiny_gguf(path: Path, *, context_tokens: int = 4096) -> Path:
    """A two-layer llama over bytes; talks nonsense, but obeys a grammar."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    _add_tokens(writer)
    for name, shape in _shapes().items():
        writer.add_tensor(name, _weights(name, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tokens() -> list[tuple[str, int]]:
    special = [("<unk>", gguf.TokenType.UNKNOWN), ("<s>", gguf.TokenType.CONTROL), ("</s>", gguf.TokenType.CONTROL)]
    raw = [(f"<0x{byte:02X}>", gguf.TokenType.BYTE) for byte in range(256)]
    ascii_ = [("▁" if code == 32 else chr(code), gguf.TokenType.NORMAL) for code in range(32, 127)]
    return [(text, int(kind)) for text, kind in [*special, *raw, *ascii_]]


def _add_tokens(writer: gguf.GGUFWriter) -> None:
    texts, kinds = zip(*_tokens(), strict=True)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(list(texts))
    writer.add_token_types(list(kinds))
    writer.add_token_scores([0.0] * len(texts))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (len(_tokens()), _WIDTH), "output_norm": (_WIDTH,)}
    for layer in range(_LAYERS):
        block = {f"attn_{part}": (_WIDTH, _WIDTH) for part in ("q", "k", "v", "output")}
        ends = {"attn_norm": (_WIDTH,), "ffn_norm": (_WIDTH,), "ffn_down": (_WIDTH, _INNER)}
        wide = {f"ffn_{part}": (_INNER, _WIDTH) for part in ("gate", "up")}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in {**block, **ends, **wide}.items()}
    return {f"{name}.weight": shape for name, shape in shapes.items()}


def _weights(name: str, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    return np.random.default_rng(len(name)).normal(0, 0.2, shape).astype(np.float32)
