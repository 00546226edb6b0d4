"""`genrec prompt eval` on a tiny workspace with a scripted model: paired, kept, resumed, and never stale."""

import json
import re
import shutil

import numpy as np
import pytest

from genrec.cli.main import main
from genrec.data.sqlite.store import SqliteStore
from genrec.errors import ModelError, NotFoundError, SettingsError
from genrec.evaluation.suite.runner import context_of
from genrec.evaluation.suite.schema import SplitSpec
from genrec.evaluation.templates.evaluate import DEFINITIONS, evaluate_prompts
from genrec.evaluation.templates.reading import OWN_LOG
from genrec.evaluation.templates.sides import sides
from genrec.evaluation.values import UserValues
from genrec.evaluation.verdicts import NOT_SEEN, in_words, verdicts
from genrec.llm import loading
from genrec.llm.scripted import ScriptedModel
from genrec.prompting.library import shipped_folder
from genrec.settings import Settings

SUITE = OWN_LOG.model_copy(update={"split": SplitSpec(name="leave-one-out")})
NEW, OLD = "rank/pointwise.zh", "rank/pointwise"


@pytest.fixture
def evaluate(workspace):
    """Compares two templates; `models` are those that were loaded."""

    def run(new=NEW, old=OLD, folder=None, model_options=None, suite=SUITE, limit=6, progress=None, **given):
        async def load(settings):
            run.models.append(ScriptedModel(block=16, **(model_options or {})))
            return run.models[-1]

        settings = suite.settings_for(Settings.load(workspace.settings_file))
        with SqliteStore(workspace.database) as store:
            pair = sides(settings, new, old, folder)
            context = context_of(suite, workspace, store, settings, limit=limit, progress=progress)
            found = evaluate_prompts(pair, suite, context, load=load, **given)
            run.exposures = list(store.exposures())
        json.dumps(found.result, allow_nan=False)
        run.values = found.values
        return found.result

    run.models = []
    return run


def edited(folder, template_id=OLD, old="Yes", new="Yes", version=None):
    """A local folder with one template in which a text is replaced."""
    target = folder / f"{template_id}.prompt"
    target.parent.mkdir(parents=True, exist_ok=True)
    text = (shipped_folder() / f"{template_id}.prompt").read_text("utf-8")
    assert old in text
    text = text.replace(old, new, 1)
    if version is not None:
        text = re.sub(r"^version: \d+", f"version: {version}", text, flags=re.MULTILINE)
    target.write_text(text, "utf-8")
    return folder


def test_everything_is_judged_paired_by_user_with_a_verdict(evaluate):
    result = evaluate()
    assert result["users"] == 6
    assert list(result["systems"]) == [NEW, OLD]
    metrics = [row["metric"] for row in result["verdicts"]]
    assert metrics == ["ndcg@10", "hr@10", *DEFINITIONS, "coverage@10"]
    rows = {row["metric"]: row for row in result["verdicts"]}
    for row in rows.values():
        assert row["low"] <= row["mean"] <= row["high"]
        assert row["mean"] == pytest.approx(row["after"] - row["before"], abs=2e-6)
        assert row["p_holm"] >= row["p"]
    assert rows["validity"]["before"] == rows["validity"]["after"] == 1
    assert rows["validity"]["verdict"] == NOT_SEEN
    assert rows["prompt tokens"]["verdict"] in ("better", "worse")
    assert result["prompt"]["id"] == NEW
    assert result["prompt"]["against"]["id"] == OLD
    assert result["prompt"]["verdict"] == rows["ndcg@10"]["verdict"]
    assert evaluate.exposures == []
    assert len(evaluate.models) == 2
    assert all(model.closed for model in evaluate.models)


def test_the_values_of_users_are_those_of_the_table(evaluate):
    result = evaluate()
    values: UserValues = evaluate.values
    for name, row in result["systems"].items():
        means = values.of_system[name].mean(axis=0)
        for column, mean in zip(values.columns, means, strict=True):
            assert row[column] == pytest.approx(mean, abs=1e-6)
    difference = values.of_system[NEW][:, 0] - values.of_system[OLD][:, 0]
    assert result["verdicts"][0]["mean"] == pytest.approx(difference.mean(), abs=1e-6)


def test_a_second_run_asks_nothing_and_finds_the_same(evaluate):
    first, second = evaluate(seeds=(0, 1)), evaluate(seeds=(0, 1))
    assert len(evaluate.models) == 2
    for key in ("systems", "verdicts", "ranks"):
        assert second[key] == first[key]


def test_an_interrupted_run_goes_on_where_it_stopped(evaluate):
    def stop(what, done, total):
        if what == f"{OLD}: users" and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(progress=stop)
    assert [model.calls for model in evaluate.models] == [6, 4]
    assert all(model.closed for model in evaluate.models)
    result = evaluate()
    assert [model.calls for model in evaluate.models] == [6, 4, 2]
    assert result["verdicts"][2]["after"] == 1


def test_an_edited_file_is_compared_with_the_live_one_of_its_id(evaluate, tmp_path):
    folder = edited(tmp_path / "edited", old="You", new="You, friend,")
    result = evaluate(OLD, None, folder)
    new, old = result["templates"]
    assert new["id"] == old["id"] == OLD
    assert new["hash"] != old["hash"]
    assert new["name"] != old["name"]
    tokens = next(row for row in result["verdicts"] if row["metric"] == "prompt tokens")
    assert tokens["mean"] > 0
    # The same file edited again: what was kept of its first text must not answer for the second.
    edited(folder, old="You", new="You, dear and good old friend,")
    again = next(row for row in evaluate(OLD, None, folder)["verdicts"] if row["metric"] == "prompt tokens")
    assert again["before"] == tokens["before"]
    assert again["after"] > tokens["after"]


def test_sides_are_named_by_what_tells_them_apart(tmp_path):
    folder = edited(tmp_path, old="You", new="You there,", version=99)
    settings = Settings()
    assert [side.name for side in sides(settings, NEW)] == [NEW, OLD]
    assert sides(settings, None, NEW)[0].name == OLD
    new, old = sides(settings, OLD, None, folder)
    assert (new.name, new.template.version) == (f"{OLD}@99", 99)
    assert old.name == f"{OLD}@{old.template.version}"
    assert sides(settings, f"{OLD}@{folder}", OLD)[0].template.ref == new.template.ref
    assert sides(settings, "rank/listwise")[0].settings.ranking.ranker == "listwise"


@pytest.mark.parametrize(
    ("new", "kind", "said"),
    [
        (None, SettingsError, "both templates are rank/pointwise"),
        ("rank/gone", NotFoundError, "no template 'rank/gone'"),
        ("explain/reasons", NotFoundError, "does not rank"),
    ],
)
def test_sides_that_cannot_be_compared(new, kind, said):
    with pytest.raises(kind, match=said):
        sides(Settings(), new)


def test_the_order_as_served_learns_the_weight_of_each_template(evaluate):
    suite = SUITE.model_copy(update={"settings": {"llm": {"slates": 4}}})
    result = evaluate(suite=suite, fused=True)
    assert [row["metric"] for row in result["verdicts"]][2:4] == ["ndcg@10 as served", "hr@10 as served"]
    assert result["verdicts"][2]["better"] == "higher"
    reads = [model.calls for model in evaluate.models]
    evaluate(suite=suite)
    assert [model.calls for model in evaluate.models][: len(reads)] == reads
    assert min(reads) > 6


def test_slates_that_decide_nothing_are_spared_where_the_suite_says_so(evaluate):
    every, some = evaluate(), evaluate(suite=SUITE.model_copy(update={"reads": "decisive"}))
    assert some["verdicts"][0]["mean"] == every["verdicts"][0]["mean"]
    assert "coverage@10" not in [row["metric"] for row in some["verdicts"]]
    assert some["ranks"]["users"] <= every["ranks"]["users"]


def test_a_template_that_ranks_nothing_is_an_error_and_one_that_fails_at_times_is_less_valid(evaluate):
    with pytest.raises(ModelError, match="ranked no slate at all"):
        evaluate(model_options={"fail_at": 0})
    result = evaluate(model_options={"fail_at": 3})
    validity = next(row for row in result["verdicts"] if row["metric"] == "validity")
    assert (validity["before"], validity["after"]) == (0.5, 0.5)
    assert any(warning == f"{NEW} ranked 3 of 6 slates only" for warning in result["warnings"])


def test_verdicts_are_adjusted_for_all_rows_together():
    def row(mean, p):
        return {"mean": mean, "low": mean - 1, "high": mean + 1, "p": p, "mdd": 0.1, "users_needed": 1234}

    table = {
        "old": {"ndcg@10": 0.5, "llm ms": 9.0, "agreement": 0.1, "hr@10": None},
        "new": {
            "ndcg@10_vs_old": row(0.2, 0.01),
            "llm ms_vs_old": row(3.0, 0.001),
            "agreement_vs_old": row(-0.1, 0.04),
        },
    }
    better = {"ndcg@10": "higher", "llm ms": "lower", "agreement": "neither", "hr@10": "higher"}
    found = {one["metric"]: one for one in verdicts(table, [("new", "old")], list(better), better)}
    # Holm over three p: .001 * 3, .01 * 2, .04 * 1.
    assert [found[name]["p_holm"] for name in ("llm ms", "ndcg@10", "agreement")] == [0.003, 0.02, 0.04]
    assert [found[name]["verdict"] for name in better] == ["better", "worse", "lower", "not measured"]
    table["new"]["ndcg@10_vs_old"]["p"] = 0.03
    (first, *_) = verdicts(table, [("new", "old")], list(better), better)
    assert first["p_holm"] == 0.06
    assert in_words(first) == "no difference seen; 1,234 users would settle +0.2000"


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["prompt", *map(str, arguments)])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.fixture
def scripted(monkeypatch):
    async def load(settings, *, adapter_path=None):
        return ScriptedModel(block=16)

    monkeypatch.setattr(loading, "load", load)


@pytest.fixture
def suite_file(tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text("name: tiny\ndescription: ''\nsplit: {name: leave-one-out}\nsystems: {llm: {served: {}}}\n")
    return file


def test_the_command_leaves_a_run_and_a_page(capsys, workspace, scripted, suite_file, tmp_path):
    common = ("--suite", suite_file, "--workspace", workspace.root, "--users", 5)
    page = tmp_path / "page.html"
    code, out, err = run(capsys, "eval", NEW, "--against", OLD, *common, "--json", "-", "--report", page)
    assert code == 0
    result = json.loads(out)
    (folder,) = workspace.runs.iterdir()
    assert json.loads((folder / "record.json").read_text("utf-8")) == result
    assert result["kind"] == "prompt"
    assert result["prompt"]["id"] == NEW
    text = page.read_text("utf-8")
    assert (folder / "report.html").read_text("utf-8") == text
    assert NEW in text
    assert not re.search(r'(src|href)="(?!#)|url\(|@import|<script', text)
    assert "only 5 test users" in err
    shutil.rmtree(folder)
    code, out, _ = run(capsys, "eval", NEW, *common)
    assert code == 0
    assert "ndcg@10" in out
    assert "Kendall" in out


def test_diff_shows_what_moves_for_users(capsys, workspace, scripted, tmp_path):
    common = ("--case", "typical", "--workspace", workspace.root)
    code, out, err = run(capsys, "diff", OLD, NEW, *common, "--users", 5)
    assert code == 0
    text, _, ranks = out.partition("order of slates, 5 users: Kendall's tau ")
    assert text.startswith(f"{OLD}@")
    assert "tokens" in text
    assert re.search(r"^ +[+-]\d\.\d  Title \d+  \(\d slates\)$", ranks, re.MULTILINE)
    assert "only 5 test users" in err
    _, out, _ = run(capsys, "diff", NEW, OLD, *common, "--users", 5, "--json", "-")
    back = json.loads(out)
    assert [case["name"] for case in back["cases"]] == ["typical"]
    assert back["ranks"]["users"] == 5
    assert -1 <= back["ranks"]["tau"] <= 1
    up = {mover["item_id"]: mover["places"] for mover in back["ranks"]["movers"]}
    for places, title in re.findall(r"([+-]\d\.\d)  Title (\d+)", ranks):
        assert up[f"i{title}"] == pytest.approx(-float(places), abs=0.06)
    # A local template and the shipped one that it hides.
    folder = edited(tmp_path / "edited", old="You", new="You, friend,")
    shutil.copy(shipped_folder() / f"{OLD}.cases.yaml", folder / "rank")
    code, out, _ = run(capsys, "diff", OLD, *common, "--folder", folder, "--users", 2)
    assert code == 0
    assert "order of slates, 2 users" in out


def test_diff_asks_no_model_without_users(capsys, workspace, monkeypatch):
    monkeypatch.setattr(loading, "load", None)
    code, out, _ = run(capsys, "diff", OLD, NEW, "--case", "typical", "--workspace", workspace.root, "--json", "-")
    assert code == 0
    assert json.loads(out)["ranks"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("eval", "rank/gone"), "no template 'rank/gone'"),
        (("eval", OLD), "both templates are"),
        (("eval", NEW, "--suite", "gone"), "no suite 'gone'"),
        (("eval", NEW, "--seeds", "a"), "not whole numbers"),
        (("eval", NEW, "--folder", "gone"), "no template folder gone"),
        (("diff", OLD, "rank/gone", "--users", "2"), "no template 'rank/gone'"),
        (("diff", OLD, "--against-locked", "--users", "2"), "ranks for nobody"),
    ],
)
def test_wrong_calls_end_with_2_and_a_message(capsys, workspace, scripted, arguments, said):
    code, out, err = run(capsys, *arguments, "--workspace", workspace.root)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())
    assert "hint:" in err


def test_times_far_beyond_the_others_count_as_the_usual_longest():
    from genrec.evaluation.templates.evaluate import usual_times

    times = np.array([[1.0] * 10 + [2.0] * 10 + [9000.0, np.nan]])
    usual = usual_times(times)
    assert np.nanmax(usual) == 2.0
    assert np.isnan(usual[0, -1])
