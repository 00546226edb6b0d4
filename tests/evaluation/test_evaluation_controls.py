"""Controls: what each changes, what it must leave alone, and that it takes the signal away."""

import asyncio
import math
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.domain import Candidate, Candidates, Fact, History, HistoryEntry, Item
from genrec.evaluation.controls import CONTROLS, DEFINITIONS, invented_title
from genrec.evaluation.replay import RecordingRanker
from genrec.llm.scripted import ScriptedModel
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.tokenizer import load_tokenizer
from genrec.ranking.base import RankingTask
from genrec.ranking.loading import load_ranker
from genrec.settings import RankingSettings


def item(number):
    return Item(f"i{number}", f"Famous film {number} (19{70 + number})", {"genres": (f"g{number}",)}, number % 2 == 0)


def task_of(n_events=6, n_candidates=5, user="u"):
    entries = tuple(HistoryEntry(item(n), 100.0 * n, "rating", float(n)) for n in range(n_events))
    slate = tuple(Candidate(item(10 + n), 1 / (n + 1), {"covisit": n}) for n in range(n_candidates))
    return RankingTask(History(user, entries), Candidates(slate), "funny", {"time": "night"}, 3, "salt")


tasks = st.builds(task_of, st.integers(0, 9), st.integers(0, 9), st.sampled_from(["u", "v", None]))


@given(task=tasks, name=st.sampled_from(sorted(CONTROLS)), seed=st.integers(0, 2**40))
def test_ids_scores_and_request_stay_and_the_seed_decides(task, name, seed):
    changed = CONTROLS[name](task, seed)
    assert changed == CONTROLS[name](task, seed)
    assert [(one.item.id, one.item.sponsored, one.score, one.sources) for one in changed.candidates.items] == [
        (one.item.id, one.item.sponsored, one.score, one.sources) for one in task.candidates.items
    ]
    for field in ("query", "context", "seed", "cache_salt"):
        assert getattr(changed, field) == getattr(task, field)
    assert changed.history.user_id == task.history.user_id
    times = [entry.timestamp for entry in changed.history.entries]
    assert times == sorted(times)


def test_renamed_titles_are_consistent_and_keep_all_but_the_title():
    task = task_of()
    task = RankingTask(task.history, Candidates((Candidate(task.history.entries[0].item, 1.0), *task.candidates.items)))
    changed = CONTROLS["renamed_titles"](task, 1)
    assert changed.candidates.items[0].item == changed.history.entries[0].item
    before = [entry.item for entry in task.history.entries] + [one.item for one in task.candidates.items]
    after = [entry.item for entry in changed.history.entries] + [one.item for one in changed.candidates.items]
    for old, new in zip(before, after, strict=True):
        assert new.metadata == old.metadata
        assert new.title[-7:] == old.title[-7:], "the year is a fact, no name"
        assert not set(new.title.lower()[:-7].split()) & set(old.title.lower().split())
    assert len({one.title for one in after}) == len({one.id for one in after})
    assert [entry.value for entry in changed.history.entries] == [entry.value for entry in task.history.entries]
    other = CONTROLS["renamed_titles"](task_of(user="v"), 1)
    assert other.history.entries[2].item == changed.history.entries[2].item
    assert CONTROLS["renamed_titles"](task, 2).history.entries[2].item.title != changed.history.entries[2].item.title


def test_invented_titles_rarely_meet():
    titles = {invented_title(f"i{number}", 0) for number in range(20_000)}
    assert len(titles) > 19_990
    assert all(len(title) == 13 and title.istitle() for title in titles)


def test_shuffled_history_keeps_every_event_and_loses_the_order():
    task = task_of(30)
    changed = CONTROLS["shuffled_history"](task, 0)
    events = [(entry.item, entry.event_type, entry.value) for entry in task.history.entries]
    shuffled = [(entry.item, entry.event_type, entry.value) for entry in changed.history.entries]
    assert shuffled != events
    assert sorted(shuffled, key=lambda event: event[2]) == events
    assert changed.candidates == task.candidates
    assert CONTROLS["shuffled_history"](task, 1) != changed
    assert [e.item.id for e in CONTROLS["shuffled_history"](task_of(30, user="v"), 0).history.entries] != [
        e.item.id for e in changed.history.entries
    ], "users have orders of their own"


def test_shuffled_texts_put_a_card_under_every_id_with_equal_chance():
    places = Counter()
    for seed in range(2000):
        task = task_of(n_candidates=4)
        changed = CONTROLS["shuffled_texts"](task, seed)
        cards = [(one.item.title, one.item.metadata) for one in changed.candidates.items]
        own = [(one.item.title, one.item.metadata) for one in task.candidates.items]
        assert sorted(cards, key=str) == sorted(own, key=str)
        assert changed.history == task.history
        places[cards.index(own[0])] += 1
    assert set(places) == {0, 1, 2, 3}
    assert max(abs(count - 500) for count in places.values()) < 4 * math.sqrt(2000 * 0.25 * 0.75)


def test_no_history_takes_the_events_and_nothing_else():
    task = task_of()
    changed = CONTROLS["no_history"](task, 0)
    assert changed.history == History("u")
    assert changed.candidates == task.candidates


def test_every_control_is_explained():
    assert set(DEFINITIONS) == set(CONTROLS) == {"renamed_titles", "shuffled_history", "shuffled_texts", "no_history"}


def controlled(ranker, control, seed=0):
    return RecordingRanker(ranker, partial(CONTROLS[control], seed=seed))


@pytest.fixture(scope="session")
def tokenizer(tiny_tokenizer_folder):
    return load_tokenizer(tiny_tokenizer_folder)


def genre_reader(tokenizer):
    """A model that says yes where the last genre of the history is that of the candidate."""

    def score(prompt, token_ids):
        lines = tokenizer.decode(prompt).splitlines()
        wanted = [line for line in lines if line.startswith("- ")][-1].rpartition(", ")[2]
        asked = next(line for line in lines if line.startswith("Next: ")).rpartition(", ")[2].split("?")[0]
        same = wanted == asked
        return [-0.1, -3.0] if same else [-3.0, -0.1]

    return score


def found_first(tokenizer, control, users=120, n=5):
    """Share of users whose target is ranked first: it has the genre of the event before."""
    model = ScriptedModel(score=genre_reader(tokenizer), block=16)
    ranker = load_ranker(RankingSettings(ranker="pointwise"), model, tokenizer, TemplateLibrary())
    if control is not None:
        ranker = controlled(ranker, control, seed=5)
    hits = 0
    for user in range(users):
        entries = [HistoryEntry(Item(f"h{k}", f"Seen {k}", {"genres": (f"a{k}",)}), float(k)) for k in range(n)]
        # Ids are in no order of the slate, because equal scores go by id.
        slate = [Candidate(Item(f"{(k * 3 + user) % n}", f"New {k}", {"genres": (f"a{k}",)}), 1.0) for k in range(n)]
        wanted = user % n
        entries.append(HistoryEntry(Item("l", "Last", {"genres": (f"a{wanted}",)}), 99.0))
        task = RankingTask(History(f"u{user}", tuple(entries)), Candidates(tuple(slate)))
        told = []
        found = asyncio.run(ranker.rank(task, 1, told.append))
        assert list(found.items) == told
        hits += found.items[0].item_id == slate[wanted].item.id
    return hits / users


def test_a_model_that_reads_the_cards_is_found_out(tokenizer):
    """It lives on the last event and the cards, not on names: each control takes away what it says it does."""
    assert found_first(tokenizer, None) == 1
    assert found_first(tokenizer, "renamed_titles") == 1
    chance, spread = 1 / 5, 4 * math.sqrt(0.2 * 0.8 / 120)
    assert found_first(tokenizer, "shuffled_texts") == pytest.approx(chance, abs=spread)
    assert found_first(tokenizer, "no_history") == pytest.approx(chance, abs=spread)
    assert found_first(tokenizer, "shuffled_history") < 0.6


def test_a_model_that_remembers_titles_is_found_out(tokenizer):
    def score(prompt, token_ids):
        asked = next(line for line in tokenizer.decode(prompt).splitlines() if line.startswith("Next: "))
        return [-0.1, -3.0] if "Famous film 12" in asked else [-3.0, -0.1]

    ranker = load_ranker(RankingSettings(ranker="pointwise"), ScriptedModel(score=score), tokenizer, TemplateLibrary())
    task = task_of()

    def scores(one):
        return {found.item_id: found.score for found in asyncio.run(one.rank(task)).items}

    assert len(set(scores(ranker).values())) == 2
    assert len(set(scores(controlled(ranker, "no_history")).values())) == 2, "it never was the history"
    assert len(set(scores(controlled(ranker, "renamed_titles")).values())) == 1
    assert controlled(ranker, "renamed_titles").template == ranker.template
    rendered = controlled(ranker, "renamed_titles").render(task)
    assert "Famous" not in tokenizer.decode(rendered.prefix)


def test_evidence_goes_the_way_of_what_it_speaks_of():
    task = task_of(n_events=3, n_candidates=4)
    known = task.history.entries[1].item.title
    slate = tuple(
        replace(
            candidate,
            evidence=(
                Fact("transitions", "often", known),
                Fact("popularity", ("popular", "new", "little known", "very popular")[place]),
                Fact("ratings", "above the user's mean"),
            ),
        )
        for place, candidate in enumerate(task.candidates.items)
    )
    task = replace(task, candidates=Candidates(slate), history=replace(task.history, evidence=(Fact("habits", "x"),)))

    renamed = CONTROLS["renamed_titles"](task, 1)
    told = {fact.related for one in renamed.candidates.items for fact in one.evidence if fact.related}
    assert told == {renamed.history.entries[1].item.title} != {known}

    moved = False
    for seed in range(5):
        shuffled = CONTROLS["shuffled_texts"](task, seed)
        by_title = {one.item.title: one.evidence for one in task.candidates.items}
        assert all(one.evidence == by_title[one.item.title] for one in shuffled.candidates.items)
        moved |= [one.evidence for one in shuffled.candidates.items] != [one.evidence for one in slate]
    assert moved

    alone = CONTROLS["no_history"](task, 1)
    assert alone.history.evidence == ()
    assert [[fact.kind for fact in one.evidence] for one in alone.candidates.items] == [["popularity"]] * 4
