"""Examples as the model reads them in serving: one template, one tokenizer, one block for training and validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrec.artifacts.models import resolve
from genrec.domain import TemplateRef
from genrec.errors import BudgetError, GuardError
from genrec.llm.arguments import BLOCK
from genrec.prompting.tokenizer import load_tokenizer
from genrec.ranking.loading import for_template, template_of
from genrec.settings import Settings
from genrec.training.augment import AugmentSettings, augmented
from genrec.training.base import Example, TokenSlate
from genrec.training.config import TrainConfig
from genrec.training.tokens import tokenise


class Slates:
    """Renders with the ranker and template of the settings, which is then what the adapter is for."""

    def __init__(self, settings: Settings, config: TrainConfig, augment: AugmentSettings) -> None:
        self._template = template_of(settings)
        self.ranker = for_template(settings.ranking, self._template).ranker
        self.template: TemplateRef = self._template.ref
        self._tokenizer = load_tokenizer(resolve(config.model))
        self._block = config.block or (BLOCK if settings.model.engine == "vllm" else 1)
        self._context = settings.model.context
        self._augment, self._seed = augment, config.loop.seed

    @property
    def language(self) -> str:
        """Of the template, in which requests are simulated."""
        return self._template.language

    @property
    def identity(self) -> list[object]:
        """What of this decides the losses."""
        return [self.template.id, self.template.hash, self.ranker, self._block, self._context]

    def training(self, example: Example, number: int) -> TokenSlate:
        """A slate of the stream of training, varied; equal numbers give equal slates."""
        generator = np.random.default_rng([self._seed, number])
        return self._render(augmented(example, self._augment, generator), number)

    def validation(self, examples: Sequence[Example]) -> tuple[list[Example], list[TokenSlate]]:
        """The fixed slates of validation, as they are, behind the examples that they are of.

        Without those that cannot be rendered, for which serving has no prompt either. BudgetError or GuardError if none
        can be.
        """
        rendered: list[tuple[Example, TokenSlate]] = []
        for number, example in enumerate(examples):
            try:
                rendered.append((example, self._render(example, number)))
            except (BudgetError, GuardError):
                if not rendered and number == len(examples) - 1:
                    raise
        return [example for example, _ in rendered], [slate for _, slate in rendered]

    def _render(self, example: Example, seed: int) -> TokenSlate:
        return tokenise(example, self._template, self._tokenizer, self._block, context_tokens=self._context, seed=seed)
