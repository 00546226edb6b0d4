"""A model that keeps what was read of it, and a ranker that reads nothing before the sandbox has rendered it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from genrec.domain import RankedItem, Ranking
from genrec.errors import TemplateError
from genrec.llm.base import LabelChoice, LanguageModel, LogProbs
from genrec.llm.wrappers import DelegatingModel
from genrec.ranking.base import DelegatingRanker, Ranker, RankingTask
from genrec.serving.playground.calls import Prompt


class RecordingModel(DelegatingModel):
    """A language model that keeps the last log-probabilities [P, T] with their tokens [T], and the generated labels."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self.log_probs: LogProbs | None = None
        self.token_ids: tuple[int, ...] = ()
        self.choices: list[LabelChoice] = []

    async def score_tokens(
        self, prompts: Sequence[Sequence[int]], token_ids: Sequence[int], *, cache_salt: str | None = None
    ) -> LogProbs:
        """See `LanguageModel.score_tokens`."""
        self.token_ids = tuple(token_ids)
        self.log_probs = await super().score_tokens(prompts, token_ids, cache_salt=cache_salt)
        return self.log_probs

    async def generate_labels(
        self, prompt: Sequence[int], labels: Sequence[int], k: int, **options: Any
    ) -> AsyncIterator[LabelChoice]:
        """See `LanguageModel.generate_labels`."""
        async for choice in super().generate_labels(prompt, labels, k, **options):
            self.choices.append(choice)
            yield choice

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


class CheckedRanker(DelegatingRanker):
    """Reads a slate only after the sandbox has rendered exactly that.

    Rendering is the same every time, so what ends in time there ends in time here.
    """

    def __init__(self, ranker: Ranker, check: Callable[[RankingTask], Awaitable[Prompt | None]]) -> None:
        super().__init__(ranker)
        self._check = check
        self.task: RankingTask | None = None
        """What was read."""
        self.prompt: Prompt | None = None

    async def rank(
        self, task: RankingTask, k: int | None = None, on_item: Callable[[RankedItem], None] | None = None
    ) -> Ranking:
        """See `Ranker.rank`. TemplateError where the sandbox does not render the prompt."""
        self.task, self.prompt = task, await self._check(task)
        if self.prompt is None:
            raise TemplateError("the template cannot be rendered for this slate", "the preview says why")
        return await self.inner.rank(task, k, on_item)

    def read_of(self, model: RecordingModel) -> dict[str, list[dict[str, object]]]:
        """What the model said of each item, by item id; empty if nothing was read."""
        if self.task is None or self.prompt is None:
            return {}
        ids = [candidate.item.id for candidate in self.task.candidates.items]
        return dict(zip(ids, model.per_candidate(self.prompt, len(ids)), strict=True))
