"""The llama architecture, as small as it can be written, with the tensor names and the rotary layout of GGUF.

Weights travel between GGUF and torch by name, without permutation: llama.cpp rotates neighbouring pairs, and so does
`rotate`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a llama model; the defaults are those of SmolLM2-135M."""

    layers: int
    vocabulary: int
    width: int = 576
    feed_forward: int = 1536
    heads: int = 9
    kv_heads: int = 3
    rope_base: float = 100_000.0
    epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.heads


def angles(shape: Shape, length: int) -> Tensor:
    """Cosines and sines of the rotary embedding, `[2, length, head_width / 2]`."""
    half = shape.head_width // 2
    rates = torch.exp(torch.arange(half) * (-math.log(shape.rope_base) / half))
    turns = torch.outer(torch.arange(length, dtype=torch.float32), rates)
    return torch.stack([turns.cos(), turns.sin()])


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Rotate neighbouring pairs of `x` `[batch, heads, length, head_width]` by their position."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = turns[0].to(x.dtype), turns[1].to(x.dtype)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


class Block(nn.Module):
    """One transformer layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width, kv = shape.width, shape.kv_heads * shape.head_width
        self.attn_norm = nn.RMSNorm(width, eps=shape.epsilon)
        self.attn_q = nn.Linear(width, width, bias=False)
        self.attn_k = nn.Linear(width, kv, bias=False)
        self.attn_v = nn.Linear(width, kv, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_norm = nn.RMSNorm(width, eps=shape.epsilon)
        self.ffn_gate = nn.Linear(width, shape.feed_forward, bias=False)
        self.ffn_up = nn.Linear(width, shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, width, bias=False)

    def attend(self, x: Tensor, turns: Tensor) -> Tensor:
        """Causal attention; sequences are padded on the right, so no other mask is needed."""
        batch, length, _ = x.shape
        size = self.shape.head_width
        q = self.attn_q(x).view(batch, length, -1, size).transpose(1, 2)
        k = self.attn_k(x).view(batch, length, -1, size).transpose(1, 2)
        v = self.attn_v(x).view(batch, length, -1, size).transpose(1, 2)
        q, k = rotate(q, turns), rotate(k, turns)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.attn_output(seen.transpose(1, 2).reshape(batch, length, -1))

    def feed(self, x: Tensor) -> Tensor:
        """The part that looks at each position alone."""
        y = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(y)) * self.ffn_up(y))

    def forward(self, x: Tensor, turns: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Of the flattened positions only those `wanted`, if that is given."""
        x = x + self.attend(self.attn_norm(x), turns)
        return self.feed(x if wanted is None else x.flatten(0, 1)[wanted])


class Llama(nn.Module):
    """A llama whose output layer is its embedding table."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.register_buffer("turns", angles(shape, 2048), persistent=False)

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Hidden states after the last layer, normalised, at the flattened positions `wanted`; and raw ones everywhere.

        The raw ones are those from two layers before the end.
        """
        x = between = self.token_embd(tokens)
        turns = self.turns[:, : tokens.shape[1]]
        for number, block in enumerate(self.blk, 1):
            x = block(x, turns, wanted if number == len(self.blk) else None)
            if number == len(self.blk) - 2:
                between = x
        return self.output_norm(x), between

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the next token for each hidden state given."""
        return F.linear(hidden, self.token_embd.weight)
