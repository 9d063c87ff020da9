"""Chat models behind an OpenAI-compatible API: hosted, on a server by URL, or llama.cpp in this process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from magid_graph.errors import MagidError, ModelUnavailable, ServerFailed, ServerUnreachable
from magid_graph.models import Reply
from magid_graph.records import Constrain

if TYPE_CHECKING:
    import openai
    from langchain_core.messages import AIMessage

OPENAI_URL = "https://api.openai.com/v1"
MAX_RETRY_AFTER_S = 120
"""The longest `Retry-After` that the openai client waits for; a longer one ends its retries."""

MAX_TIMEOUTS_IN_A_ROW = 8
"""One prompt whose reply takes for ever fails alone; after so many calls without any reply it is the server."""

log = logging.getLogger(__name__)


class OpenAIChat:
    """One chat model on one server. Belongs to the event loop that first asks it; close it with `aclose`."""

    model_id: str
    can_constrain: bool

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        max_retries: int = 4,
        constrain: Constrain = "auto",
        max_in_flight: int | None = None,
        model_id: str | None = None,
    ) -> None:
        """Open nothing yet but the client.

        Without `base_url` the model is hosted by OpenAI and `OPENAI_API_KEY` must be set (`ModelUnavailable`); a
        server by URL gets `api_key` or none, never that variable. `timeout_s` bounds each try as a whole. `constrain`:
        the server whose field for GBNF grammars is used; `auto` and `none` send none, because other servers ignore or
        refuse what they do not know (whoever opens llama.cpp in this process says so). `max_in_flight`: further
        calls wait here, outside `timeout_s`; for servers with few slots.
        """
        self._constrain = constrain
        self.can_constrain = constrain in ("llama.cpp", "vllm")
        self._is_hosted = base_url is None
        self._url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        self._model = model
        self._timeout_s = timeout_s
        self._tries = max_retries + 1
        self._timeouts_in_a_row = 0
        self._key = api_key or (self._is_hosted and os.environ.get("OPENAI_API_KEY")) or ""
        if self._is_hosted and not self._key:
            raise ModelUnavailable(f"`openai:{model}` needs a key: set `OPENAI_API_KEY`, or choose another `--preset`")
        self.model_id = model_id or f"openai:{model}" + ("" if self._is_hosted else f"@{self._shown_url}")
        if not urlsplit(self._url).hostname or not self._url.startswith(("http://", "https://")):
            raise ModelUnavailable(f"`{self._shown_url}` is not the URL of a server: write `http://host:port/v1`")
        self._turnstile = asyncio.Semaphore(max_in_flight) if max_in_flight else None
        self._open_client(timeout_s, max_retries)

    def _open_client(self, timeout_s: float, max_retries: int) -> None:
        import httpx2
        import openai
        from langchain_openai import ChatOpenAI
        from langsmith import tracing_context

        # Below `timeout_s`, so that a host that never connects is told from one that never replies.
        timeout = httpx2.Timeout(timeout_s, connect=min(timeout_s * 0.8, 10.0))

        class WholeReply(openai.DefaultAsyncHttpxClient):
            """Bounds a whole response: httpx's own limit starts anew with every byte that drips in."""

            async def send(self, *args: Any, **kwargs: Any) -> Any:
                try:
                    async with asyncio.timeout(timeout_s):
                        return await super().send(*args, **kwargs)
                except TimeoutError as error:
                    raise httpx2.ReadTimeout(f"no whole reply in {timeout_s:g} s") from error

        try:
            self._http = WholeReply(timeout=timeout, trust_env=not is_loopback(self._url))
            self._chat = ChatOpenAI(
                model=self._model,
                base_url=self._url,
                api_key=self._key or "none",
                max_retries=max_retries,
                timeout=timeout,
                http_async_client=self._http,
                use_responses_api=False,
                cache=False,
            )
        except Exception as error:
            raise ModelUnavailable(f"No client can be opened for `{self._shown_url}`: {error}") from error
        # Dialogues are people's words: they go to the model's server and nowhere else, whatever the environment says.
        self._untraced: Callable[[], AbstractContextManager[None]] = partial(tracing_context, enabled=False)

    async def reply(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float,
        max_tokens: int,
        seed: int | None = None,
        grammar: str | None = None,
        top_p: float = 1.0,
        top_k: int = 0,
    ) -> Reply:
        """One answer; "" if the model gives none. See `Chat` for the errors."""
        fields = self._fields(temperature, max_tokens, seed, grammar)
        self._limit(fields, top_p, top_k)
        async with self._turn():
            try:
                with self._untraced():
                    answer = await self._chat.ainvoke([dict(message) for message in messages], **fields)
            except Exception as error:
                raise await self._explain(error) from error
        self._timeouts_in_a_row = 0
        return _as_reply(answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _fields(self, temperature: float, max_tokens: int, seed: int | None, grammar: str | None) -> dict[str, Any]:
        extra: dict[str, Any] = {}
        fields: dict[str, Any] = {"temperature": temperature, "extra_body": extra}
        if self._is_hosted:
            fields["max_tokens"] = max_tokens
        else:
            # LangChain would send `max_completion_tokens`, which not every compatible server reads.
            extra["max_tokens"] = max_tokens
        if seed is not None:
            fields["seed"] = seed
        match self._constrain:
            case "llama.cpp" if grammar is not None:
                extra["grammar"] = grammar
            case "vllm" if grammar is not None:
                extra["structured_outputs"] = {"grammar": grammar}
        return fields

    def _limit(self, fields: dict[str, Any], top_p: float, top_k: int) -> None:
        """Add what limits sampling, where it does."""
        if top_p < 1:
            fields["top_p"] = top_p
        if top_k and not self._is_hosted:
            # No parameter of OpenAI's own, which refuses unknown ones; vLLM, llama.cpp and Ollama read it.
            fields["extra_body"]["top_k"] = top_k

    def _turn(self) -> AbstractAsyncContextManager[object]:
        return self._turnstile or nullcontext()

    # -- what went wrong, and what to do ------------------------------------------------------------------------------

    @property
    def _shown_url(self) -> str:
        """The URL without a password that may be in it."""
        parts = urlsplit(self._url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    async def _explain(self, error: Exception) -> MagidError:
        """Our error for one of the client's."""
        import openai

        match error:
            case openai.APITimeoutError():
                return self._timed_out(error)
            case openai.APIConnectionError():
                return ServerUnreachable(
                    f"`{self._shown_url}` does not answer ({_root(error)}), asked {self._tries} times: "
                    "is the server running, and is the address right?"
                )
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                return ModelUnavailable(f"`{self._shown_url}` refuses us: {self._words(error)}. {self._key_advice()}")
            case openai.NotFoundError():
                return ModelUnavailable(await self._unknown_model(error))
            case openai.RateLimitError():
                return self._rate_limited(error)
            case openai.BadRequestError() if _is_too_long(error):
                return ServerFailed(f"The prompt is longer than the context of `{self._model}`: {self._words(error)}")
            case openai.APIStatusError():
                return ServerFailed(self._refused(error))
            case _:
                return self._not_a_completion(error)

    def _timed_out(self, error: openai.APITimeoutError) -> MagidError:
        """A fault of this call, unless nothing connects or no call at all has been answered for a while."""
        import httpx2

        if any(isinstance(cause, httpx2.ConnectTimeout) for cause in _causes(error)):
            return ServerUnreachable(
                f"`{self._shown_url}` cannot be reached in time, asked {self._tries} times: is the address right?"
            )
        self._timeouts_in_a_row += 1
        words = f"`{self._shown_url}` gave no whole reply within {self._timeout_s:g} s, asked {self._tries} times"
        advice = "raise `llm.timeout_s`, or lower `run.in_flight`"
        if self._timeouts_in_a_row < MAX_TIMEOUTS_IN_A_ROW:
            return ServerFailed(f"{words}: {advice}")
        return ServerUnreachable(f"{words}, and so for {self._timeouts_in_a_row} calls in a row: {advice}")

    def _refused(self, error: openai.APIStatusError) -> str:
        said = f"`{self._shown_url}` answered HTTP {error.status_code}: {self._words(error)}"
        if error.status_code >= 500:
            return f"{said}, asked {self._tries} times"
        return f"{said}. Change what it names, e.g. `--set llm.temperature=1` or a smaller `llm.max_tokens`"

    def _key_advice(self) -> str:
        if self._is_hosted:
            return "Set `OPENAI_API_KEY` to a key that may use this model"
        return "Name the variable that holds its key: `--set llm.api_key_env=NAME`"

    async def _unknown_model(self, error: openai.NotFoundError) -> str:
        models = await self._served_models()
        if models is None:
            return (
                f"`{self._shown_url}` knows no model `{self._model}`, or is not an OpenAI-compatible endpoint "
                f"(it usually ends in `/v1`): {self._words(error)}"
            )
        listed = ", ".join(f"`{model}`" for model in models[:8]) + (", …" if len(models) > 8 else "")
        return f"`{self._shown_url}` knows no model `{self._model}`; it serves {listed or 'none'}"

    async def _served_models(self) -> list[str] | None:
        try:
            page = await self._chat.root_async_client.with_options(max_retries=0).models.list()
            return sorted(str(model.id) for model in page.data)
        except Exception as error:
            log.debug("no list of models from %s: %s", self._shown_url, error)
            return None

    def _rate_limited(self, error: openai.RateLimitError) -> MagidError:
        wait_s = _retry_after_s(error.response.headers)
        if error.code == "insufficient_quota":
            return ModelUnavailable(f"The quota of this key is used up at `{self._shown_url}`: {self._words(error)}")
        if wait_s > MAX_RETRY_AFTER_S:
            return ModelUnavailable(
                f"`{self._shown_url}` asks to wait {wait_s:.0f} s: {self._words(error)}. Run the same command later"
            )
        return ServerFailed(
            f"`{self._shown_url}` is rate limited, asked {self._tries} times: {self._words(error)}. "
            "Have fewer items in flight"
        )

    def _not_a_completion(self, error: Exception) -> MagidError:
        if "<html" in str(error).lower() or "<!doctype" in str(error).lower():
            return ModelUnavailable(
                f"The server at `{self._shown_url}` answered with HTML: is this an OpenAI-compatible endpoint "
                "(it usually ends in `/v1`)?"
            )
        return ServerFailed(f"`{self._shown_url}` answered with something that is no chat completion: {error!r:.300}")

    def _words(self, error: openai.APIStatusError) -> str:
        """What the server said, on one line, without our key."""
        body = error.body if isinstance(error.body, Mapping) else {}
        words = " ".join(str(body.get("message") or error.message).split())[:300].rstrip(".")
        return words.replace(self._key, "…") if self._key else words


def _as_reply(answer: AIMessage) -> Reply:
    usage: Mapping[str, Any] = answer.usage_metadata or {}
    return Reply(
        text=str(answer.text),
        prompt_tokens=usage.get("input_tokens", 0),
        completion_tokens=usage.get("output_tokens", 0),
        truncated=answer.response_metadata.get("finish_reason") == "length",
    )


def is_loopback(url: str) -> bool:
    """Whether the server is on this machine, whose loopback no proxy from the environment can reach."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def _is_too_long(error: openai.BadRequestError) -> bool:
    # OpenAI and vLLM · llama.cpp · others. There is no common code for it.
    said = json.dumps(error.body, default=str).lower() + str(error).lower()
    return any(
        sign in said
        for sign in ("context_length_exceeded", "maximum context length", "exceed_context_size", "context window")
    )


def _retry_after_s(headers: Mapping[str, str]) -> float:
    try:
        return float(headers.get("retry-after", "0"))
    except ValueError:
        return 0.0


def _root(error: BaseException) -> str:
    """The operating system's word for it, which the client's wrappers hide."""
    *_, last = _causes(error)
    return str(last) or type(last).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
