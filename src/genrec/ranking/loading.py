"""From a name in the settings to a ranker: `pointwise` is `genrec.ranking.pointwise`, a dotted path is itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

from genrec.errors import NotFoundError
from genrec.llm.base import LanguageModel
from genrec.models import resolve
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template
from genrec.prompting.tokenizer import load_tokenizer
from genrec.ranking.base import Ranker
from genrec.settings import RankingSettings, Settings

READS = {"yes_no": ("pointwise",), "ranking": ("listwise", "single_pass")}
"""Rankers that read each kind of output, the one to prefer first."""

RankerFactory = Callable[[LanguageModel, Template, Tokenizer, RankingSettings], Ranker]


def load_ranker(
    settings: RankingSettings, model: LanguageModel, tokenizer: Tokenizer, library: TemplateLibrary
) -> Ranker:
    """The ranker named in the settings, with its template. NotFoundError if either does not exist."""
    module_name = settings.ranker if "." in settings.ranker else f"genrec.ranking.{settings.ranker}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and not module_name.startswith(error.name):
            raise
        raise NotFoundError(
            f"there is no ranker {settings.ranker!r}",
            "choose pointwise, single_pass or listwise, or give the dotted path of a module with a class Ranker",
        ) from None
    if not hasattr(module, "Ranker") or not hasattr(module.Ranker, "default_template"):
        raise NotFoundError(f"{module_name} has no class Ranker", "choose pointwise, single_pass or listwise")
    factory = cast(RankerFactory, module.Ranker)
    template = library.get(settings.template or module.Ranker.default_template)
    return factory(model, template, tokenizer, settings)


def ranker_for(model: LanguageModel, settings: Settings) -> Ranker:
    """The ranker of the settings on this model, with the model's own tokenizer and the library's template."""
    tokenizer = load_tokenizer(resolve(settings.model.name))
    return load_ranker(settings.ranking, model, tokenizer, TemplateLibrary(settings.prompts.folder))


def for_template(settings: RankingSettings, template: Template) -> RankingSettings:
    """The settings with this template, and with a ranker that reads it where the chosen one does not."""
    readers = READS.get(template.output.kind)
    if readers is None:
        raise NotFoundError(f"template {template.id} does not rank", "choose a template under rank/")
    ranker = settings.ranker if settings.ranker in readers else readers[0]
    return settings.model_copy(update={"template": template.id, "ranker": ranker})
