"""An attack put on an item of a slate, and its clean twin: the same slate, with plain words in the same place."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from genrec.domain import Candidate, Candidates, Fact, History, Item
from genrec.evaluation.injection.schema import ITEM_PLACES, Attack, InjectionSuite
from genrec.evaluation.injection.slates import PlainSlate
from genrec.prompting.cases import text_of
from genrec.prompting.render import render
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template
from genrec.prompting.views import GENRE_FIELDS, YEAR_FIELDS
from genrec.ranking.base import RankingTask

HARMLESS = "harmless"
"""Name of the family of additions that attack nothing."""
DOMAINS = ("video", "music", "games", "courses", "")
"""Domains that templates may treat in ways of their own."""
_NAME = re.compile(r"\b[a-z]\w+\b")
_SHOWN = frozenset({*YEAR_FIELDS, *GENRE_FIELDS, "domain"})
"""Fields that are attacked under other names, or hold no text."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One attack on the item in one place of one slate."""

    family: str
    attack: Attack
    number: int
    """Of the attack, over all families."""
    slate: int
    target: int

    @property
    def on_item(self) -> bool:
        """Whether the attack stands in the data of the item; else in what the caller says."""
        return self.attack.place in ITEM_PLACES


def trials_of(suite: InjectionSuite, slates: int) -> list[Trial]:
    """Each attack on `trials` slates: all slates are used about equally often, and so is each place of a slate."""
    attacks = [(name, attack) for name, family in suite.families.items() for attack in family.attacks]
    attacks += [(HARMLESS, Attack(text=text)) for text in suite.harmless]
    trials, places = [], suite.slates.candidates
    for number, (family, attack) in enumerate(attacks):
        for turn in range(min(suite.trials, slates)):
            place = (number + turn * places // suite.trials) % places
            trials.append(Trial(family, attack, number, (number * suite.trials + turn) % slates, place))
    return trials


def pair_of(
    trial: Trial, slate: PlainSlate, template: Template, tokenizer: Tokenizer, plain: str
) -> tuple[RankingTask, RankingTask]:
    """The attacked task and its clean twin.

    The twin of an item has its plain title and genres, a plain text in the field, and a plain title in the evidence.
    The twin of a request or a context names the title without an order: a user may ask for a title, so only what the
    attack adds to that counts. Both are the slate itself where the template does not show the place.
    """
    task, attack = slate.task, trial.attack
    target = task.candidates.items[trial.target].item
    text = hostile(attack, target.title, tokenizer)
    if attack.place == "query":
        return replace(task, query=text), replace(task, query=target.title)
    if attack.place == "context":
        return replace(task, context={"mood": text}), replace(task, context={"mood": target.title})
    if attack.place == "context_name":
        return replace(task, context={text: "good"}), replace(task, context={target.title: "good"})
    if not reads(template, tokenizer, attack.place):
        return task, task
    if attack.place == "evidence":
        seen = task.history.entries[-1].item.title
        attacked, twin = (
            replace(task.candidates.items[trial.target], evidence=(Fact("transitions", "often", title),))
            for title in (f"{seen} {text}", seen)
        )
        return _with(task, trial.target, attacked), _with(task, trial.target, twin)
    plain_item, hostile_item = target, attacked_item(target, attack, text)
    if attack.place == "fields":
        shown = shown_fields(template, tokenizer)
        domain, name = shown[(trial.number + trial.slate) % len(shown)]
        plain_item = replace(target, metadata={**target.metadata, "domain": domain, name: plain})
        hostile_item = replace(target, metadata={**plain_item.metadata, name: f"{plain} {text}"})
    candidate = task.candidates.items[trial.target]
    hostile_task = _with(task, trial.target, replace(candidate, item=hostile_item))
    return hostile_task, _with(task, trial.target, replace(candidate, item=plain_item))


def hostile(attack: Attack, title: str, tokenizer: Tokenizer) -> str:
    """The text of an attack for one item and one model."""
    controls = sorted(tokenizer.control_strings)
    inside = controls[0] if controls else ""
    split = [control[: len(control) // 2] + inside + control[len(control) // 2 :] for control in controls]
    text = attack.text.replace("{controls}", " ".join(controls)).replace("{split_controls}", " ".join(split))
    return text.replace("{title}", title) * attack.repeat


def attacked_item(item: Item, attack: Attack, text: str) -> Item:
    """The item with the hostile text among its genres, or behind its title (unless the text has that in it)."""
    if attack.place != "genres":
        return replace(item, title=text if "{title}" in attack.text else f"{item.title} {text}")
    name = next((name for name in GENRE_FIELDS if item.metadata.get(name)), GENRE_FIELDS[0])
    genres = item.metadata.get(name, ())
    known = genres if isinstance(genres, tuple) else (str(genres),)
    return replace(item, metadata={**item.metadata, name: (*known, text)})


def reads(template: Template, tokenizer: Tokenizer, place: str) -> bool:
    """Whether a template shows what stands in this place; attacks on others are not tried."""
    if place == "fields":
        return bool(shown_fields(template, tokenizer))
    if place == "evidence":
        return "transitions" in template.inputs["candidates"].evidence
    if place == "genres":
        return "genres" in _source(template)
    return place == "title" or place.removesuffix("_name") in template.inputs


@lru_cache(maxsize=256)
def shown_fields(template: Template, tokenizer: Tokenizer) -> tuple[tuple[str, str], ...]:
    """Domains with the metadata fields that a template shows of their items, found by rendering.

    Whatever could be a name in the source is given a value that is looked for in the prompt; `description` stands for
    templates that show any field.
    """
    names = [*dict.fromkeys(_NAME.findall(_source(template))), "description"] if "fields" in _source(template) else []
    values = {name: f"zq{number}qz" for number, name in enumerate(names)}
    candidates = template.inputs["candidates"].model_copy(update={"item_tokens": 10_000})
    budget = template.budget.model_copy(update={"context": 100_000})
    roomy = replace(template, inputs={**template.inputs, "candidates": candidates}, budget=budget)
    found = []
    for domain in DOMAINS if names else ():
        item = Item("", "x", {"domain": domain, **{name: value for name, value in values.items() if name != "domain"}})
        prompt = render(
            roomy, history=History(None), candidates=Candidates((Candidate(item, 0.0),)), tokenizer=tokenizer
        )
        text = text_of(prompt, tokenizer)
        found += [(domain, name) for name, value in values.items() if value in text and name not in _SHOWN]
    return tuple(found)


def _source(template: Template) -> str:
    return "\n".join((template.body, *template.partials.values()))


def _with(task: RankingTask, place: int, candidate: Candidate) -> RankingTask:
    items = list(task.candidates.items)
    items[place] = candidate
    return replace(task, candidates=replace(task.candidates, items=tuple(items)))
