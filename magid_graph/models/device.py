"""Which device and number format a model runs in, and what happens when its memory is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from magid_graph.errors import ModelUnavailable, OutOfMemory, SettingsError

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "float16", "bfloat16")


def pick_device(wanted: str) -> torch.device:
    """`auto`: CUDA, else MPS, else the CPU. Anything else is taken as torch writes it, e.g. `cuda:1`."""
    import torch

    if wanted == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(name)
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise SettingsError(f"`{wanted}` is not a device: use `auto`, `cpu`, `cuda`, `cuda:1` or `mps`") from error
    missing = (device.type == "cuda" and not torch.cuda.is_available()) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise ModelUnavailable(
            f"this machine has no `{wanted}` device that torch can use: set the device to `auto` or `cpu`"
        )
    return device


def pick_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """`auto`: bfloat16 on a GPU that has it, else float16; float32 on a CPU, where 16 bits are slow without AMX."""
    import torch

    if wanted not in DTYPES:
        raise SettingsError(
            f"`{wanted}` is not a number format: use one of {', '.join(f'`{name}`' for name in DTYPES)}"
        )
    if wanted != "auto":
        dtype: torch.dtype = getattr(torch, wanted)
        return dtype
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.float16 if device.type == "mps" else torch.float32


@contextmanager
def memory_guard(what: str, device: torch.device) -> Iterator[None]:
    """Turn torch's out-of-memory errors, which have several types, into `OutOfMemory`, with the cache emptied.

    The caches are emptied after the `except` block is left: inside it, the traceback still holds the batch's tensors.
    """
    full: str | None = None
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        full = str(error).split("\n")[0][:200]
    if full is not None:
        empty_cache(device)
        raise OutOfMemory(f"{what} does not fit the memory of `{device}` ({full}): use a smaller batch or picture size")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory is full: torch says so by a type that is not imported here, on MPS and the CPU by text only."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def empty_cache(device: torch.device) -> None:
    """Give unused memory back to the device."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
