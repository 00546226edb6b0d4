"""Every ranker: valid by construction, whatever the catalogue holds and whatever the model says."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from genrec.domain import Candidates
from genrec.errors import NotFoundError
from genrec.llm.scripted import ScriptedModel
from genrec.prompting.library import TemplateLibrary
from genrec.prompting.rendered import Tokenizer
from genrec.prompting.tokenizer import load_tokenizer
from genrec.ranking.base import RANKERS, Ranker, RankerClass, RankingTask
from genrec.ranking.labels import label_orders
from genrec.ranking.loading import load_ranker
from genrec.settings import RankingSettings
from genrec.testing import RankerContract
from genrec.testing.ranker import task

NAMES = RANKERS.names()
LIBRARY = TemplateLibrary()


@pytest.fixture(scope="session")
def tokenizer(tiny_tokenizer_folder: Path) -> Tokenizer:
    return load_tokenizer(tiny_tokenizer_folder)


def ranker(name: str, tokenizer: Tokenizer, model: ScriptedModel | None = None, **options: int) -> Ranker:
    chosen = RankingSettings(ranker=name, **options)
    return load_ranker(chosen, model or ScriptedModel(block=16), tokenizer, LIBRARY)


def test_the_folder_has_the_three_rankers() -> None:
    assert NAMES == ["listwise", "pointwise", "single_pass"]


@pytest.mark.parametrize("name", NAMES)
class TestRankers(RankerContract):
    trials = 3_400

    @pytest.fixture
    def ranker(self, name: str) -> type[RankerClass]:
        return RANKERS.find(name)

    @pytest.fixture
    def tokenizer(self, tiny_tokenizer_folder: Path) -> Tokenizer:
        return load_tokenizer(tiny_tokenizer_folder)

    def test_is_called_as_its_file(self, name: str, ranker: type[RankerClass]) -> None:
        assert ranker.name == name


def test_pointwise_scores_do_not_depend_on_the_order_of_the_slate(tokenizer: Tokenizer) -> None:
    wanted = task([f"Title {n}" for n in range(20)], ("Seen",))
    turned = RankingTask(wanted.history, Candidates(wanted.candidates.items[::-1]))
    first, second = (asyncio.run(ranker("pointwise", tokenizer).rank(one)).items for one in (wanted, turned))
    assert first == second


def test_pointwise_is_log_odds_of_yes(tokenizer: Tokenizer) -> None:
    model = ScriptedModel(score=lambda prompt, ids: [-1.0, -3.5])
    found = asyncio.run(ranker("pointwise", tokenizer, model).rank(task(["a", "b"])))
    assert [item.score for item in found.items] == [2.5, 2.5]
    assert [item.item_id for item in found.items] == ["id-0", "id-1"]  # a tie goes by id


def test_pointwise_prefix_ends_on_a_block(tokenizer: Tokenizer) -> None:
    prompt = ranker("pointwise", tokenizer, ScriptedModel(block=32)).render(task(["a", "b"], ("c",)))
    assert len(prompt.prefix) % 32 == 0
    assert len(prompt.suffixes) == 2


def test_single_pass_averages_over_orders(tokenizer: Tokenizer) -> None:
    titles = [f"Title {n}" for n in range(6)]
    model = ScriptedModel(3)
    single = ranker("single_pass", tokenizer, model, orders=4)
    found = {item.item_id: item.score for item in asyncio.run(single.rank(task(titles))).items}
    expected = np.zeros(6)
    template, by_hand = TemplateLibrary().get("rank/listwise"), ScriptedModel(3)
    from genrec.ranking.labels import render_task

    for order in label_orders(6, 4, 0):
        prompt = render_task(template, tokenizer, by_hand, task(titles), order)
        for position, label in enumerate(prompt.label_ids):
            expected[position] += asyncio.run(by_hand.score_tokens([prompt.prefix], [label]))[0, 0] / 4
    assert [found[f"id-{n}"] for n in range(6)] == pytest.approx(expected, abs=1e-5)


def test_label_orders_share_their_prefix_up_to_the_candidates(tokenizer: Tokenizer) -> None:
    wanted = task([f"Title {n}" for n in range(8)], ("One", "Two"))
    read: list[Sequence[int]] = []

    def score(prompt: Sequence[int], token_ids: Sequence[int]) -> list[float]:
        read.append(prompt)
        return [0.0] * len(token_ids)

    asyncio.run(ranker("single_pass", tokenizer, ScriptedModel(score=score), orders=2).rank(wanted))
    one, two = read
    shared = next(place for place, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
    text = tokenizer.decode(one[:shared])
    assert "One" in text
    assert "Two" in text


def test_label_orders_are_seeded_permutations() -> None:
    first, again, other = label_orders(10, 3, 1), label_orders(10, 3, 1), label_orders(10, 3, 2)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    assert all(sorted(order.tolist()) == list(range(10)) for order in first)


def test_unknown_ranker(tokenizer: Tokenizer) -> None:
    with pytest.raises(NotFoundError, match="no ranker 'pairwise'"):
        ranker("pairwise", tokenizer)
