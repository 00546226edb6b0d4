"""A model that keeps what was read of it, and a ranker that reads nothing before the sandbox has rendered it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from genrec.domain import RankedItem, Ranking
from genrec.errors import TemplateError
from genrec.llm.base import LabelChoice, LanguageModel, LogProbs
from genrec.prompting.rendered import RenderedPrompt
from genrec.ranking.base import Ranker, RankingTask
from genrec.serving.playground.calls import Prompt


class RecordingModel:
    """A language model that keeps the last log-probabilities [P, T] with their tokens [T], and the generated labels."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.name, self.adapter, self.context = model.name, model.adapter, model.context
        self.block, self.exact = model.block, model.exact
        self.log_probs: LogProbs | None = None
        self.token_ids: tuple[int, ...] = ()
        self.choices: list[LabelChoice] = []

    async def score_tokens(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], *, cache_salt: str | None = None
    ) -> LogProbs:
        """See `LanguageModel.read`."""
        self.token_ids = tuple(token_ids)
        self.log_probs = await self._model.score_tokens(prompts, token_ids, cache_salt=cache_salt)
        return self.log_probs

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
        """See `LanguageModel.generate`."""
        async for choice in self._model.generate_labels(
            prompt, labels, k, temperature=temperature, seed=seed, cache_salt=cache_salt
        ):
            self.choices.append(choice)
            yield choice

    def generate_text(self, prompt: Sequence[int], **options: Any) -> AsyncIterator[str]:
        """See `LanguageModel.write`."""
        return self._model.generate_text(prompt, **options)

    async def close(self) -> None:
        """The engine stays: it is the server's."""

    def per_candidate(self, prompt: Prompt, count: int) -> list[list[dict[str, object]]]:
        """For each of `count` candidates what was read of it: label, log-probability, and its order or step.

        `prompt` is what was read. Empty lists where a ranker reads in another way than those of genrec.
        """
        read: list[list[dict[str, object]]] = [[] for _ in range(count)]
        rows, orders = self.log_probs, prompt.labels
        if self.choices:
            for step, choice in enumerate(self.choices, start=1):
                entry = {"label": orders[0].names[choice.label], "logprob": choice.logprob, "step": step}
                read[choice.label].append(entry)
        elif rows is not None and prompt.output == "yes_no" and rows.shape == (count, len(orders[0].names)):
            for lines, row in zip(read, rows.tolist(), strict=True):
                lines += [{"label": name, "logprob": value} for name, value in zip(orders[0].names, row, strict=True)]
        elif rows is not None and prompt.output == "ranking" and len(rows) == len(orders):
            column = {token: position for position, token in enumerate(self.token_ids)}
            for number, (labels, row) in enumerate(zip(orders, rows.tolist(), strict=True), start=1):
                for lines, name, token in zip(read, labels.names, labels.ids, strict=True):
                    lines.append({"label": name, "logprob": row[column[token]], "order": number})
        return read


class CheckedRanker:
    """Satisfies `Ranker`: reads a slate only after the sandbox has rendered exactly that.

    Rendering is the same every time, so what ends in time there ends in time here.
    """

    def __init__(self, ranker: Ranker, check: Callable[[RankingTask], Awaitable[Prompt | None]]) -> None:
        self._ranker, self._check = ranker, check
        self.name, self.default_template, self.template = ranker.name, ranker.default_template, ranker.template
        self.task: RankingTask | None = None
        """What was read."""
        self.prompt: Prompt | None = None

    def render(self, task: RankingTask) -> RenderedPrompt:
        """See `Ranker.render`."""
        return self._ranker.render(task)

    async def rank(
        self, task: RankingTask, k: int | None = None, on_item: Callable[[RankedItem], None] | None = None
    ) -> Ranking:
        """See `Ranker.rank`. TemplateError where the sandbox does not render the prompt."""
        self.task, self.prompt = task, await self._check(task)
        if self.prompt is None:
            raise TemplateError("the template cannot be rendered for this slate", "the preview says why")
        return await self._ranker.rank(task, k, on_item)

    def read_of(self, model: RecordingModel) -> dict[str, list[dict[str, object]]]:
        """What the model said of each item, by item id; empty if nothing was read."""
        if self.task is None or self.prompt is None:
            return {}
        ids = [candidate.item.id for candidate in self.task.candidates.items]
        return dict(zip(ids, model.per_candidate(self.prompt, len(ids)), strict=True))
