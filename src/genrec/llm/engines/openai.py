"""Any server that speaks the OpenAI API and takes token ids at `/v1/completions`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI, BadRequestError, OpenAIError
from openai import UnprocessableEntityError as UnprocessableError

from genrec.artifacts.models import resolve
from genrec.errors import ModelError
from genrec.llm.base import LabelChoice, LogProbs
from genrec.llm.checks import check_generate, check_read, check_write, draw, generator
from genrec.settings import ModelSettings

READ_LIMIT = 128
"""Most token ids for which vLLM returns log-probabilities in one request."""
TOP = 20
"""How many log-probabilities other servers return at most."""
TIMEOUT_S = 120.0


class OpenAIModel:
    """A model behind HTTP. vLLM returns the named tokens; other servers their TOP tokens, which must hold the named."""

    block = 1
    exact = False

    def __init__(self, client: AsyncOpenAI, name: str, model: str, context: int, *, adapter: str | None = None) -> None:
        """`model` is the server's name of the model; `name` that of the settings, for its tokenizer."""
        self.name = name
        self.adapter = adapter
        self.context = context
        self._client = client
        self._model = model
        self._named_tokens = True
        self._texts: dict[int, str] = {}

    async def score_tokens(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], *, cache_salt: str | None = None
    ) -> LogProbs:
        """See `LanguageModel.score_tokens`: one HTTP request for all prompts (one for each READ_LIMIT token ids)."""
        check_read(prompts, token_ids, self.context)
        if not prompts:
            return np.empty((0, len(token_ids)), np.float32)
        chunks = [token_ids[start : start + READ_LIMIT] for start in range(0, len(token_ids), READ_LIMIT)]
        parts = await asyncio.gather(*(self._read(prompts, chunk, cache_salt) for chunk in chunks))
        return np.concatenate(parts, axis=1)

    async def generate_labels(
        self,
        prompt: Sequence[int],
        labels: Sequence[int],
        k: int,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        cache_salt: str | None = None,
    ) -> AsyncIterator[LabelChoice]:
        """See `LanguageModel.generate_labels`: k reads, each behind the labels emitted so far."""
        check_generate(prompt, labels, k, self.context)
        random = generator(seed)
        emitted: list[int] = []
        for _ in range(k):
            sequence = [*prompt, *(labels[label] for label in emitted)]
            logprobs = (await self.score_tokens([sequence], labels, cache_salt=cache_salt))[0]
            label = draw(logprobs, emitted, temperature, random)
            emitted.append(label)
            yield LabelChoice(label, float(logprobs[label]))

    async def generate_text(
        self,
        prompt: Sequence[int],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        cache_salt: str | None = None,
    ) -> AsyncIterator[str]:
        """See `LanguageModel.generate_text`: one streamed HTTP request. Servers take up to four texts `stop`."""
        check_write(prompt, max_tokens, self.context)
        try:
            stream = await self._client.completions.create(
                model=self._model,
                prompt=list(prompt),
                max_tokens=max_tokens,
                temperature=temperature,
                seed=seed,
                stop=list(stop) or None,
                stream=True,
                extra_body={} if cache_salt is None else {"cache_salt": cache_salt},
            )
            async with stream:
                async for part in stream:
                    if part.choices and part.choices[0].text:
                        yield part.choices[0].text
        except (OpenAIError, ValueError) as error:
            raise _failed(error) from error

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def _read(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], cache_salt: str | None
    ) -> LogProbs:
        if self._named_tokens:
            named = await self._read_named(prompts, token_ids, cache_salt)
            if named is not None:
                return named
        try:
            tops = await self._complete(prompts, TOP, {})
        except OpenAIError as error:
            raise _failed(error) from error
        values = _pick(tops, await asyncio.to_thread(self._decode, token_ids))
        self._named_tokens = False  # only now is it sure that the server, not the request, was the reason
        return values

    async def _read_named(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], cache_salt: str | None
    ) -> LogProbs | None:
        """By vLLM's own parameters; None from a server that refuses or ignores them."""
        extra: dict[str, Any] = {"logprob_token_ids": list(token_ids), "return_tokens_as_token_ids": True}
        if cache_salt is not None:
            extra["cache_salt"] = cache_salt
        try:
            tops = await self._complete(prompts, 1, extra)
        except (BadRequestError, UnprocessableError):
            return None
        if not any(key.startswith("token_id:") for top in tops for key in top):
            return None
        return _pick(tops, [f"token_id:{token}" for token in token_ids])

    async def _complete(
        self, prompts: Sequence[Sequence[int]], logprobs: int, extra: dict[str, Any]
    ) -> list[Mapping[str, float]]:
        """The log-probabilities by token that the server returns for each prompt."""
        try:
            answer = await self._client.completions.create(
                model=self._model,
                prompt=[list(prompt) for prompt in prompts],
                max_tokens=1,
                temperature=0.0,
                logprobs=logprobs,
                extra_body=extra,
            )
        except (BadRequestError, UnprocessableError):
            raise
        except (OpenAIError, ValueError) as error:
            raise _failed(error) from error
        tops: list[Mapping[str, float]] = [{} for _ in prompts]
        for choice in getattr(answer, "choices", None) or ():
            if choice.logprobs is not None and choice.logprobs.top_logprobs and choice.index < len(tops):
                tops[choice.index] = choice.logprobs.top_logprobs[0]
        if not any(tops):
            raise ModelError("the model server answered without log-probabilities", _HINT_SERVER)
        return tops

    def _decode(self, token_ids: Sequence[int]) -> list[str]:
        missing = [token for token in token_ids if token not in self._texts]
        if missing:
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(resolve(self.name) / "tokenizer.json"))
            self._texts |= {token: tokenizer.decode([token], skip_special_tokens=False) for token in missing}
        return [self._texts[token] for token in token_ids]


async def load(settings: ModelSettings, *, adapter_path: Path | None = None) -> OpenAIModel:
    """Connects to the server at `base_url` and finds the model on it. Raises ModelError.

    The server's name of the model is that of the adapter or of the settings; a server with one model may call it
    anything.
    """
    client = AsyncOpenAI(
        base_url=settings.base_url, api_key=os.environ.get("OPENAI_API_KEY", "none"), timeout=TIMEOUT_S, max_retries=2
    )
    try:
        served = {card.id: card async for card in client.models.list()}
    except (OpenAIError, ValueError, AttributeError, TypeError) as error:  # what is no API of this kind
        await client.close()
        raise _failed(error) from error
    wanted = settings.adapter or settings.name
    if wanted not in served and (len(served) != 1 or settings.adapter):
        await client.close()
        raise ModelError(
            f"the server has no model {wanted!r}", f"it has: {', '.join(sorted(served)) or 'none'}; set model.name"
        )
    card = served.get(wanted) or next(iter(served.values()))
    context = min(settings.context, getattr(card, "max_model_len", None) or settings.context)
    return OpenAIModel(client, settings.name, card.id, context, adapter=settings.adapter)


def _pick(tops: Sequence[Mapping[str, float]], keys: Sequence[str]) -> LogProbs:
    try:
        return np.array([[top[key] for key in keys] for top in tops], np.float32)
    except KeyError as error:
        raise ModelError(
            f"the server did not return the log-probability of a wanted token (only its {TOP} likeliest, or none)",
            "use a server that takes `logprob_token_ids` (vLLM from 0.32), or the engine vllm or transformers",
        ) from error


_HINT_SERVER = "check `base_url`; the server must offer /v1/completions with `logprobs`"


def _failed(error: Exception) -> ModelError:
    """The text has the kind of error and its status only: servers quote requests in their messages."""
    if isinstance(error, APITimeoutError):
        return ModelError("the model server did not answer in time", "look at its load, or lower `candidates`")
    if isinstance(error, APIConnectionError):
        return ModelError("the model server cannot be reached", "start it, and check `base_url` in section [model]")
    if isinstance(error, APIStatusError):
        hints = {401: "set OPENAI_API_KEY", 403: "set OPENAI_API_KEY", 404: "check `base_url` (it ends in /v1)"}
        return ModelError(
            f"the model server answered with status {error.status_code}",
            hints.get(error.status_code, "look at the server's log"),
        )
    return ModelError(f"the model server answered something unusable ({type(error).__name__})", _HINT_SERVER)
