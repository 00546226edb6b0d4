"""An attack put on an item of a slate, and its clean twin: the same slate, with plain words in the same place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from genrec.domain import Item, MetadataValue
from genrec.evaluation.injection.schema import ITEM_PLACES, Attack, InjectionSuite
from genrec.evaluation.injection.slates import PlainSlate
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template
from genrec.prompting.views import GENRE_FIELDS
from genrec.ranking.base import RankingTask

HARMLESS = "harmless"
"""Name of the family of additions that attack nothing."""
_FIELD = re.compile(r"""\bfields(?:\.get\(\s*|\.|\[\s*)["']?(?!items\b|get\b|keys\b|values\b)(\w+)""")


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

    The twin of an item has its plain title, genres, and a plain text in the fields. The twin of a request or a context
    names the title without an order: a user may ask for a title, so only what the attack adds to that counts.
    """
    task, attack = slate.task, trial.attack
    target = task.candidates.items[trial.target].item
    text = hostile(attack, target.title, tokenizer)
    if attack.place == "request":
        return replace(task, request=text), replace(task, request=target.title)
    if attack.place == "context":
        return replace(task, context={"mood": text}), replace(task, context={"mood": target.title})
    if attack.place == "context_name":
        return replace(task, context={text: "good"}), replace(task, context={target.title: "good"})
    names = shown_fields(template) if attack.place == "fields" else ()
    twin = replace(target, metadata={**target.metadata, **dict.fromkeys(names, plain)})
    return _with(task, trial.target, attacked_item(twin, attack, text, names)), _with(task, trial.target, twin)


def hostile(attack: Attack, title: str, tokenizer: Tokenizer) -> str:
    """The text of an attack for one item and one model."""
    controls = sorted(tokenizer.control_strings)
    inside = controls[0] if controls else ""
    split = [control[: len(control) // 2] + inside + control[len(control) // 2 :] for control in controls]
    text = attack.text.replace("{controls}", " ".join(controls)).replace("{split_controls}", " ".join(split))
    return text.replace("{title}", title) * attack.repeat


def attacked_item(item: Item, attack: Attack, text: str, fields: Sequence[str] = ()) -> Item:
    """The item with the hostile text behind its own title (unless the text has it), genres, or fields."""
    if attack.place == "title":
        return replace(item, title=text if "{title}" in attack.text else f"{item.title} {text}")
    metadata: dict[str, MetadataValue] = dict(item.metadata)
    if attack.place == "fields":
        return replace(item, metadata={**metadata, **{name: f"{metadata[name]} {text}" for name in fields}})
    name = next((name for name in GENRE_FIELDS if metadata.get(name)), GENRE_FIELDS[0])
    genres = metadata.get(name, ())
    known = genres if isinstance(genres, tuple) else (str(genres),)
    return replace(item, metadata={**metadata, name: (*known, text)})


def shown_fields(template: Template) -> tuple[str, ...]:
    """Metadata fields that a template names, or `description` where it shows whatever there is; none if it has none."""
    texts = "\n".join((template.body, *template.partials.values()))
    names = tuple(dict.fromkeys(_FIELD.findall(texts)))
    return names or (("description",) if re.search(r"\bfields\b", texts) else ())


def _with(task: RankingTask, place: int, item: Item) -> RankingTask:
    items = list(task.candidates.items)
    items[place] = replace(items[place], item=item)
    return replace(task, candidates=replace(task.candidates, items=tuple(items)))
