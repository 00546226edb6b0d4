"""Why each item was recommended: in grounded words always, in the language model's own words where they stand a check.

Grounded words say what the system knows, and cannot be false. What a model writes may be: it is given only if it names
no title but those of the history and the answer (see `genrec.explanation.title_check`), and the account of an
explanation says why it was not. What else a model claims of these titles is not checked.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

from genrec.artifacts.models import resolve
from genrec.data.store import Store
from genrec.domain import Candidate, Candidates, Recommendation, RecommendedItem, TemplateRef
from genrec.errors import GuardError, ModelError, NotFoundError, TemplateError
from genrec.explanation.title_check import Titles, words_beside
from genrec.pipeline.recommender import FALLBACKS, RecommendationRequest, Recommender
from genrec.pipeline.slate import Slate
from genrec.prompting.guard import guard
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.phrases import evidence_text
from genrec.prompting.render import render
from genrec.prompting.rendered import RenderedPrompt
from genrec.prompting.tokenizer import ChatTokenizer, load_tokenizer

How = Literal["words", "model"]
"""words: grounded words. model: also what the language model says."""

REASONS, ANSWER = "explain/reasons", "explain/answer"
FEWEST = 3
"""Words that a text must have beside titles."""
LONGEST = 600
"""Characters of one line that a model wrote."""
TITLE = 120
"""Characters of a title in grounded words."""
FOR = {
    "transitions": ("often", "sometimes"),
    "shared_attribute": ("same",),
    "ratings": ("above",),
    "popularity": ("very popular", "popular", "new"),
    "recency": ("rising",),
}
"""Fact that speaks for an item, the most personal first."""
_SOURCES = {
    "query": ("near to what was asked for", "接近所提的要求"),
    "semantic": ("described much like what was chosen before", "描述与以前选过的相近"),
    "repeat": ("chosen before", "以前选过"),
    "popular": ("popular of late", "近来热门"),
    "caller": ("on the list that was given", "在给出的列表里"),
    "": ("the best of what is left", "其余之中最合适的"),
    **dict.fromkeys(
        ("covisit", "ease", "item_knn", "ials", "bpr"),
        ("chosen by people who made similar choices", "选择相似的人也选"),
    ),
}
_PROPOSED = ("proposed by", "推荐来源：")
_HAN = re.compile("[\u3400-\u9fff]")
_UNFINISHED = re.compile(r"(?<=[.!?\n\u3002\uff01\uff1f])[^.!?\n\u3002\uff01\uff1f]*\Z")
"""What the limit of tokens left of a sentence."""
_NUMBERED = re.compile(r"\s*(?:[-*]\s*)?\**(\d{1,3})\**[.):\u3001\uff0e\uff1a]\s*(.+)")


@dataclass(frozen=True, slots=True)
class Account:
    """How an explanation came about.

    `written` are the ids of the items whose first reason the model wrote. `refused` says why what it wrote of others is
    not given, and for how many items: 'another title', 'nothing' (but titles), 'deadline', 'engine', ...
    """

    asked: How
    language: str
    template: TemplateRef | None = None
    written: tuple[str, ...] = ()
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explained:
    """Reasons of the items of an answer by their ids, the model's first. `text` is a whole answer in words, if any."""

    reasons: Mapping[str, tuple[str, ...]]
    account: Account
    text: str | None = None


async def explain(
    recommender: Recommender, request: RecommendationRequest, answer: Recommendation, how: How = "words"
) -> Explained:
    """Reasons for each item of the answer that the recommender gave to the request. Never fails for what a model does.

    With `model` it is asked once for all items. Its sentence about an item comes before the grounded words.
    """
    told = await asyncio.to_thread(Telling.begin, recommender, request, answer)
    if how == "words" or not answer.items:
        return Explained(told.grounded, Account(how, told.language))
    text, template, failed = await told.write(REASONS)
    reasons, written, refused = dict(told.grounded), [], Counter[str]()
    # The first line of a number counts.
    numbered = filter(None, map(_NUMBERED.fullmatch, reversed(text.splitlines())))
    lines = {int(found[1]): found[2] for found in numbered}
    if failed is None:
        titles = await asyncio.to_thread(_titles, recommender)
    for number, item in enumerate(answer.items, start=1):
        line = lines.get(number, "")
        # Another title of the answer in it means that the model mixed up its lines.
        why = failed or told.problem(titles, line, [item])
        if why is None:
            reasons[item.item.id] = (_clean(line), *reasons[item.item.id])
            written.append(item.item.id)
        else:
            refused[why] += 1
    return Explained(reasons, Account(how, told.language, template, tuple(written), dict(refused)))


async def converse(
    recommender: Recommender, request: RecommendationRequest, answer: Recommendation, how: How = "words"
) -> Explained:
    """As `explain`, with a whole answer in words as `text`: the model's, or None where it is not to be given."""
    told = await asyncio.to_thread(Telling.begin, recommender, request, answer)
    if how == "words" or not answer.items:
        return Explained(told.grounded, Account(how, told.language))
    text, template, failed = await told.write(ANSWER)
    text = _UNFINISHED.sub("", text) or text
    why = failed or told.problem(await asyncio.to_thread(_titles, recommender), text, answer.items)
    said = "\n".join(filter(None, map(_clean, text.splitlines())))
    refused = {} if why is None else {why: len(answer.items)}
    return Explained(told.grounded, Account(how, told.language, template, (), refused), None if why else said)


Explaining = Callable[[Recommender, RecommendationRequest, Recommendation, How], Awaitable[Explained]]


async def explained(
    recommender: Recommender, request: RecommendationRequest, how: How | None, explaining: Explaining = explain
) -> tuple[Recommendation, Explained | None]:
    """The answer to a request, and its explanation if one is asked for."""
    answer = await recommender.arecommend(request)
    return answer, None if how is None else await explaining(recommender, request, answer, how)


@dataclass(frozen=True, eq=False)
class Telling:
    """One answer that is explained, with what is known of its items."""

    recommender: Recommender
    request: RecommendationRequest
    answer: Recommendation
    slate: Slate
    grounded: Mapping[str, tuple[str, ...]]
    """Words for each item by its id: one text at least."""
    language: str
    prompts: list[RenderedPrompt] = field(default_factory=list)

    @classmethod
    def begin(cls, recommender: Recommender, request: RecommendationRequest, answer: Recommendation) -> Telling:
        ids = tuple(line.item.id for line in answer.items)
        # What was shown is looked at again as a slate of the caller, which costs no retrieval.
        shown = replace(request, candidate_ids=ids, exclude=(), where={})
        slate = recommender.slate(shown)
        language = _language(recommender, request)
        known = {candidate.item.id: candidate for candidate in slate.candidates.items}
        grounded = {
            line.item.id: tuple(dict.fromkeys(_words(line, known.get(line.item.id), language))) for line in answer.items
        }
        return cls(recommender, request, answer, slate, grounded, language)

    async def write(self, name: str) -> tuple[str, TemplateRef | None, str | None]:
        """What the model writes under the template, the template, and why it wrote nothing."""
        model, settings = self.recommender.model, self.recommender.settings
        if model is None:
            return "", None, "no language model"
        template = None
        try:
            async with asyncio.timeout(settings.llm.deadline_s):
                prompt = await asyncio.to_thread(self.prompt, name)
                template = prompt.template
                self.prompts.append(prompt)
                length = _library(settings.prompts.folder).get(template.id).budget.reserve
                pieces = model.generate_text(prompt.prefix, max_tokens=length, cache_salt=self.request.cache_salt)
                return "".join([piece async for piece in pieces]), template, None
        except (TimeoutError, ModelError, GuardError, TemplateError) as error:
            return "", template, next(reason for kind, reason in FALLBACKS.items() if isinstance(error, kind))

    def problem(self, titles: Titles, text: str, about: Sequence[RecommendedItem]) -> str | None:
        """What is wrong with a text about these items: what it has that was not in its prompt, or that it says nothing.

        It may name them and the titles of the history.
        """
        own = [entry.item.title for entry in self.slate.history.entries] + [line.item.title for line in about]
        own += [guard(title, labels=False) for title in own]  # as the model reads them
        if words_beside(_clean(text), own) < FEWEST:
            return "nothing"
        source = "\n".join(message.content for prompt in self.prompts for message in prompt.messages)
        return titles.foreign(text, own, source)

    def prompt(self, name: str) -> RenderedPrompt:
        settings, model = self.recommender.settings, self.recommender.model
        library = _library(settings.prompts.folder)
        try:
            template = library.get(f"{name}.{self.language}")
        except NotFoundError:
            template = library.get(name)
        known = {candidate.item.id: candidate for candidate in self.slate.candidates.items}
        shown = (known.get(line.item.id) or Candidate(line.item, line.retriever_score) for line in self.answer.items)
        return render(
            template,
            history=self.slate.history,
            candidates=Candidates(tuple(shown)),
            query=self.request.query,
            context=self.request.context,
            tokenizer=_tokenizer(settings.model.name),
            context_tokens=model.context if model else None,
        )


def _words(line: RecommendedItem, candidate: Candidate | None, language: str) -> Iterator[str]:
    """What speaks for an item: that it was asked for, then evidence, else where it came from."""
    where = 1 if language == "zh" else 0
    if "query" in line.sources:
        yield _SOURCES["query"][where]
    facts = {fact.kind: fact for fact in (candidate.evidence if candidate else ())}
    chosen = [facts[kind] for kind, buckets in FOR.items() if kind in facts and facts[kind].bucket in buckets]
    for fact in chosen:
        title = guard(fact.related, max_characters=TITLE, labels=False) or "?"
        yield evidence_text(fact, language, title, guard(fact.field, max_characters=TITLE, labels=False))
    if not chosen:
        for source in line.sources or ("",):
            yield _SOURCES[source][where] if source in _SOURCES else f"{_PROPOSED[where]} {source}"


def _language(recommender: Recommender, request: RecommendationRequest) -> str:
    """That of the request in words where it shows, else that of the ranking template."""
    if request.query and _HAN.search(request.query):
        return "zh"
    if recommender.ranker is None:
        return "en"
    library = _library(recommender.settings.prompts.folder)
    return library.get(recommender.ranker.template.id).language.split("-")[0]


def _clean(text: str) -> str:
    """One harmless line, without marks of emphasis."""
    return guard(text.replace("**", ""), max_characters=LONGEST, labels=False)


_KNOWN: WeakKeyDictionary[Store, tuple[str, Titles]] = WeakKeyDictionary()


def _titles(recommender: Recommender) -> Titles:
    """The titles of the catalogue, as they were when its live version was first explained."""
    version, titles = _KNOWN.get(recommender.store, ("", None))
    if titles is None or version != recommender.version:
        titles = Titles(item.title for item in recommender.store.all_items())
        _KNOWN[recommender.store] = recommender.version, titles
    return titles


@lru_cache(maxsize=8)
def _library(folder: Path | None) -> TemplateLibrary:
    return TemplateLibrary(folder)


@lru_cache(maxsize=8)
def _tokenizer(model: str) -> ChatTokenizer:
    return load_tokenizer(resolve(model))
