"""From a name in the settings to a ranker: `pointwise` is `genrec.ranking.pointwise`, a dotted path is itself."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from genrec.artifacts.adapters import Card, label
from genrec.artifacts.models import resolve
from genrec.domain import Reader
from genrec.errors import NotFoundError
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template
from genrec.prompting.tokenizer import load_tokenizer
from genrec.settings import RankingSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from genrec.llm.base import LanguageModel
    from genrec.ranking.base import Ranker

    RankerFactory = Callable[[LanguageModel, Template, Tokenizer, RankingSettings], Ranker]

READS = {"yes_no": ("pointwise",), "ranking": ("listwise", "single_pass")}
"""Rankers that read each kind of output, the one to prefer first."""


def ranker_class(name: str) -> Any:
    """The class `Ranker` of a module of `genrec.ranking`, or of a dotted path. NotFoundError if there is none."""
    module_name = name if "." in name else f"genrec.ranking.{name}"
    hint = "choose pointwise, single_pass or listwise, or give the dotted path of a module with a class Ranker"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and not module_name.startswith(error.name):
            raise
        raise NotFoundError(f"there is no ranker {name!r}", hint) from None
    found = getattr(module, "Ranker", None)
    if not hasattr(found, "default_template"):
        raise NotFoundError(f"{module_name} has no class Ranker", hint)
    return found


def template_id(settings: RankingSettings) -> str:
    """Id of the template of the settings, or of their ranker's own. NotFoundError if there is no such ranker."""
    return settings.template or str(ranker_class(settings.ranker).default_template)


def template_of(settings: Settings) -> Template:
    """The template that is served. NotFoundError if it, or the ranker whose own it would be, does not exist."""
    return TemplateLibrary(settings.prompts.folder).get(template_id(settings.ranking))


def load_ranker(
    settings: RankingSettings, model: LanguageModel, tokenizer: Tokenizer, library: TemplateLibrary
) -> Ranker:
    """The ranker named in the settings, with its template. NotFoundError if either does not exist."""
    factory = cast("RankerFactory", ranker_class(settings.ranker))
    return factory(model, library.get(template_id(settings)), tokenizer, settings)


def ranker_for(model: LanguageModel, settings: Settings) -> Ranker:
    """The ranker of the settings on this model, with the model's own tokenizer and the library's template."""
    tokenizer = load_tokenizer(resolve(settings.model.name))
    return load_ranker(settings.ranking, model, tokenizer, TemplateLibrary(settings.prompts.folder))


def reader_of(model: LanguageModel, ranker: Ranker) -> Reader:
    """Who reads when this ranker asks this model."""
    return Reader(_tuned(model.name), model.adapter, ranker.name, ranker.template.id)


def reader_named(settings: Settings) -> Reader:
    """Who reads by these settings, with the adapter resolved (see `adapters.resolved`); nothing is loaded."""
    given, ranking = settings.model, settings.ranking
    adapter = given.adapter if given.adapter is None or given.engine == "openai" else label(Path(given.adapter))
    return Reader(_tuned(given.name), adapter, str(ranker_class(ranking.ranker).name), template_id(ranking))


def _tuned(model: str) -> str:
    """The name of a model, with the version of the adapter if one was merged into it: its folder keeps its name."""
    folder = Path(model).expanduser()
    card = Card.load(folder) if folder.is_dir() else None
    return model if card is None else f"{model} ({card.name}@{card.version})"


def for_template(settings: RankingSettings, template: Template) -> RankingSettings:
    """The settings with this template, and with a ranker that reads it where the chosen one does not."""
    readers = READS.get(template.output.kind)
    if readers is None:
        raise NotFoundError(f"template {template.id} does not rank", "choose a template under rank/")
    ranker = settings.ranker if settings.ranker in readers else readers[0]
    return settings.model_copy(update={"template": template.id, "ranker": ranker})
