"""Built-in suites: `genrec eval retrieval` and `genrec eval rank` judge the served path, on the training part only."""

import json

import pytest

from genrec.data.splits import by_name
from genrec.data.sqlite.store import SqliteStore
from genrec.errors import ModelError, SettingsError
from genrec.evaluation.replay import Replay
from genrec.evaluation.suite.builtin import ORDERS, rank_suite, retrieval_suite
from genrec.evaluation.suite.runner import run_suite
from genrec.fitting import kept
from genrec.llm.scripted import ScriptedModel
from genrec.settings import Settings


@pytest.fixture
def evaluate(workspace, monkeypatch):
    """Runs a built-in suite; `fits` notes the fits, `models` the models that were loaded."""

    def run(suite=None, users=None, model_options=None, limit=10, split="leave-one-out", seed=0, **served):
        async def load(settings):
            run.models.append(ScriptedModel(block=16, **(model_options or {})))
            return run.models[-1]

        chosen = suite or rank_suite(split, limit, seed, served)
        with SqliteStore(workspace.database) as store:
            settings = Settings.load(workspace.settings_file)
            result = run_suite(chosen, workspace, store, settings, load=load, users=users).result
            run.exposures = list(store.exposures())
        json.dumps(result, allow_nan=False)
        return result

    def watched(interactions, *arguments, **named):
        run.fits.append(interactions)
        return fit(interactions, *arguments, **named)

    fit = kept.fit_log
    monkeypatch.setattr(kept, "fit_log", watched)
    run.models, run.fits, run.exposures = [], [], None
    return run


@pytest.mark.parametrize("split", ["leave-one-out", "temporal"])
def test_each_retriever_and_the_blend_find_what_is_certain(evaluate, split):
    result = evaluate(retrieval_suite(("covisit", "popular"), split))
    assert list(result["systems"]) == ["covisit", "popular", "blend"]
    assert result["systems"]["covisit"]["ndcg@10"] > 0.9
    assert result["systems"]["popular"]["ndcg@10"] < 0.6
    assert result["systems"]["blend"]["ndcg@10"] > 0.9
    low, high = result["systems"]["popular"]["ndcg@10_ci"]
    assert low < result["systems"]["popular"]["ndcg@10"] < high
    wanted = {f"{metric}@{k}" for metric in ("hr", "ndcg", "recall", "mrr") for k in (10, 20, 50, 100)}
    assert wanted <= set(result["systems"]["blend"])
    assert {"hr", "ndcg", "recall", "mrr"} <= set(result["definitions"])
    assert evaluate.models == []


def test_a_split_that_there_is_not_is_named():
    with pytest.raises(SettingsError, match=r"eval retrieval: split\.name: .*'leave-one-out'"):
        retrieval_suite(("popular",), "random")


def test_every_order_of_the_slate_is_compared_with_the_retriever(evaluate):
    result = evaluate()
    assert list(result["systems"]) == list(ORDERS)
    assert result["users"] == 10
    assert 0 < result["candidate_recall"]["fused"] <= 1
    for name in ORDERS[1:]:
        assert {"mean", "low", "high", "p", "p_holm"} <= set(result["systems"][name]["ndcg@10_vs_retriever"])
    assert "ndcg@10_vs_fused_without_llm" in result["systems"]["fused"]
    assert result["systems"]["retriever"]["ndcg@10"] > 0.5
    assert result["served"]["fused"]["template"]["id"] == "rank/pointwise"
    assert result["validity"] == {"rankings": 10, "invalid": 0, "duplicate": 0, "missing": 0}
    assert result["fallbacks"] == {}
    assert -1 <= result["agreement"]["mean_tau"] <= 1
    assert evaluate.exposures == []


@pytest.mark.parametrize("split", ["temporal", "leave-one-out"])
def test_nothing_is_fitted_on_or_told_about_what_is_to_be_found(evaluate, workspace, monkeypatch, split):
    histories = []
    one_user = Replay.history

    def watched(replay, row):
        histories.append((row, one_user(replay, row)))
        return histories[-1][1]

    monkeypatch.setattr(Replay, "history", watched)
    (workspace.root / "cache" / "fits").unlink()
    evaluate(split=split, limit=1000)
    with SqliteStore(workspace.database) as store:
        expected = by_name(split, store.interactions())
    assert [len(train) for train in evaluate.fits] == [len(expected.train)]
    assert len(histories) == len(expected.users)
    for row, history in histories:
        done = expected.train.item[expected.train.rows_of(int(expected.users[row]))]
        assert list(history.item_ids()) == [f"i{item}" for item in done]
        assert not {f"i{item}" for item in expected.targets[row]} & set(history.item_ids())


def test_failures_of_the_model_are_counted_and_total_failure_is_an_error(evaluate, workspace):
    with workspace.settings_file.open("a") as file:
        file.write("\n[llm]\nslates = 0\n")
    result = evaluate(model_options={"fail_at": 7}, split="temporal")
    assert result["fallbacks"] == {"engine": 3}
    assert result["validity"]["rankings"] == 7
    assert "3 of 10 requests were answered without the language model" in result["warnings"]
    with pytest.raises(ModelError, match="ranked no slate at all"):
        evaluate(model_options={"fail_at": 0}, ranker="single_pass")


def test_the_sample_is_seeded_and_said(evaluate):
    first, second, other = evaluate(limit=5), evaluate(limit=5), evaluate(limit=5, seed=1)
    assert first["systems"] == second["systems"] != other["systems"]
    assert any("a sample of 5 of" in warning for warning in first["warnings"])
    assert evaluate(limit=5, users=["u3", "u4"])["users"] <= 2


@pytest.mark.parametrize("ranker", ["single_pass", "listwise"])
def test_other_rankers(evaluate, workspace, ranker):
    with workspace.settings_file.open("a") as file:
        file.write("\n[llm]\nslates = 0\n")
    result = evaluate(limit=4, ranker=ranker)
    assert result["served"]["fused"]["ranker"] == ranker
    assert result["validity"] == {"rankings": 4, "invalid": 0, "duplicate": 0, "missing": 0}
