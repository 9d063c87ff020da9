"""A GGUF language model, served in this process by llama.cpp."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from magid_graph.errors import ModelUnavailable


class LlamaServer:
    """llama.cpp's OpenAI-compatible server on a free loopback port, behind a random key; closes with `close`."""

    base_url: str
    api_key: str

    def __init__(self, gguf: Path, *, context_tokens: int, parallel: int, threads: int) -> None:
        """Load the model, which blocks. `context_tokens` is what each of the `parallel` slots gets.

        Raises `ModelUnavailable` for a file that is missing, damaged, or not known to this llama.cpp.
        """
        _check_is_gguf(gguf)
        import xllamacpp

        self.api_key = secrets.token_urlsafe(24)
        self._server: Any = None
        try:
            self._server = xllamacpp.Server(
                _settings(gguf, self.api_key, context_tokens=context_tokens, parallel=parallel, threads=threads)
            )
        except RuntimeError as error:
            raise ModelUnavailable(
                f"llama.cpp cannot load `{gguf}`: the file is damaged, or needs a newer `xllamacpp`, or more memory"
            ) from error
        # Answered by the server's main loop. Stopping a server whose loop has not begun yet would wait for ever.
        self._server.handle_metrics()
        self.base_url = f"{self._server.listening_address}/v1"

    def close(self) -> None:
        """Stop serving and free the memory; a call in flight is cut off."""
        server, self._server = self._server, None
        if server is not None:
            # The destructor is the only way to stop it. It waits for calls in flight while it holds the interpreter's
            # lock: a client that is still connected could never end its call, and no Ctrl-C would help.
            _hang_up(urlsplit(server.listening_address).port or 0)
            del server


def _hang_up(port: int) -> None:
    """Shut this process's own ends of all connections to a port of its own."""
    for descriptor in range(3, 4096):
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            end = socket.socket(fileno=descriptor)
        except OSError:
            continue
        with contextlib.suppress(OSError):  # it only listens, or has no port at all
            if end.family == socket.AF_INET and end.getsockname()[1] == port and end.getpeername():
                end.shutdown(socket.SHUT_RDWR)
        end.detach()


def _check_is_gguf(path: Path) -> None:
    # llama.cpp says the same of every file that it cannot open, so what a person can mend is told apart here.
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelUnavailable(f"The model file `{path}` cannot be read: {error.strerror}") from error
    if magic != b"GGUF":
        raise ModelUnavailable(f"`{path}` is not a GGUF file")


def _settings(gguf: Path, api_key: str, *, context_tokens: int, parallel: int, threads: int) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.api_keys = [api_key]
    params.port = 0
    params.n_ctx = context_tokens * parallel
    params.n_parallel = parallel
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.verbosity = 0
    params.endpoint_metrics = True
    params.ui = False
    params.endpoint_slots = False
    # Each slot keeps its last prompt, so that the instructions before a dialogue are read once. The second cache, in
    # main memory, could grow to 8 GB and is of no use where all prompts begin alike.
    params.cache_prompt = True
    params.cache_ram_mib = 0
    return params
