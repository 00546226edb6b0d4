"""The ranker and the template that settings name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genrec.artifacts.adapters import Card, label
from genrec.artifacts.models import resolve
from genrec.domain import LlmRankerKey
from genrec.errors import NotFoundError
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template
from genrec.prompting.tokenizer import load_tokenizer
from genrec.ranking.base import RANKERS, Ranker
from genrec.ranking.labels import require_output
from genrec.settings import RankingSettings, Settings

if TYPE_CHECKING:
    from genrec.llm.base import LanguageModel


def template_id(settings: RankingSettings) -> str:
    """Id of the template of the settings, or of their ranker's own. NotFoundError if there is no such ranker."""
    return settings.template or RANKERS.find(settings.ranker).default_template


def template_of(settings: Settings) -> Template:
    """The template that is served. NotFoundError if it, or the ranker whose own it would be, does not exist."""
    return TemplateLibrary(settings.prompts.folder).get(template_id(settings.ranking))


def load_ranker(
    settings: RankingSettings, model: LanguageModel, tokenizer: Tokenizer, library: TemplateLibrary
) -> Ranker:
    """The ranker named in the settings, with its template. NotFoundError if either does not exist."""
    chosen = RANKERS.find(settings.ranker)
    return chosen(model, library.get(template_id(settings)), tokenizer, settings)


def ranker_for(model: LanguageModel, settings: Settings) -> Ranker:
    """The ranker of the settings on this model, with the model's own tokenizer and the library's template."""
    tokenizer = load_tokenizer(resolve(settings.model.name))
    return load_ranker(settings.ranking, model, tokenizer, TemplateLibrary(settings.prompts.folder))


def llm_ranker_key_of(model: LanguageModel, ranker: Ranker) -> LlmRankerKey:
    """The key of this ranker on this model."""
    return LlmRankerKey(_tuned(model.name), model.adapter, ranker.name, ranker.template.id)


def llm_ranker_key_in(settings: Settings) -> LlmRankerKey:
    """The key of the ranker in these settings, adapter resolved (see `adapters.resolved`); nothing is loaded."""
    given, ranking = settings.model, settings.ranking
    adapter = given.adapter if given.adapter is None or given.engine == "openai" else label(Path(given.adapter))
    return LlmRankerKey(_tuned(given.name), adapter, RANKERS.find(ranking.ranker).name, template_id(ranking))


def _tuned(model: str) -> str:
    """The name of a model, with the version of the adapter if one was merged into it: its folder keeps its name."""
    folder = Path(model).expanduser()
    card = Card.load(folder) if folder.is_dir() else None
    return model if card is None else f"{model} ({card.name}@{card.version})"


def rankers_of(template: Template) -> list[str]:
    """Names of the rankers in the box that read the output of a template."""
    return [name for name in RANKERS.names() if RANKERS.find(name).reads == template.output.kind]


def for_template(settings: RankingSettings, template: Template) -> RankingSettings:
    """The settings with this template, and with a ranker that reads it where the chosen one does not.

    A ranker given as a dotted path is never exchanged for another: TemplateError if it does not read the template.
    NotFoundError if no ranker does.
    """
    able = rankers_of(template)
    if not able:
        raise NotFoundError(f"template {template.id} does not rank", "choose a template under rank/")
    ranker = settings.ranker
    chosen = RANKERS.find(ranker)
    if chosen.reads != template.output.kind:
        if ranker not in RANKERS.names():
            require_output(template, chosen.reads, ranker)
        ranker = able[0]
    return settings.model_copy(update={"template": template.id, "ranker": ranker})
