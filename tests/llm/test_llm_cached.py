"""The cache of reads: same answers, fewer questions, nothing mixed up."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.artifacts.memo import Memo
from genrec.errors import ModelError, WorkspaceError
from genrec.llm.base import LabelChoice
from genrec.llm.cached import CachedModel


class CountingModel:
    """Log-probabilities that are a function of prompt and token; counts what it is asked."""

    name, adapter, context, block, exact = "counting", None, 512, 32, True

    def __init__(self):
        self.asked = []
        self.generated = 0
        self.loaded = 0
        self.closed = False

    async def score_tokens(self, prompts, token_ids, *, cache_salt=None):
        self.asked += [tuple(prompt) for prompt in prompts]
        return np.array([[-(sum(prompt) + token) / 7 for token in token_ids] for prompt in prompts], dtype=np.float32)

    async def generate_labels(self, prompt, labels, k, *, temperature=0.0, seed=0, cache_salt=None):
        self.generated += 1
        for label in range(k):
            yield LabelChoice(label, -0.1 * label - seed)

    async def close(self):
        self.closed = True


def cached(inner, path, fingerprint="m"):
    async def load():
        inner.loaded += 1
        return inner

    return asyncio.run(CachedModel.open(load, path, fingerprint))


def read(model, prompts, token_ids=(1, 2)):
    return asyncio.run(model.score_tokens(prompts, token_ids))


def generate(model, *arguments, **named):
    async def collect():
        return [choice async for choice in model.generate_labels(*arguments, **named)]

    return asyncio.run(collect())


def test_a_second_run_asks_nothing_and_gives_the_same_bits(tmp_path):
    first, second = CountingModel(), CountingModel()
    prompts = [(1, 2, 3), (1, 2, 4)]
    values = read(cached(first, tmp_path / "deep" / "reads.sqlite"), prompts)
    model = cached(second, tmp_path / "deep" / "reads.sqlite")
    assert (read(model, prompts) == values).all()
    assert (values == read(first, prompts)).all()
    assert (second.asked, second.loaded) == ([], 0)
    assert (model.hits, model.misses) == (2, 0)
    assert (model.name, model.adapter, model.context, model.block, model.exact) == ("counting", None, 512, 32, True)


def test_the_engine_is_loaded_once_it_is_needed(tmp_path):
    read(cached(CountingModel(), tmp_path / "reads.sqlite"), [(1,)])
    inner = CountingModel()
    model = cached(inner, tmp_path / "reads.sqlite")
    assert inner.loaded == 0
    read(model, [(2,)])
    generate(model, (1,), (4, 5), 2)
    assert inner.loaded == 1
    other = CountingModel()
    cached(other, tmp_path / "reads.sqlite", "another model")
    assert other.loaded == 1


def test_only_unknown_prompts_are_asked_and_the_order_is_kept(tmp_path):
    inner = CountingModel()
    model = cached(inner, tmp_path / "reads.sqlite")
    read(model, [(5,), (6,)])
    inner.asked.clear()
    values = read(model, [(7,), (6,), (8,), (5,)])
    assert inner.asked == [(7,), (8,)]
    assert (values == read(CountingModel(), [(7,), (6,), (8,), (5,)])).all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 3), max_size=3).map(tuple)), max_size=8),
)
def test_never_mixes_up_prompts_tokens_and_models(tmp_path_factory, calls):
    path = tmp_path_factory.mktemp("cache") / "reads.sqlite"
    models = {name: cached(CountingModel(), path, name) for name in "ab"}
    for token, prompt in calls:
        for model in models.values():
            assert (read(model, [prompt], [token, 9]) == read(CountingModel(), [prompt], [token, 9])).all()
    assert models["a"].misses == models["b"].misses


def test_generations_are_kept_when_complete_only(tmp_path):
    inner = CountingModel()
    model = cached(inner, tmp_path / "reads.sqlite")

    async def stop_early():
        generation = model.generate_labels((1,), (4, 5, 6), 3)
        async for _ in generation:
            break
        await generation.aclose()

    asyncio.run(stop_early())
    whole = generate(model, (1,), (4, 5, 6), 3)
    assert inner.generated == 2
    assert generate(model, (1,), (4, 5, 6), 3) == whole == generate(CountingModel(), (1,), (4, 5, 6), 3)
    assert inner.generated == 2
    assert generate(model, (1,), (4, 5, 6), 2) == whole[:2]
    assert generate(model, (1,), (4, 5, 6), 3, seed=1) != whole
    assert inner.generated == 4


def test_a_failure_of_the_engine_is_not_kept(tmp_path):
    inner = CountingModel()
    model = cached(inner, tmp_path / "reads.sqlite")
    working, inner.score_tokens = inner.score_tokens, failing
    with pytest.raises(ModelError):
        read(model, [(1,)])
    inner.score_tokens = working
    assert read(model, [(1,)]).shape == (1, 2)


def test_the_cache_is_closed_where_the_engine_does_not_load(tmp_path, monkeypatch):
    closed, close = [], Memo.close
    monkeypatch.setattr(Memo, "close", lambda self: closed.append(close(self)))
    with pytest.raises(ModelError):
        asyncio.run(CachedModel.open(failing, tmp_path / "reads.sqlite", "m"))
    assert len(closed) == 1


async def failing(*arguments, **named):
    raise ModelError("down")


def test_no_prompts_give_no_rows_and_closing_closes_the_engine(tmp_path):
    inner = CountingModel()
    model = cached(inner, tmp_path / "reads.sqlite")
    assert read(model, []).shape == (0, 2)
    asyncio.run(model.close())
    assert inner.closed


def test_a_broken_file_is_an_error_with_a_hint(tmp_path):
    (tmp_path / "reads.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(WorkspaceError, match="delete the file"):
        Memo(tmp_path / "reads.sqlite")
