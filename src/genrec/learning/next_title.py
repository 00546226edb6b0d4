"""Language modelling of what people did: the lines of a history, each foreseen from those before it.

A history is rendered as for the ranker, by the same template, guard and budget. What is foreseen is its block of lines
whole: the renderer accounts for tokens by input, not by word. Titles are most of what is uncertain there; the year and
genres behind a title and its rating are the catalogue and the taste that a ranker is asked about as well, and fixed
words cost nothing once they are known. The block is what the history changes in the prompt. Nothing behind it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genrec.data.splits import validation_mask
from genrec.domain import Candidate, Candidates, History, Item
from genrec.errors import DataError
from genrec.learning import forward
from genrec.learning.augment import AugmentSettings
from genrec.learning.base import Example, TokenSlate
from genrec.learning.batches import passes
from genrec.learning.config import TrainConfig
from genrec.learning.positions import HeldOutPositions
from genrec.learning.processes import Processes
from genrec.learning.slates import Slates
from genrec.learning.trainer import Trainer
from genrec.settings import Settings

_UNREAD = Candidates((Candidate(Item("unread", "-"), 0.0),))
"""A template wants a candidate, and the guard looks at the prompt with it; the loss ends before it."""


class Histories:
    """Implements `ExampleSource`: training users, each with his history up to one of his events, another each epoch.

    Events that are held out are not among them, nor is anything of the validation users.
    DataError if no training user has two events.
    """

    def __init__(self, positions: HeldOutPositions, items: Sequence[Item], seed: int = 0) -> None:
        self._log, self._items, self._seed = positions.rest, items, seed
        self._counts = np.diff(self._log.indptr)
        self._users = np.flatnonzero((self._counts > 1) & ~validation_mask(self._log.user_ids))
        if not len(self._users):
            raise DataError("no user has two events to learn from", "import more events")

    def __len__(self) -> int:
        return len(self._users)

    def example(self, epoch: int, index: int, difficulty: float) -> Example:
        """See `ExampleSource`. There is no slate, and nothing that is difficult."""
        user = int(self._users[index])
        end = int(np.random.default_rng([self._seed, epoch, index]).integers(2, self._counts[user] + 1))
        history = self._log.history(user, self._items)
        return Example(History(history.user_id, history.entries[:end]), _UNREAD, np.ones(1))


class HistoryLines:
    """Renders histories, with the ranker's template and budget, as the prefix before them and the lines as suffix."""

    def __init__(self, settings: Settings, config: TrainConfig) -> None:
        # Padding stands behind the history: none is read.
        self._slates = Slates(settings, config.model_copy(update={"block": 1}), AugmentSettings())
        self._without = self._prompt(Example(History(None, ()), _UNREAD, np.ones(1)))

    @property
    def identity(self) -> list[object]:
        """What of this decides the losses."""
        return ["titles", *self._slates.identity]

    def training(self, example: Example, number: int) -> TokenSlate:
        """The history of an example; the number decides nothing."""
        prompt = self._prompt(replace(example, candidates=_UNREAD, request=None, context=None, evidence=None))
        start = _shared(prompt, self._without)
        behind = _shared(prompt[start:][::-1], self._without[start:][::-1])
        return TokenSlate(prompt[:start], (prompt[start : len(prompt) - behind],), (), np.ones(1))

    def validation(self, examples: Sequence[Example]) -> list[TokenSlate]:
        """The histories of the examples."""
        return [self.training(example, 0) for example in examples]

    def _prompt(self, example: Example) -> tuple[int, ...]:
        return self._slates.validation([example])[0].prefix


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """So many first tokens are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def continuation_losses(model: Any, rows: Sequence[TokenSlate]) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the tokens of each row's suffix [B], in nats, and how many they are [B].

    `rows` have one suffix each. Logits are computed where a token of a suffix is foreseen, nowhere else.
    """
    causal = forward.unwrapped(model)
    ids = torch.zeros(len(rows), max(row.tokens for row in rows), dtype=torch.long)
    foreseen = torch.zeros_like(ids, dtype=torch.bool)
    for place, row in enumerate(rows):
        ids[place, : row.tokens] = torch.tensor([*row.prefix, *row.suffixes[0]])
        foreseen[place, len(row.prefix) : row.tokens] = True
    ids, foreseen = ids.to(model.device), foreseen[:, 1:].to(model.device)
    # Padding needs no mask: it stands behind all that is read, and attention is causal.
    hidden = causal.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    logits = forward.vocabulary_logits(causal, hidden[foreseen])
    losses = nn.functional.cross_entropy(logits, ids[:, 1:][foreseen], reduction="none")
    counts = foreseen.sum(1)
    sums = losses.new_zeros(len(rows)).index_add(0, foreseen.nonzero()[:, 0], losses)
    return sums / counts.clamp(min=1), counts.float()


class TitleTrainer(Trainer):
    """`Trainer` on histories: a step costs the mean over their foreseen tokens.

    The weights that are kept are those with the lowest loss of the `histories` of other users. NDCG@10 of the slates is
    measured beside it, since a ranker that is yet to be tuned cannot say what it learned here.
    """

    def __init__(
        self,
        model: Any,
        config: TrainConfig,
        folder: Path,
        processes: Processes,
        *,
        histories: Sequence[TokenSlate],
        **others: Any,
    ) -> None:
        super().__init__(model, config, folder, processes, **others)
        self._histories = histories

    def _losses(self, slates: Sequence[TokenSlate]) -> tuple[Tensor, Tensor]:
        return continuation_losses(self._model, slates)

    def _measured(self) -> dict[str, float]:
        mine = self._histories[self._processes.index :: self._processes.count]
        sums = torch.zeros(2, dtype=torch.float64, device=self._processes.device)
        with torch.no_grad(), self._precision():
            for rows in passes(mine, self._config.loop.tokens):
                losses, counts = self._losses([mine[row] for row in rows])
                sums += torch.stack([(losses * counts).sum(), counts.sum()])
        total, tokens = self._processes.sum(sums).tolist()
        return {"loss": total / tokens}

    def _quality(self, measured: Mapping[str, float]) -> float:
        return -measured["loss"]
