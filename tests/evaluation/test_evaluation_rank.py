"""The evaluation of rankings walks the served path, on the training part only, and can be interrupted."""

import json

import pytest

from genrec.data.splits import by_name
from genrec.data.sqlite.store import SqliteStore
from genrec.errors import ModelError
from genrec.evaluation import fits, rank
from genrec.evaluation.replay import Replay
from genrec.llm.scripted import ScriptedModel
from genrec.settings import Settings


@pytest.fixture
def evaluate(workspace, monkeypatch):
    """Runs `evaluate_rank`; `calls` notes the fits, `models` the models that were loaded."""

    def run(split="temporal", users=None, model_options=None, limit=10, **named):
        async def load():
            run.models.append(ScriptedModel(block=16, **(model_options or {})))
            return run.models[-1]

        with SqliteStore(workspace.database) as store:
            result = rank.evaluate_rank(
                store,
                Settings.load(workspace.settings_file),
                split,
                users,
                load=load,
                fingerprint="scripted",
                cache_folder=workspace.root / "cache",
                limit=limit,
                **named,
            )
            run.exposures = list(store.exposures())
        json.dumps(result, allow_nan=False)
        return result

    def watched(interactions, *arguments, **named):
        run.fits.append(interactions)
        return fit(interactions, *arguments, **named)

    fit = fits.fit_log
    monkeypatch.setattr(fits, "fit_log", watched)
    run.models, run.fits, run.exposures = [], [], None
    return run


def test_reports_every_system_over_all_users_and_over_those_it_could_help(evaluate):
    result = evaluate()
    assert list(result["systems"]) == list(rank.SYSTEMS)
    assert result["users"] == 10
    assert 0 < result["in_slate"] <= 10
    assert result["candidate_recall"] == pytest.approx(result["in_slate"] / 10)
    inside = result["subsets"]["target_in_slate"]
    assert inside["users"] == result["in_slate"]
    for name in rank.SYSTEMS:
        whole, part = result["systems"][name], inside["systems"][name]
        if name != "retriever":
            assert whole["ndcg@10"] == pytest.approx(part["ndcg@10"] * inside["users"] / 10, abs=1e-5)
            assert part["hr@10"] == 1
            assert {"mean", "low", "high", "p", "p_holm"} <= set(whole["ndcg@10_vs_retriever"])
    assert result["systems"]["retriever"]["ndcg@10"] > 0.5
    assert set(result["definitions"]) >= {"ndcg", "hr", "mrr", "fused"}
    assert result["model"] == {"name": "scripted", "adapter": None}
    assert result["template"]["id"] == "rank/pointwise"


def test_every_ranking_is_valid_and_everything_is_accounted_for(evaluate):
    result = evaluate()
    assert result["validity"] == {"rankings": 10, "invalid": 0, "duplicate": 0, "missing": 0}
    assert result["fallbacks"] == {}
    assert result["tokens"]["prompt"] > result["tokens"]["computed"] > 0
    assert result["latency_ms"]["requests"] == 10
    assert result["latency_ms"]["llm"]["median"] > 0
    assert result["latency_ms"]["total"]["p95"] >= result["latency_ms"]["llm"]["p95"]
    assert -1 <= result["agreement"]["mean_tau"] <= 1


@pytest.mark.parametrize("split", ["temporal", "leave-one-out"])
def test_nothing_is_fitted_on_or_told_about_what_is_to_be_found(evaluate, workspace, monkeypatch, split):
    histories = []
    one_user = Replay.history

    def watched(walk, row):
        histories.append((row, one_user(walk, row)))
        return histories[-1][1]

    monkeypatch.setattr(Replay, "history", watched)
    (workspace.root / "cache" / "fits").unlink()
    evaluate(split, limit=None)
    with SqliteStore(workspace.database) as store:
        expected = by_name(split, store.interactions())
    assert [len(train) for train in evaluate.fits] == [len(expected.train)]
    assert len(histories) == len(expected.users)
    for row, history in histories:
        done = expected.train.item[expected.train.rows_of(int(expected.users[row]))]
        assert list(history.item_ids()) == [f"i{item}" for item in done]
        assert not {f"i{item}" for item in expected.targets[row]} & set(history.item_ids())


def test_leaves_no_exposures_behind(evaluate):
    evaluate()
    assert evaluate.exposures == []


def test_a_second_run_neither_fits_nor_loads_and_finds_the_same(evaluate, workspace):
    (workspace.root / "cache" / "fits").unlink()
    first = evaluate()
    second = evaluate()
    assert len(evaluate.models) == 1
    assert len(evaluate.fits) == 1
    assert second["systems"] == first["systems"]
    assert second["subsets"] == first["subsets"]
    assert second["validity"] == first["validity"]
    assert second["latency_ms"] == {"requests": 0}


def test_an_interrupted_run_goes_on_where_it_stopped(evaluate):
    def stop(what, done, total):
        if what.startswith("ranking with") and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(progress=stop)
    assert evaluate.models[0].closed
    read_before = evaluate.models[0].calls
    assert evaluate()["latency_ms"]["requests"] == 10 - read_before
    assert evaluate.models[1].calls == 10 - read_before


def test_failures_of_the_model_are_counted_and_total_failure_is_an_error(evaluate):
    result = evaluate(model_options={"fail_at": 7})
    assert result["fallbacks"] == {"engine": 3}
    assert result["validity"]["rankings"] == 7
    assert "3 of 10 requests were answered without the language model" in result["warnings"]
    with pytest.raises(ModelError, match="the scripted model failed"):
        evaluate("leave-one-out", model_options={"fail_at": 0})


def test_the_sample_is_seeded_and_said(evaluate):
    first, second, other = evaluate(limit=5), evaluate(limit=5), evaluate(limit=5, seed=1)
    assert first["systems"] == second["systems"] != other["systems"]
    assert any("a sample of 5 of" in warning for warning in first["warnings"])
    assert evaluate(limit=5, users=["u3", "u4"])["users"] <= 2


@pytest.mark.parametrize("ranker", ["single_pass", "listwise"])
def test_other_rankers(evaluate, workspace, ranker):
    with workspace.settings_file.open("a") as file:
        file.write(f'\n[ranking]\nranker = "{ranker}"\n[llm]\nslates = 0\n')
    result = evaluate(limit=4)
    assert result["ranker"] == ranker
    assert result["validity"] == {"rankings": 4, "invalid": 0, "duplicate": 0, "missing": 0}
