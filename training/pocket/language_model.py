"""The pocket language model: SmolLM2-135M-Instruct with fewer layers and words, taught this project's briefs.

    python -m training.pocket.language_model prune  --base SmolLM2-135M-Instruct.Q4_1.gguf --dir checkpoints/llm
    python -m training.pocket.language_model train  --dir checkpoints/llm --minutes 100
    python -m training.pocket.language_model export --dir checkpoints/llm --out llm.gguf

`train` goes on from the last checkpoint, on an accelerator or not; one CPU core with bfloat16 units is enough.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional as F

from training.pocket import grids
from training.pocket.llama import Llama, Shape
from training.pocket.phrases import Split
from training.pocket.tasks import Sample, samples

SPECIAL = 17
"""The first tokens of SmolLM2's vocabulary are its control tokens."""
FIRST_MERGED = 252
"""Its token FIRST_MERGED + i is made by its merge i."""
AVERAGE_EVERY = 4
"""Steps. Averaging reads all weights, which costs as much as a tenth of a step."""
SAVE_EVERY_S = 300
GRID_FROM = 0.55
"""The share of training after which the weights are held on the grids on which they ship."""
MARK_SHARE = 0.1
"""How much the marks count beside the reply."""
CLUE_SHARE = 0.3
"""How much the clues do."""
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
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
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        made.decoder = decoders.ByteLevel()
        made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in self.tokens[:SPECIAL]])
        return made


def chat(sample: Sample) -> tuple[str, str]:
    """The text before the reply, and the reply with its end."""
    return f"<|im_start|>user\n{sample.brief}<|im_end|>\n<|im_start|>assistant\n", f"{sample.reply}<|im_end|>"


# --- prune ---


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
    base = Vocabulary(
        reader.fields["tokenizer.ggml.tokens"].contents(), reader.fields["tokenizer.ggml.merges"].contents()
    )
    texts = ("\n".join(chat(sample)) for sample in islice(samples(0, "train"), 30_000))
    kept = kept_ids(base, first, texts)
    small = Vocabulary(
        [base.tokens[i] for i in kept], [base.merges[i - FIRST_MERGED] for i in kept if i >= FIRST_MERGED]
    )
    weights = {t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy()) for t in reader.tensors}
    weights["token_embd.weight"] = weights["token_embd.weight"][kept]
    model = Llama(Shape(layers=len(layers), vocabulary=len(kept)))
    model.load_state_dict({name: weights[original_name(name, layers)] for name in model.state_dict()})
    checkpoint_dir.mkdir(parents=True, exist_ok=True)
    (checkpoint_dir / "vocabulary.json").write_text(json.dumps(asdict(small)), encoding="utf-8")
    torch.save(
        {"shape": asdict(model.shape), "model": model.state_dict(), "step": 0, "seconds": 0.0},
        checkpoint_dir / "state.pt",
    )
    print(f"layers {layers}, {len(kept)} tokens, {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M weights")


def original_name(name: str, layers: list[int]) -> str:
    if not name.startswith("blk."):
        return name
    _, number, rest = name.split(".", 2)
    return f"blk.{layers[int(number)]}.{rest}"


# --- train ---


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sample as numbers."""

    ids: list[int]
    reply_start: int
    marks: list[tuple[int, bool]]
    """Positions of the tokens after each utterance, and whether it shows something."""
    clues: list[tuple[int, bool]]
    """Positions of the last tokens of the utterances' words, and whether the caption has the word."""


def encode(sample: Sample, tokenizer: Tokenizer) -> Encoded:
    before, reply = chat(sample)
    prompt = tokenizer.encode(before, add_special_tokens=False)
    offset = before.index(sample.brief)
    marks = [(prompt.char_to_token(offset + end), shown) for end, shown in sample.marks]
    clues = [(prompt.char_to_token(offset + start), used) for start, used in sample.clues]
    ids = prompt.ids + tokenizer.encode(reply, add_special_tokens=False).ids
    return Encoded(ids, len(prompt.ids), known(marks), known(clues))


def known(spots: Sequence[tuple[int | None, bool]]) -> list[tuple[int, bool]]:
    """Those that have a token."""
    return [(at, says) for at, says in spots if at is not None]


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


@cache
def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies faster with 16 bits: without units for it, it is ten times slower."""

    def seconds(kind: torch.dtype) -> float:
        a = torch.ones(512, 512, dtype=kind)
        began = time.process_time()
        for _ in range(8):
            a @ a
        return time.process_time() - began

    return min(seconds(torch.bfloat16) for _ in range(3)) < min(seconds(torch.float32) for _ in range(3))


def losses(model: nn.Module, llama: Llama, marker: nn.Linear, batch: list[Encoded]) -> tuple[Tensor, ...]:
    """Cross entropy of the replies, of the marks and of the clues, and the shares of right marks and of found clues.

    The marks say of each utterance, where it ends, whether it shows something, and the clues of each word whether the
    caption has it: many more lessons per dialogue than the reply alone, in the layers that the reply's words look
    back to.
    """
    width = padded(max(len(e.ids) for e in batch))
    tokens = torch.tensor([e.ids[:width] + [0] * (width - len(e.ids)) for e in batch])
    said = [row * width + at - 1 for row, e in enumerate(batch) for at in range(e.reply_start, min(len(e.ids), width))]
    wanted = torch.tensor(said)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=has_fast_bfloat16()):
        last, between = model(tokens, wanted)
        scores = llama.logits(last)
        votes = marker(between.flatten(0, 1))
    reply = F.cross_entropy(scores.float(), tokens.flatten()[wanted + 1])
    mark, mark_votes, shown = judged(votes[:, 0], [e.marks for e in batch], width)
    clue, clue_votes, used = judged(votes[:, 1], [e.clues for e in batch], width)
    right = ((mark_votes > 0) == shown).float().mean() if len(shown) else torch.ones(())
    found = (clue_votes[used] > 0).float().mean() if used.any() else torch.ones(())
    return reply, mark, clue, right, found


def judged(votes: Tensor, spots: Sequence[Sequence[tuple[int, bool]]], width: int) -> tuple[Tensor, Tensor, Tensor]:
    """The cross entropy of the votes at each sample's spots, those votes, and the right answers."""
    where = [row * width + at for row, found in enumerate(spots) for at, _ in found if at < width]
    answers = torch.tensor([says for found in spots for at, says in found if at < width], dtype=torch.bool)
    chosen = votes[torch.tensor(where, dtype=torch.long)].float()
    if not where:
        return torch.zeros(()), chosen, answers
    return F.binary_cross_entropy_with_logits(chosen, answers.float()), chosen, answers


def learning_rate(progress: float, step: int, peak: float) -> float:
    """Warm-up, a plateau, and a straight line down over the last third."""
    return peak * min(1.0, (step + 1) / 40) * min(1.0, max(0.02, (1 - progress) / 0.35))


@dataclass(slots=True)
class Training:
    """A model in training, with all that a checkpoint keeps."""

    checkpoint_dir: Path
    llama: Llama
    marker: nn.Linear
    optimizer: torch.optim.Optimizer
    grids: dict[str, Tensor]
    """The steps on which the matrices will ship; none yet in the first part of training."""
    average: dict[str, Tensor]
    """A running mean of the weights: what is measured and exported."""
    step: int
    seconds: float

    @classmethod
    def resumed(cls, checkpoint_dir: Path) -> Training:
        """As the last checkpoint left it."""
        state = torch.load(checkpoint_dir / "state.pt", weights_only=True)
        llama, marker = Llama(Shape(**state["shape"])), nn.Linear(state["shape"]["width"], 2)
        llama.load_state_dict(state["model"])
        weights = [*llama.parameters(), *marker.parameters()]
        optimizer = torch.optim.AdamW(weights, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
        if "optimizer" in state:
            marker.load_state_dict(state["marker"])
            optimizer.load_state_dict(state["optimizer"])
        average = {name: value.clone() for name, value in state.get("average", llama.state_dict()).items()}
        grids_found = state.get("grids", {})
        return cls(checkpoint_dir, llama, marker, optimizer, grids_found, average, state["step"], state["seconds"])

    def save(self) -> None:
        """In one step, so that a kill leaves the last checkpoint whole."""
        state = {
            "shape": asdict(self.llama.shape),
            "model": self.llama.state_dict(),
            "marker": self.marker.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "grids": self.grids,
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, self.checkpoint_dir / "state.tmp")
        (self.checkpoint_dir / "state.tmp").replace(self.checkpoint_dir / "state.pt")

    def learn(self, model: nn.Module, batch: list[Encoded], rate: float) -> list[float]:
        """One step; returns the losses before it."""
        began = time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with grids.on_grid(self.llama, self.grids):
            found = losses(model, self.llama, self.marker, batch)
            (found[0] + MARK_SHARE * found[1] + CLUE_SHARE * found[2]).backward()
        nn.utils.clip_grad_norm_(self.llama.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        if self.step % AVERAGE_EVERY == 0:
            keep = min(0.98, self.step / (self.step + 20))
            for name, value in self.llama.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)
        self.seconds += time.monotonic() - began
        return [value.item() for value in found]

    def measured(self, model: nn.Module, batches: list[list[Encoded]]) -> list[float]:
        """The losses of the averaged weights."""
        current = {name: value.clone() for name, value in self.llama.state_dict().items()}
        self.llama.load_state_dict(self.average)
        with torch.no_grad(), grids.on_grid(self.llama, self.grids):
            found = [[value.item() for value in losses(model, self.llama, self.marker, batch)] for batch in batches]
        self.llama.load_state_dict(current)
        return np.mean(found, 0).tolist()


def told(values: list[float]) -> str:
    return "reply/mark/clue/right/found " + " ".join(f"{value:.3f}" for value in values)


def train(checkpoint_dir: Path, minutes: float, peak: float, tokens: int) -> None:
    """Go on from the last checkpoint until the model has trained for `minutes` in all, the last part on its grids."""
    training, tokenizer = Training.resumed(checkpoint_dir), load_vocabulary(checkpoint_dir).tokenizer()
    held_out = list(islice(batches(1, "held_out", tokenizer, tokens), 5))
    # Compiling takes a minute of processor time, which the steps of an hour on a shared core do not bring back.
    model = training.llama
    saved, recent = time.monotonic(), []
    # A restart goes on with samples that were not seen yet: the seed counts the steps.
    for batch in batches(1000 * training.step, "train", tokenizer, tokens):
        progress = training.seconds / (60 * minutes)
        if progress > GRID_FROM and not training.grids:
            training.grids = grids.grids(training.average)
        rate = learning_rate(progress, training.step, peak)
        recent = [*recent[-49:], training.learn(model, batch, rate)]
        if training.step % 10 == 0:
            losses_now = np.mean(recent, 0).tolist()
            print(f"step {training.step} minute {training.seconds / 60:.1f} {told(losses_now)}", flush=True)
        is_over = training.seconds > 60 * minutes
        if is_over or time.monotonic() - saved > SAVE_EVERY_S:
            saved = time.monotonic()
            training.save()
            print(f"step {training.step} held out {told(training.measured(model, held_out))}", flush=True)
        if is_over:
            return


def load_vocabulary(checkpoint_dir: Path) -> Vocabulary:
    return Vocabulary(**json.loads((checkpoint_dir / "vocabulary.json").read_text(encoding="utf-8")))


# --- export ---


def export(checkpoint_dir: Path, out: Path, is_whole: bool) -> None:
    """Write the averaged weights as GGUF, on their grids unless `is_whole` asks for 16-bit floats."""
    state = torch.load(checkpoint_dir / "state.pt", weights_only=True)
    shape, weights = Shape(**state["shape"]), state.get("average", state["model"])
    found = state.get("grids") or grids.grids(weights)
    vocabulary = load_vocabulary(checkpoint_dir)
    writer = gguf.GGUFWriter(out, "llama")
    write_metadata(writer, shape, vocabulary)
    for name, value in weights.items():
        if value.ndim == 1:
            writer.add_tensor(name, value.numpy())
        elif is_whole:
            writer.add_tensor(name, value.half().numpy())
        else:
            bits = grids.bits_of(name)
            writer.add_tensor(name, grids.packed(value, found[name], bits), raw_dtype=grids.KINDS[bits])
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
    commands.choices["prune"].add_argument("--layers", type=int, nargs="+", default=[0, 1, 2, 16, 17, 18, 29])
    commands.choices["prune"].add_argument(
        "--first", type=int, default=7000, help="how many tokens to keep whatever the texts use"
    )
    commands.choices["train"].add_argument("--minutes", type=float, default=100)
    commands.choices["train"].add_argument("--peak", type=float, default=1e-3, help="highest learning rate")
    commands.choices["train"].add_argument("--tokens", type=int, default=3072, help="per batch")
    commands.choices["train"].add_argument("--threads", type=int, default=1)
    commands.choices["export"].add_argument("--out", type=Path, required=True)
    commands.choices["export"].add_argument(
        "--whole", action="store_true", help="16-bit floats instead of 4 and 5 bits"
    )
    given = parser.parse_args()
    torch.set_num_threads(getattr(given, "threads", 1))
    torch.manual_seed(0)
    if given.command == "prune":
        prune(given.base, given.dir, given.layers, given.first)
    elif given.command == "train":
        train(given.dir, given.minutes, given.peak, given.tokens)
    else:
        export(given.dir, given.out, given.whole)


if __name__ == "__main__":
    main()
