"""The pocket language model: SmolLM2-135M-Instruct with fewer layers and words, taught this project's briefs.

    python -m training.pocket.language_model prune  --base SmolLM2-135M-Instruct.Q4_1.gguf --dir checkpoints/llm
    python -m training.pocket.language_model train  --dir checkpoints/llm --minutes 100
    python -m training.pocket.language_model export --dir checkpoints/llm --out magid_graph/pocket/weights/llm/llm.gguf

`train` continues from the last checkpoint. Everything fits on one CPU core; with bfloat16 matrix units it sees about 2,500 tokens a second.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional as F

from training.pocket.llama import Llama, Shape
from training.pocket.phrases import Split
from training.pocket.tasks import Sample, samples

SPECIAL = 17
"""The first tokens of SmolLM2's vocabulary are its control tokens."""
FIRST_MERGED = 252
"""Its token FIRST_MERGED + i is made by its merge i."""
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A byte-pair vocabulary in merge order."""

    tokens: list[str]
    merges: list[str]

    def tokenizer(self) -> Tokenizer:
        pairs = [tuple(merge.split(" ")) for merge in self.merges]
        made = Tokenizer(models.BPE({token: i for i, token in enumerate(self.tokens)}, pairs))
        made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
        made.decoder = decoders.ByteLevel()
        made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in self.tokens[:SPECIAL]])
        return made


def chat(sample: Sample) -> tuple[str, str]:
    """The text before the reply, and the reply with its end."""
    return f"<|im_start|>user\n{sample.brief}<|im_end|>\n<|im_start|>assistant\n", f"{sample.reply}<|im_end|>"


# --- prune ---------------------------------------------------------------------------------------------------------------------------


def kept_ids(base: Vocabulary, first: int, texts: Iterator[str]) -> list[int]:
    """The first tokens, those the texts use, and every token these are merged from."""
    tokenizer, number = base.tokenizer(), {token: i for i, token in enumerate(base.tokens)}
    used = {i for text in texts for i in tokenizer.encode(text, add_special_tokens=False).ids}
    kept, open_ids = set(range(first)), list(used)
    while open_ids:
        token = open_ids.pop()
        if token in kept:
            continue
        kept.add(token)
        open_ids += [number[part] for part in base.merges[token - FIRST_MERGED].split(" ")]
    return sorted(kept)


def prune(base_path: Path, checkpoint_dir: Path, layers: list[int], first: int) -> None:
    """Write the smaller model and its vocabulary into the checkpoint directory."""
    reader = gguf.GGUFReader(base_path)
    base = Vocabulary(reader.fields["tokenizer.ggml.tokens"].contents(), reader.fields["tokenizer.ggml.merges"].contents())
    texts = ("\n".join(chat(sample)) for sample in islice(samples(0, "train"), 30_000))
    kept = kept_ids(base, first, texts)
    small = Vocabulary([base.tokens[i] for i in kept], [base.merges[i - FIRST_MERGED] for i in kept if i >= FIRST_MERGED])
    weights = {t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy()) for t in reader.tensors}
    weights["token_embd.weight"] = weights["token_embd.weight"][kept]
    model = Llama(Shape(layers=len(layers), vocabulary=len(kept)))
    model.load_state_dict({name: weights[original_name(name, layers)] for name in model.state_dict()})
    checkpoint_dir.mkdir(parents=True, exist_ok=True)
    (checkpoint_dir / "vocabulary.json").write_text(json.dumps(asdict(small)), encoding="utf-8")
    torch.save({"shape": asdict(model.shape), "model": model.state_dict(), "step": 0, "seconds": 0.0}, checkpoint_dir / "state.pt")
    print(f"layers {layers}, {len(kept)} tokens, {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M weights")


def original_name(name: str, layers: list[int]) -> str:
    if not name.startswith("blk."):
        return name
    _, number, rest = name.split(".", 2)
    return f"blk.{layers[int(number)]}.{rest}"


# --- train ---------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sample as numbers."""

    ids: list[int]
    reply_start: int
    marks: list[tuple[int, bool]]
    """Positions of the tokens after each utterance, and whether it shows something."""


def encode(sample: Sample, tokenizer: Tokenizer) -> Encoded:
    before, reply = chat(sample)
    prompt = tokenizer.encode(before, add_special_tokens=False)
    offset = before.index(sample.brief)
    marks = [(prompt.char_to_token(offset + end), shown) for end, shown in sample.marks]
    ids = prompt.ids + tokenizer.encode(reply, add_special_tokens=False).ids
    return Encoded(ids, len(prompt.ids), [(at, shown) for at, shown in marks if at is not None])


def batches(seed: int, split: Split, tokenizer: Tokenizer, tokens: int) -> Iterator[list[Encoded]]:
    """Batches of about `tokens` tokens, of samples of like length, without end."""
    stream, rng = samples(seed, split), random.Random(seed)
    while True:
        pool = sorted((encode(sample, tokenizer) for sample in islice(stream, 384)), key=lambda e: len(e.ids))
        groups: list[list[Encoded]] = [[]]
        for one in pool:
            if groups[-1] and (len(groups[-1]) + 1) * padded(len(one.ids)) > tokens:
                groups.append([])
            groups[-1].append(one)
        rng.shuffle(groups)
        yield from groups


def padded(length: int) -> int:
    return min(-(-length // 32) * 32, 2048)


def losses(model: nn.Module, llama: Llama, marker: nn.Linear, batch: list[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
    """Cross entropy of the replies, cross entropy of the marks, and the share of marks that are right."""
    width = padded(max(len(e.ids) for e in batch))
    tokens = torch.zeros(len(batch), width, dtype=torch.long)
    for row, e in enumerate(batch):
        tokens[row, : len(e.ids)] = torch.tensor(e.ids[:width])
    said = torch.tensor([row * width + at - 1 for row, e in enumerate(batch) for at in range(e.reply_start, min(len(e.ids), width))])
    ends = torch.tensor([row * width + at for row, e in enumerate(batch) for at, _ in e.marks], dtype=torch.long)
    shown = torch.tensor([float(shown) for e in batch for _, shown in e.marks])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        last, between = model(tokens)
        scores = llama.logits(last.flatten(0, 1)[said])
        votes = marker(between.flatten(0, 1)[ends]).squeeze(-1)
    reply = F.cross_entropy(scores.float(), tokens.flatten()[said + 1])
    if not len(ends):
        return reply, reply * 0, reply * 0 + 1
    return reply, F.binary_cross_entropy_with_logits(votes.float(), shown), ((votes > 0) == (shown > 0)).float().mean()


def learning_rate(progress: float, step: int, peak: float) -> float:
    """Warm-up, a plateau, and a straight line down over the last third."""
    return peak * min(1.0, (step + 1) / 60) * min(1.0, max(0.02, (1 - progress) / 0.35))


def train(checkpoint_dir: Path, minutes: float, peak: float, tokens: int, seed: int) -> None:
    """Go on from the last checkpoint until the model has trained for `minutes` in all."""
    state = torch.load(checkpoint_dir / "state.pt", weights_only=True)
    llama, marker = Llama(Shape(**state["shape"])), nn.Linear(state["shape"]["width"], 1)
    llama.load_state_dict(state["model"])
    average = {name: value.clone() for name, value in state.get("average", llama.state_dict()).items()}
    optimizer = torch.optim.AdamW([*llama.parameters(), *marker.parameters()], lr=peak, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    if "optimizer" in state:
        marker.load_state_dict(state["marker"])
        optimizer.load_state_dict(state["optimizer"])
    tokenizer = Vocabulary(**json.loads((checkpoint_dir / "vocabulary.json").read_text(encoding="utf-8"))).tokenizer()
    held_out = list(islice(batches(1, "held_out", tokenizer, tokens), 12))
    model = torch.compile(llama, dynamic=True)
    step, spent, saved = state["step"], state["seconds"], time.monotonic()
    recent: list[tuple[float, float, float]] = []
    seen = 0
    # A restart continues with samples that were not seen yet: the seed counts the steps.
    for batch in batches(seed + 1000 * step, "train", tokenizer, tokens):
        began = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(spent / (60 * minutes), step, peak)
        reply, mark, right = losses(model, llama, marker, batch)
        (reply + 0.3 * mark).backward()
        nn.utils.clip_grad_norm_(llama.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        keep = min(0.995, (step + 1) / (step + 20))
        for name, value in llama.state_dict().items():
            average[name].lerp_(value, 1 - keep)
        step, spent = step + 1, spent + time.monotonic() - began
        seen += sum(len(e.ids) for e in batch)
        recent = [*recent[-49:], (reply.item(), mark.item(), right.item())]
        if step % 25 == 0:
            means = " ".join(f"{value:.3f}" for value in np.mean(recent, 0))
            print(f"step {step} minute {spent / 60:.1f} tokens {seen} rate {seen / max(1, spent - state['seconds']):.0f} reply/mark/right {means}", flush=True)
        is_over = spent > 60 * minutes
        if is_over or time.monotonic() - saved > 240:
            saved = time.monotonic()
            save(checkpoint_dir, {"shape": state["shape"], "model": llama.state_dict(), "average": average, "marker": marker.state_dict(),
                                  "optimizer": optimizer.state_dict(), "step": step, "seconds": spent})  # fmt: skip
            print(f"step {step} held out reply/mark/right {measure(model, llama, marker, average, held_out)}", flush=True)
        if is_over:
            return


def measure(model: nn.Module, llama: Llama, marker: nn.Linear, average: dict[str, Tensor], held_out: list[list[Encoded]]) -> str:
    """The losses of the averaged weights on held-out samples."""
    current = {name: value.clone() for name, value in llama.state_dict().items()}
    llama.load_state_dict(average)
    with torch.no_grad():
        found = [[value.item() for value in losses(model, llama, marker, batch)] for batch in held_out]
    llama.load_state_dict(current)
    return " ".join(f"{value:.3f}" for value in np.mean(found, 0))


def save(checkpoint_dir: Path, state: dict[str, object]) -> None:
    """In one step, so that a kill leaves the last checkpoint whole."""
    torch.save(state, checkpoint_dir / "state.tmp")
    (checkpoint_dir / "state.tmp").rename(checkpoint_dir / "state.pt")


# --- export --------------------------------------------------------------------------------------------------------------------------


def quantisation(name: str) -> gguf.GGMLQuantizationType:
    """More bits where they are few or matter most."""
    if name == "token_embd.weight" or ".attn_" in name:
        return gguf.GGMLQuantizationType.Q5_0
    return gguf.GGMLQuantizationType.Q4_0


def export(checkpoint_dir: Path, out: Path, is_whole: bool) -> None:
    """Write the averaged weights as GGUF, quantised unless `is_whole` asks for 16-bit floats."""
    state = torch.load(checkpoint_dir / "state.pt", weights_only=True)
    shape, weights = Shape(**state["shape"]), state.get("average", state["model"])
    vocabulary = Vocabulary(**json.loads((checkpoint_dir / "vocabulary.json").read_text(encoding="utf-8")))
    writer = gguf.GGUFWriter(out, "llama")
    write_metadata(writer, shape, vocabulary)
    for name, value in weights.items():
        data = value.float().numpy()
        kind = gguf.GGMLQuantizationType.F16 if is_whole else quantisation(name)
        if data.ndim == 1:
            writer.add_tensor(name, data)
        else:
            writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, step {state['step']}")


def write_metadata(writer: gguf.GGUFWriter, shape: Shape, vocabulary: Vocabulary) -> None:
    writer.add_name("magid-graph pocket language model")
    writer.add_license("apache-2.0")
    writer.add_description("SmolLM2-135M-Instruct with fewer layers and words, fine-tuned on magid-graph's own briefs")
    writer.add_context_length(2048)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types([3 if i < SPECIAL else 1 for i in range(shape.vocabulary)])
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHATML)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("prune", "train", "export"):
        commands.add_parser(name).add_argument("--dir", type=Path, required=True, help="checkpoint directory")
    commands.choices["prune"].add_argument("--base", type=Path, required=True)
    commands.choices["prune"].add_argument("--layers", type=int, nargs="+", default=[0, 1, 2, 7, 13, 20, 29])
    commands.choices["prune"].add_argument("--first", type=int, default=7000, help="how many tokens to keep whatever the texts use")
    commands.choices["train"].add_argument("--minutes", type=float, default=100)
    commands.choices["train"].add_argument("--peak", type=float, default=6e-4, help="highest learning rate")
    commands.choices["train"].add_argument("--tokens", type=int, default=4096, help="per batch")
    commands.choices["train"].add_argument("--seed", type=int, default=0)
    commands.choices["export"].add_argument("--out", type=Path, required=True)
    commands.choices["export"].add_argument("--whole", action="store_true", help="16-bit floats instead of 4 and 5 bits")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if given.command == "prune":
        prune(given.base, given.dir, given.layers, given.first)
    elif given.command == "train":
        train(given.dir, given.minutes, given.peak, given.tokens, given.seed)
    else:
        export(given.dir, given.out, given.whole)


if __name__ == "__main__":
    main()
