"""Systems on the served path: walked once, kept, spoiled by controls, and refused where an adapter may know."""

import json
from dataclasses import replace

import numpy as np
import pytest

from genrec.artifacts.adapters import Card, publish
from genrec.data.sqlite.store import SqliteStore
from genrec.errors import ModelError, SettingsError
from genrec.evaluation import protocol
from genrec.evaluation.suite import runner, served
from genrec.evaluation.suite.runner import run_suite
from genrec.evaluation.suite.schema import Suite
from genrec.fitting.simulated_queries import QuerySimulator
from genrec.llm.scripted import ScriptedModel
from genrec.pipeline.recommender import Recommender
from genrec.scoring.llm_evidence import LlmWeights
from genrec.settings import Settings

LLM = {
    "retriever": {"served": {"orders": "retriever"}},
    "without": {"served": {"orders": "fused_without_llm"}},
    "llm": {"served": {"orders": "llm"}},
    "fused": {"served": {"orders": "fused"}},
    "served": {"served": {"orders": "served"}},
}


@pytest.fixture
def evaluate(workspace):
    """Runs a suite with a scripted model; `models` are those that were loaded."""

    def run(systems=None, model_options=None, progress=None, **given):
        async def load(settings):
            run.models.append(ScriptedModel(block=16, **(model_options or {})))
            run.settings.append(settings)
            return run.models[-1]

        content = {
            "name": "served",
            "description": "",
            "split": {"name": "leave-one-out"},
            "users": {"limit": 8},
            "systems": LLM if systems is None else systems,
            "settings": {"llm": {"slates": 0}},
            **given,
        }
        with SqliteStore(workspace.database) as store:
            settings = Settings.load(workspace.settings_file)
            outcome = run_suite(Suite.model_validate(content), workspace, store, settings, load=load, progress=progress)
            run.exposures = list(store.exposures())
        json.dumps(outcome.result, allow_nan=False)
        return outcome.result

    run.models, run.settings = [], []
    return run


def test_orders_of_one_path_share_a_walk_and_everything_is_accounted_for(evaluate):
    result = evaluate(gates=["validity.invalid == 0", "validity.missing == 0"])
    assert list(result["systems"]) == list(LLM)
    assert len(evaluate.models) == 1
    assert result["validity"] == {"rankings": 8, "invalid": 0, "duplicate": 0, "missing": 0}
    assert [gate["passed"] for gate in result["gates"]] == [True, True]
    assert result["systems"]["retriever"]["ndcg@10"] > 0.5
    assert result["served"]["fused"]["model"] == "scripted"
    assert result["served"]["fused"]["template"]["id"] == "rank/pointwise"
    assert 0 < result["candidate_recall"]["fused"] <= 1
    assert result["tokens"]["prompt"] > result["tokens"]["computed"] > 0
    assert result["latency_ms"]["requests"] == 8
    assert evaluate.exposures == []


def test_the_curve_of_costs_goes_from_none_to_all(evaluate):
    result = evaluate()
    points = result["cost_curve"]["points"]
    assert [points[0]["share_llm"], points[-1]["share_llm"]] == [0, 1]
    assert points[0]["ndcg@10"] == pytest.approx(result["systems"]["without"]["ndcg@10"], abs=1e-5)
    assert points[-1]["ndcg@10"] == pytest.approx(result["systems"]["fused"]["ndcg@10"], abs=1e-5)
    assert all(point["low"] <= point["ndcg@10"] <= point["high"] for point in points)
    assert result["cost_curve"]["default"]["ndcg@10"] == pytest.approx(result["systems"]["served"]["ndcg@10"], abs=1e-5)


def test_slates_that_decide_nothing_need_not_be_read(evaluate):
    every, some = evaluate(), evaluate(reads="decisive")
    for name in LLM:
        for metric in ("ndcg@10", "hr@10"):
            assert some["systems"][name][metric] == every["systems"][name][metric]
    assert some["fallbacks"] == {}
    assert 0 < some["validity"]["rankings"] <= every["validity"]["rankings"]
    assert "reads" in some["definitions"]


def test_what_serving_would_not_read_need_not_be_read(evaluate):
    systems = {name: LLM[name] for name in ("retriever", "without", "served")}
    # A weight is learned from slates; without any all are read.
    some = {"llm": {"slates": 4}}
    every, useful = evaluate(systems, settings=some), evaluate(systems, settings=some, reads="useful")
    for name in systems:
        assert useful["systems"][name]["ndcg@10"] == every["systems"][name]["ndcg@10"]
    assert useful["language_model"]["read"] <= every["language_model"]["read"] == 8
    assert "reads" in useful["definitions"]
    assert "cost_curve" not in useful


def test_orders_that_were_not_read_are_refused(evaluate):
    with pytest.raises(ValueError, match="fused: the order fused needs reads"):
        evaluate(reads="useful")


def test_without_orders_that_need_it_no_model_is_loaded(evaluate):
    result = evaluate({name: LLM[name] for name in ("retriever", "without")})
    assert evaluate.models == []
    assert "validity" not in result
    assert result["served"]["without"] == {"model": None}


def test_the_weight_of_the_model_is_learned_with_the_model(evaluate, workspace):
    result = evaluate({"fused": LLM["fused"]}, settings={"llm": {"slates": 4}})
    reads = result["served"]["fused"]["reads"]
    assert reads["fresh"] > evaluate({"fused": LLM["fused"]})["served"]["fused"]["reads"]["fresh"]


def test_a_second_run_asks_nothing_and_finds_the_same(evaluate):
    first, second = evaluate(seeds=[0, 1]), evaluate(seeds=[0, 1])
    assert len(evaluate.models) == 1
    for key in ("systems", "validity", "latency_ms", "cost_curve", "tokens"):
        assert second[key] == first[key]


def test_an_interrupted_run_goes_on_where_it_stopped(evaluate):
    def stop(what, done, total):
        if what.startswith("asking") and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(progress=stop)
    assert evaluate.models[0].closed
    assert evaluate.models[0].calls == 3
    result = evaluate()
    assert evaluate.models[1].calls == 5
    assert result["validity"]["rankings"] == 8


def test_controls_stand_beside_the_figure_and_shuffled_texts_lose_it(evaluate):
    result = evaluate(controls=["no_history", "shuffled_texts"], seeds=[0, 1])
    assert set(result["controls"]) == {"llm", "fused", "served"}
    table = result["controls"]["llm"]
    assert set(table) == {"llm", "no_history", "shuffled_texts"}
    assert "ndcg@10_vs_llm" in table["no_history"]
    assert "no_history" in result["definitions"]


@pytest.mark.parametrize("ranker", ["pointwise", "single_pass"])
def test_the_place_at_which_an_item_is_shown(evaluate, ranker):
    systems = {"llm": {"served": {"orders": "llm", "ranker": ranker}}}
    result = evaluate(systems, position_bias=True, gates=["label_position.shuffle_effect < 0.01"])
    found = result["position_bias"]["llm"]
    assert sum(found["relevant"]) == round(result["candidate_recall"]["llm"] * 8)
    assert set(found["shuffle_effect"]) == {"mean", "low", "high"}
    if ranker == "pointwise":  # each candidate is read alone, so no place can matter
        assert found["shuffle_effect"]["mean"] == 0
        assert result["gates"][0]["passed"]


def test_requests_in_words_reach_the_prompt_and_are_said_to_be_simulated(evaluate, monkeypatch):
    asked = []
    answer = Recommender.arecommend
    monkeypatch.setattr(QuerySimulator, "query", lambda _, item, *__: f"like {item.title}")

    async def watched(self, request, slate=None):
        asked.append(request.query)
        return await answer(self, request, slate)

    monkeypatch.setattr(Recommender, "arecommend", watched)
    plain = evaluate()
    assert asked == [None] * 8
    result = evaluate(queries="simulated")
    assert len(asked) == 16
    assert all(text.startswith("like Title") for text in asked[8:])
    assert any("simulated" in warning for warning in result["warnings"])
    assert len(evaluate.models) == 2
    assert plain["warnings"] != result["warnings"]
    assert (plain["requests"], result["requests"]) == ("none", "simulated")


def test_failures_are_counted_not_kept_and_total_failure_is_an_error(evaluate):
    result = evaluate(model_options={"fail_at": 5})
    assert result["fallbacks"] == {"engine": 3}
    assert "3 of 8 requests were answered without the language model" in result["warnings"]
    assert evaluate()["fallbacks"] == {}
    with pytest.raises(ModelError, match="ranked no slate at all"):
        evaluate({"llm": {"served": {"orders": "llm", "ranker": "single_pass"}}}, model_options={"fail_at": 0})


@pytest.fixture
def missing(monkeypatch):
    """After a call of it, what the given test users are to find is in no slate: they have had it."""
    true = runner.prepare

    def of(rows):
        def changed(*arguments, **named):
            protocol = true(*arguments, **named)
            split, targets = protocol.split, list(protocol.split.targets)
            for row in range(len(targets))[rows]:
                targets[row] = split.train.item[split.train.rows_of(int(split.users[row]))][:1]
            return replace(protocol, split=replace(split, targets=tuple(targets)))

        monkeypatch.setattr(runner, "prepare", changed)

    return of


def test_answers_of_another_model_are_not_taken_for_its_own(evaluate, monkeypatch):
    evaluate()
    monkeypatch.setattr(served, "identity", lambda settings: "another")
    evaluate()
    assert [model.calls for model in evaluate.models] == [8, 8]


def test_answers_from_before_a_block_are_made_anew(evaluate, workspace):
    evaluate()
    assert evaluate()["served"]["fused"]["reads"]["fresh"] == 0
    with SqliteStore(workspace.database) as store:
        items = [item.id for item in store.all_items()]
        for user in store.interactions().user_ids:
            store.block(str(user), items[::2])
    assert evaluate()["served"]["fused"]["reads"]["fresh"] > 0


def test_answers_of_other_code_are_made_anew(evaluate, monkeypatch):
    assert evaluate()["served"]["fused"]["reads"]["cached"] == 0
    monkeypatch.setattr(served, "code_hash", lambda: "new")
    reads = evaluate()["served"]["fused"]["reads"]
    assert (reads["cached"] > 0, reads["fresh"]) == (True, 0)


def test_other_targets_decide_anew_which_slates_are_read(evaluate, missing, monkeypatch):
    missing(slice(None))
    assert evaluate(reads="decisive")["language_model"]["read"] == 0
    monkeypatch.setattr(runner, "prepare", protocol.prepare)
    assert evaluate(reads="decisive")["validity"]["rankings"] > 0


def test_a_dead_model_is_an_error_however_few_slates_it_was_to_read(evaluate, missing):
    missing(slice(0, None, 2))
    read = evaluate(reads="decisive")["language_model"]["read"]
    assert 0 < read < 8
    with pytest.raises(ModelError, match="ranked no slate at all"):
        evaluate({"llm": {"served": {"orders": "llm", "ranker": "single_pass"}}}, {"fail_at": 0}, reads="decisive")


def test_slates_that_were_not_read_have_no_place_in_position_bias(evaluate, missing):
    missing(slice(0, None, 2))
    result = evaluate({"llm": LLM["llm"]}, reads="decisive", position_bias=True)
    found = result["position_bias"]["llm"]
    assert found["slates"] == result["validity"]["rankings"] == sum(found["relevant"]) < 8


SERVED = {"without": LLM["without"], "served": LLM["served"]}
ALL_METRICS = {"metrics": ["ndcg@5", "coverage@5"], "reads": "useful"}


def test_served_is_what_serving_reads_by_its_settings_and_policy(evaluate, monkeypatch):
    monkeypatch.setattr(LlmWeights, "can_change", lambda *_: False)
    never = evaluate(SERVED, **ALL_METRICS)
    assert never["systems"]["served"]["ndcg@5"] == never["systems"]["without"]["ndcg@5"]
    assert (never["language_model"]["read"], evaluate.models[0].calls) == (0, 0)
    always = evaluate(SERVED, settings={"llm": {"slates": 0, "read": "always"}}, **ALL_METRICS)
    assert always["validity"]["rankings"] == 8
    annotated = {"served": {"served": {"orders": "served", "policy": "annotate"}}}
    assert evaluate(annotated, **ALL_METRICS)["validity"]["rankings"] == 8
    walked = evaluate({"llm": LLM["llm"], "fused": LLM["fused"], "served": annotated["served"]})
    assert walked["systems"]["served"]["ndcg@10"] == walked["systems"]["llm"]["ndcg@10"]


def test_gates_on_reading_say_that_nothing_was_read_and_why(evaluate, monkeypatch):
    asked = {"gates": ["validity.invalid == 0", "label_position.shuffle_effect < 0.01"], "position_bias": True}
    monkeypatch.setattr(LlmWeights, "can_change", lambda *_: False)
    result = evaluate(SERVED, **asked, **ALL_METRICS)
    assert not {"position_bias", "validity", "latency_ms"} & set(result)
    assert [(gate["passed"], "no slate was read" in gate["found"]) for gate in result["gates"]] == [(False, True)] * 2
    monkeypatch.setattr(LlmWeights, "weight", lambda *_: 0.0)
    weightless = evaluate(SERVED, **asked, **ALL_METRICS, seeds=[1])
    assert [(gate["passed"], "weight" in gate["found"]) for gate in weightless["gates"]] == [(True, True)] * 2


def test_lists_that_are_shorter_than_metrics_look_are_a_warning(evaluate):
    said = evaluate({"retriever": LLM["retriever"]})["warnings"]
    assert any(word.startswith("served systems rank 6 items and metrics look at 10") for word in said)
    enough = evaluate({"retriever": LLM["retriever"]}, metrics=["ndcg@6"])["warnings"]
    assert not any("served systems" in word for word in enough)


def card(workspace, **changes):
    with SqliteStore(workspace.database) as store:
        data = {"fingerprint": store.fingerprint()}
    return Card(
        **{
            "base_model": "tiny",
            "recipe": "rank_lora",
            "ranker": "pointwise",
            "template": {"id": "rank/pointwise", "version": 1, "hash": "0"},
            "data": data,
            "held_out": "leave-one-out",
            **changes,
        }
    )


def adapter(workspace, made):
    with publish(workspace.root, "tuned") as folder:
        (folder / "adapter_config.json").write_text("{}")
        (folder / "adapter_model.safetensors").write_bytes(b"")
        if made is not None:
            made.save(folder)


TUNED = {"tuned": {"served": {"orders": "llm", "adapter": "tuned"}}}


def test_an_adapter_of_the_same_training_part_is_used(evaluate, workspace):
    adapter(workspace, card(workspace))
    result = evaluate(TUNED)
    assert "tuned" in evaluate.settings[0].adapter
    assert not any("leak" in warning for warning in result["warnings"] if "across" not in warning)
    assert any("tuned on the template" in warning for warning in result["warnings"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"held_out": "none"}, "with nothing held out"),
        ({"held_out": "temporal"}, "on the training part of temporal"),
        ({"data": {"fingerprint": "other"}}, "on other data"),
        (None, "has no card"),
    ],
)
def test_an_adapter_that_may_have_seen_what_is_to_be_found_is_refused(evaluate, workspace, changes, said):
    adapter(workspace, None if changes is None else card(workspace, **changes))
    with pytest.raises(SettingsError) as caught:
        evaluate(TUNED)
    assert said in caught.value.message
    assert "allow_leak: true" in caught.value.hint
    assert evaluate.models == []
    result = evaluate(TUNED, allow_leak=True)
    assert any(warning.startswith("leak allowed") for warning in result["warnings"])


def test_nor_is_a_model_that_such_an_adapter_was_merged_into(evaluate, workspace, tmp_path):
    card(workspace, held_out="none").save(tmp_path)
    with pytest.raises(SettingsError, match="with nothing held out"):
        evaluate({"merged": {"served": {"orders": "llm", "model": str(tmp_path)}}})


def test_an_innocent_adapter_does_not_hide_the_model_it_is_put_on(evaluate, workspace, tmp_path):
    adapter(workspace, card(workspace))
    card(workspace, held_out="none").save(tmp_path)
    with pytest.raises(SettingsError, match="with nothing held out"):
        evaluate({"both": {"served": {"orders": "llm", "adapter": "tuned", "model": str(tmp_path)}}})


def test_cold_users_are_answered_with_the_history_that_they_bring(evaluate):
    result = evaluate(
        {name: LLM[name] for name in ("retriever", "without")},
        split={"name": "cold-users", "of": "leave-one-out"},
        users={},
    )
    assert 0 < result["users"] < 60
    assert result["systems"]["retriever"]["hr@10"] > 0.5
    assert np.isfinite(result["systems"]["without"]["ndcg@10"])
