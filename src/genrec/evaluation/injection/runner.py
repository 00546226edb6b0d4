"""Runs a suite of attacks: every template is rendered under all of them, and every ranker that reads it ranks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from genrec.artifacts import adapters
from genrec.artifacts.models import resolve
from genrec.artifacts.workspace import Workspace
from genrec.data.store import Store
from genrec.errors import NotFoundError
from genrec.evaluation.injection.attacks import Trial, pair_of, reads, trials_of
from genrec.evaluation.injection.judge import result, values
from genrec.evaluation.injection.measure import Effect, at_once, effect
from genrec.evaluation.injection.rendering import NAMES, damage
from genrec.evaluation.injection.schema import InjectionSuite
from genrec.evaluation.injection.slates import PlainSlate, draw_slates
from genrec.evaluation.injection.together import BatchingModel
from genrec.evaluation.suite.runner import Outcome
from genrec.evaluation.suite.served import Load
from genrec.llm.cached import CachedModel
from genrec.llm.identity import identity
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.template import Template
from genrec.prompting.tokenizer import load_tokenizer
from genrec.ranking.base import RANKERS
from genrec.ranking.loading import load_ranker
from genrec.settings import Settings
from genrec.text.encoders import Progress


@dataclass(eq=False)
class Found:
    """What was found so far: damage by kind and template, and effects of each template under each ranker."""

    damage: dict[str, Counter[str]] = field(default_factory=dict)
    tried: dict[str, list[Trial]] = field(default_factory=dict)
    effects: dict[str, list[tuple[Trial, Effect]]] = field(default_factory=dict)


def run_injection(
    suite: InjectionSuite,
    workspace: Workspace,
    store: Store,
    settings: Settings,
    *,
    load: Load,
    users: Sequence[str] | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Attacks all templates of the suite on slates of the workspace's users (of the given ones, at most `limit`).

    Every read of the language model is kept in the workspace's cache, so a run that was interrupted goes on where it
    stopped. Raises DataError without users, NotFoundError without templates, and what models and templates raise.
    """
    chosen = adapters.resolved(workspace.root, suite.settings_for(settings))
    tokenizer = load_tokenizer(resolve(chosen.model.name))
    library = TemplateLibrary(chosen.prompts.folder)
    templates = [library.get(name) for name in library.ids() if suite.takes(name)]
    if not templates:
        raise NotFoundError(f"no template is called {' or '.join(suite.templates)}", "genrec prompt list shows them")
    spec = suite.slates if limit is None else suite.slates.model_copy(update={"users": min(limit, suite.slates.users)})
    slates = draw_slates(store, spec, users)
    trials, found = trials_of(suite, len(slates)), Found()
    for template in templates:
        _render(suite, template, tokenizer, slates, trials, found, progress)
    with asyncio.Runner() as runner:
        cached = runner.run(
            CachedModel.open(
                lambda: load(chosen.model), workspace.root / "cache" / "reads.sqlite", identity(chosen.model)
            )
        )
        try:
            model = BatchingModel(cached)
            for template in templates:
                for name in suite.rankers:
                    if RANKERS.find(name).reads == template.output.kind:
                        ranking = chosen.ranking.model_copy(update={"ranker": name, "template": template.id})
                        ranker = load_ranker(ranking, model, tokenizer, library)
                        measured = found.effects.setdefault(f"{template.id} {name}", [])
                        for number, slate in enumerate(slates):
                            tried = [trial for trial in found.tried[template.id] if trial.slate == number]
                            pairs = [pair_of(trial, slate, template, tokenizer, suite.plain) for trial in tried]
                            effects = (
                                effect(ranker, *pair, trial.target) for trial, pair in zip(tried, pairs, strict=True)
                            )
                            measured += zip(tried, runner.run(at_once(effects)), strict=True)
                            if progress:
                                progress(f"{template.id}, {name}", number + 1, len(slates))
            facts = {
                "model": cached.name,
                "adapter": cached.adapter,
                "reads": {"cached": cached.hits, "fresh": cached.misses},
            }
        finally:
            runner.run(cached.close())
    users_of = tuple(slate.user_id for slate in slates)
    return Outcome(result(suite, users_of, found.damage, found.effects, facts), values(found.effects, users_of))


def _render(
    suite: InjectionSuite,
    template: Template,
    tokenizer: Tokenizer,
    slates: Sequence[PlainSlate],
    trials: Sequence[Trial],
    found: Found,
    progress: Progress | None,
) -> None:
    """Renders all attacks on what the template shows; those that have no prompt are not ranked with."""
    trials = [trial for trial in trials if reads(template, tokenizer, trial.attack.place)]
    counted, tried = found.damage.setdefault(template.id, Counter(trials=len(trials))), []
    for done, trial in enumerate(trials, 1):
        pair = pair_of(trial, slates[trial.slate], template, tokenizer, suite.plain)
        seen = damage(template, tokenizer, trial.attack, *pair)
        counted.update({name: getattr(seen, name) for name in NAMES})
        if not (seen.refused or seen.code):
            tried.append(trial)
        if progress:
            progress(f"rendering {template.id}", done, len(trials))
    found.tried[template.id] = tried
