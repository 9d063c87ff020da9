"""Heads that read how attractive a picture is off its CLIP embedding, on the 1 to 10 scale. Pure numpy.

A head is a folder with two files:

`config.json`

    {
      "embedding": "pocket-clip@0123456789ab",   the `model_id` of the only embedder it can read
      "dim": 128,                                length of that embedder's vectors
      "kind": "linear",                          or "mlp"
      "scale": "1-10",                           the scale of its scores, always this one
      "activation": "relu"                       "mlp" only; "relu" or "gelu" (exact), between layers
    }

`model.safetensors` (float32 or float16)

    linear   weight (dim,) or (1, dim) · bias () or (1,)                    score = vector · weight + bias
    mlp      layers.0.weight (hidden, dim) · layers.0.bias (hidden,) · layers.1.weight … · the last one (1, hidden)
             torch's `nn.Linear` layout; layers are applied in the order of their numbers, gaps are allowed

Vectors are the embedder's own: L2-normalised. Scores are not clamped. The easiest way to write one is `save_head`.

The LAION head `sac+logos+ava1-l14-linearMSE` (five linear layers without activations between them, hence one vector
and a bias) is recognised in a single `.safetensors` file or in a model of the hub that carries it as `layers.N.…`. Its
original file is a pickle, which is never opened here while a run goes on; convert it once:

    python -m magid_graph.models.aesthetic sac+logos+ava1-l14-linearMSE.pth laion-head
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from magid_graph.errors import ModelUnavailable
from magid_graph.models.weights import fetch_file, fingerprint, folder_of, identity

if TYPE_CHECKING:
    import numpy as np

    from magid_graph.models import Vectors

    Array = np.ndarray[Any, np.dtype[np.float32]]
    Layer = tuple[Array, Array]
    """Weight (out, in) and bias (out,)."""

LAION_EMBEDDING = "ViT-L-14/openai"
LAION_WIDTHS = (768, 1024, 128, 64, 16, 1)

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"


class EmbeddingHead:
    """A linear or MLP head; refuses vectors of another embedder.

    Args:
        model: folder in the format above, a `.safetensors` file of the LAION head, or a hub id of one.
        embedding: `model_id` of the embedder whose vectors it will be given.

    Raises:
        ModelUnavailable: it cannot be read, or was trained for another embedding.
    """

    def __init__(self, model: str, *, embedding: str, revision: str | None = None) -> None:
        config, weights_path = _locate(model, revision)
        self.embedding = str(config["embedding"])
        self.model_id = _identity(model, revision)
        if embedding != self.embedding:
            raise ModelUnavailable(
                f"the aesthetic head `{model}` reads embeddings of `{self.embedding}` and not of `{embedding}`: "
                f"open that embedder for it, choose a head that was trained for the other one, or switch this check off"
            )
        self._activation: str = config.get("activation", "relu")
        self._layers = _layers(model, config, weights_path)

    def score(self, vectors: Vectors) -> list[float]:
        """Nominally 1 to 10, one per vector (n, dim)."""
        import numpy as np

        hidden = np.asarray(vectors, dtype=np.float32)
        for index, (weight, bias) in enumerate(self._layers):
            if index:
                hidden = _activate(hidden, self._activation)
            hidden = hidden @ weight.T + bias
        return [float(value) for value in hidden[:, 0]]


def save_head(
    folder: Path,
    layers: Iterable[Layer],
    *,
    embedding: str,
    activation: Literal["relu", "gelu"] = "relu",
) -> None:
    """Write a head in the format above; one layer makes it linear, several an MLP."""
    import numpy as np
    from safetensors.numpy import save_file

    stack = [(np.atleast_2d(weight), np.atleast_1d(bias)) for weight, bias in layers]
    linear = len(stack) == 1
    config: dict[str, object] = {
        "embedding": embedding,
        "dim": int(stack[0][0].shape[1]),
        "kind": "linear" if linear else "mlp",
        "scale": "1-10",
    }
    if linear:
        tensors = {"weight": stack[0][0][0], "bias": stack[0][1]}
    else:
        config["activation"] = activation
        tensors = {f"layers.{i}.weight": weight for i, (weight, _) in enumerate(stack)}
        tensors |= {f"layers.{i}.bias": bias for i, (_, bias) in enumerate(stack)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / WEIGHTS_NAME)
    (folder / CONFIG_NAME).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def convert_laion(pickle_path: Path, folder: Path) -> None:
    """Fold LAION's `sac+logos+ava1-l14-linearMSE.pth` into one vector and a bias, and save it in our format.

    torch's restricted unpickler reads the file: it makes tensors and nothing else.
    """
    import torch

    tensors: Mapping[str, Any] = torch.load(pickle_path, map_location="cpu", weights_only=True)
    arrays = {name: tensor.float().numpy() for name, tensor in tensors.items()}
    layers = _numbered(arrays)
    if not _is_laion(layers):
        raise ModelUnavailable(f"`{pickle_path}` is not LAION's `sac+logos+ava1-l14-linearMSE` head")
    save_head(folder, [folded(layers)], embedding=LAION_EMBEDDING)


def folded(layers: Iterable[Layer]) -> Layer:
    """The single affine map that equals affine maps applied one after another."""
    import numpy as np

    chain = iter(layers)
    first_weight, first_bias = next(chain)
    # In double precision: five layers of rounding in float32 would show in the third decimal of a score.
    weight, bias = first_weight.astype(np.float64), first_bias.astype(np.float64)
    for next_weight, next_bias in chain:
        weight, bias = next_weight.astype(np.float64) @ weight, next_weight.astype(np.float64) @ bias + next_bias
    return weight.astype(np.float32), bias.astype(np.float32)


def _locate(model: str, revision: str | None) -> tuple[dict[str, Any], Path]:
    """The head's config and weights file: ours in a folder or on the hub, or LAION's as it is found there."""
    path = Path(model).expanduser()
    if path.is_file():
        return _laion_config(), path
    folder = folder_of(model)
    if folder:
        config_path, weights_path = folder / CONFIG_NAME, folder / WEIGHTS_NAME
    else:
        config_path = fetch_file(model, CONFIG_NAME, revision=revision)
        weights_path = fetch_file(model, WEIGHTS_NAME, revision=revision)
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"the aesthetic head `{model}` has no readable `{CONFIG_NAME}`: {error}") from error
    return (config if "embedding" in config else _laion_config()), weights_path


def _laion_config() -> dict[str, Any]:
    return {"embedding": LAION_EMBEDDING, "dim": LAION_WIDTHS[0], "kind": "laion", "scale": "1-10"}


def _identity(model: str, revision: str | None) -> str:
    path = Path(model).expanduser()
    return f"{path.stem}@{fingerprint(path)}" if path.is_file() else identity(model, revision)


def _layers(model: str, config: Mapping[str, Any], weights_path: Path) -> list[Layer]:
    try:
        arrays = _read_arrays(weights_path)
        layers = _single(arrays) if config["kind"] == "linear" else _numbered(arrays)
    except Exception as error:
        raise ModelUnavailable(f"the aesthetic head `{model}` cannot be read: {error}") from error
    if config["kind"] == "laion":
        if not _is_laion(layers):
            raise ModelUnavailable(
                f"`{model}` is neither a head in this project's format nor LAION's: name a folder with a "
                f"`{CONFIG_NAME}` that says which embedding it reads"
            )
        return [folded(layers)]
    _check(model, config, layers)
    return layers


def _read_arrays(weights_path: Path) -> dict[str, Array]:
    """The head's tensors only: on the hub the LAION head shares its file with a 1.2 GB vision tower."""
    import numpy as np
    from safetensors import safe_open

    with safe_open(weights_path, framework="np") as tensors:
        names = [name for name in tensors.keys() if re.fullmatch(r"weight|bias|layers\.\d+\.(weight|bias)", name)]  # noqa: SIM118
        return {name: np.asarray(tensors.get_tensor(name), dtype=np.float32) for name in names}


def _single(arrays: Mapping[str, Array]) -> list[Layer]:
    return [(arrays["weight"].reshape(1, -1), arrays["bias"].reshape(1))]


def _numbered(arrays: Mapping[str, Array]) -> list[Layer]:
    numbers = sorted({int(name.split(".")[1]) for name in arrays if name.startswith("layers.")})
    return [(arrays[f"layers.{n}.weight"], arrays[f"layers.{n}.bias"].reshape(-1)) for n in numbers]


def _is_laion(layers: list[Layer]) -> bool:
    widths = (*(weight.shape[1] for weight, _ in layers), 1)
    return widths == LAION_WIDTHS


def _check(model: str, config: Mapping[str, Any], layers: list[Layer]) -> None:
    """The widths fit each other and the config, the last one is 1, and the scale is ours."""
    widths = [int(config["dim"])] + [weight.shape[0] for weight, _ in layers]
    inputs = [weight.shape[1] for weight, _ in layers]
    if not layers or inputs != widths[:-1] or widths[-1] != 1 or config.get("scale") != "1-10":
        raise ModelUnavailable(f"the aesthetic head `{model}` does not fit its own `{CONFIG_NAME}`")
    if config.get("activation", "relu") not in ("relu", "gelu"):
        raise ModelUnavailable(f"the aesthetic head `{model}` names an unknown activation `{config['activation']}`")


def _activate(values: Array, activation: str) -> Array:
    import numpy as np

    if activation == "relu":
        return np.maximum(values, 0)
    erf = np.vectorize(math.erf, otypes=[np.float32])
    return np.asarray(values * 0.5 * (1 + erf(values / math.sqrt(2))), dtype=np.float32)


if __name__ == "__main__":
    convert_laion(Path(sys.argv[1]), Path(sys.argv[2]))
