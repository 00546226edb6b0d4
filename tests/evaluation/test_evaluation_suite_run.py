"""A suite is run from the command line: figures, verdicts, a run list, and comparisons user by user."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from genrec.cli.main import main
from genrec.data.cold_splits import held_out
from genrec.data.splits import leave_one_out
from genrec.data.sqlite.store import SqliteStore
from genrec.evaluation.suite import retrievers

SUITE = {
    "name": "small",
    "description": "Two retrievers.",
    "split": {"name": "leave-one-out"},
    "metrics": ["ndcg@5", "hr@5", "coverage@5"],
    "systems": {"popular": {"retriever": "popular"}, "covisit": {"retriever": "covisit"}},
    "subsets": {"nobody": {"history_at_most": 2}},
    "gates": ["covisit.ndcg@5 > popular.ndcg@5 significantly"],
}


@pytest.fixture
def run(capsys, workspace, tmp_path):
    """Runs a suite; gives exit code, record and what was said."""

    def one(*arguments, **changes):
        file = tmp_path / "small.yaml"
        file.write_text(yaml.safe_dump({**SUITE, **changes}, sort_keys=False))
        code, out, err = call(capsys, file, "--workspace", workspace.root, "--json", "-", *arguments)
        return code, json.loads(out) if out else None, err

    return one


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["eval", *map(str, arguments)])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_a_run_leaves_a_record_a_page_and_the_figures_of_each_user(run, workspace):
    code, record, err = run()
    assert code == 0
    (folder,) = workspace.runs.iterdir()
    assert json.loads((folder / "record.json").read_text()) == record
    assert record["systems"]["covisit"]["ndcg@5"] > 0.5 > record["systems"]["popular"]["ndcg@5"]
    assert record["systems"]["covisit"]["ndcg@5_vs_popular"]["low"] > 0
    assert record["subsets"]["nobody"]["users"] == 0
    assert record["gates"][0]["passed"] is True
    assert record["suite"]["systems"]["covisit"]["retriever"] == "covisit"
    assert {row["metric"] for row in record["comparisons"]} == {"ndcg@5", "hr@5", "coverage@5"}
    assert record["breakdown"]["history_length"]["buckets"][0]["users"] > 0
    assert "passed" in err
    assert "covisit" in (folder / "report.html").read_text()
    table = pq.read_table(folder / "values.parquet")
    assert table.column_names == ["system", "user_id", "ndcg@5", "hr@5"]
    mean = np.mean([row["ndcg@5"] for row in table.to_pylist() if row["system"] == "covisit"])
    assert mean == pytest.approx(record["systems"]["covisit"]["ndcg@5"], abs=1e-6)


def test_a_gate_that_fails_ends_with_1_and_is_shown(run):
    code, record, err = run(gates=["popular.ndcg@5 >= 0.999", "covisit.hr@5 > 0"])
    assert code == 1
    assert [gate["passed"] for gate in record["gates"]] == [False, True]
    assert "FAILED" in err
    assert "0.999" in err


def test_a_second_run_ranks_nothing_anew_and_finds_the_same(run, monkeypatch):
    _, first, _ = run(seeds=[0, 1])

    def never(*_, **__):
        raise AssertionError("fitted again")

    monkeypatch.setattr(retrievers, "fit_hybrid", never)
    _, second, _ = run(seeds=[0, 1])
    assert second["systems"] == first["systems"]
    assert second["fitted"] == first["fitted"]
    assert first["fitted"]["covisit"]["parts"]["covisit"]["ndcg@10"]
    assert second["systems"]["covisit"]["ndcg@5_seeds"]["sd"] == 0


def test_other_settings_users_or_splits_are_ranked_anew(run):
    _, whole, _ = run()
    _, some, err = run(users={"limit": 20, "seed": 3})
    assert some["users"] == 20
    assert "a sample of 20 of 60" in err
    assert "only 20 test users" in err
    _, fewer, _ = run("--limit", 10)
    assert fewer["users"] == 10
    _, given, _ = run(
        systems={**SUITE["systems"], "covisit": {"retriever": "covisit", "hyper_parameters": {"window": 1}}}
    )
    assert given["fitted"]["covisit"]["parts"]["covisit"]["hyper_parameters"]["window"] == 1
    assert given["systems"]["popular"] == {**whole["systems"]["popular"]}


def test_users_of_a_file_beside_the_suite(run, tmp_path):
    (tmp_path / "users.txt").write_text("u1\nu2\nnobody\n")
    _, record, err = run(users={"file": "users.txt"})
    assert record["users"] == 2
    assert "1 of the 3 given users have nothing to be judged by" in err


def events(log):
    return list(zip(log.user.tolist(), log.item.tolist(), log.timestamp.tolist(), strict=True))


def test_nothing_is_fitted_on_what_is_to_be_found(run, workspace, monkeypatch):
    seen = []
    fit = retrievers.fit_hybrid

    def watched(interactions, *arguments, **named):
        seen.append(interactions)
        return fit(interactions, *arguments, **named)

    monkeypatch.setattr(retrievers, "fit_hybrid", watched)
    run(metrics=["ndcg@3"], gates=[])
    run(metrics=["ndcg@30"], gates=[], split={"name": "cold-users", "of": "leave-one-out"})
    with SqliteStore(workspace.database) as store:
        log = store.interactions()
    plain, cold = seen[0], seen[-1]
    assert events(plain) == events(leave_one_out(log).train)
    asked = held_out("cold-users", log, of="leave-one-out").split.users
    assert 0 < len(asked) < log.n_users
    assert np.flatnonzero(np.diff(cold.indptr) == 0).tolist() == asked.tolist()
    assert len(cold) == len(log) - 10 * len(asked)


def test_lists_of_another_tool_are_judged_beside(run, tmp_path):
    rows = "".join(f"u{user}\ti{(user + 9) % 30}\t1\n" for user in range(60))
    (tmp_path / "oracle.tsv").write_text("user\titem\trank\n" + rows)
    code, record, err = run(
        systems={**SUITE["systems"], "oracle": {"external": "oracle.tsv"}}, gates=["oracle.ndcg@5 == 1"]
    )
    assert code == 0
    assert record["systems"]["oracle"]["hr@5"] == 1
    (tmp_path / "oracle.tsv").write_text("user\titem\trank\nu1\ti1\tfirst\n")
    code, _, err = run(systems={**SUITE["systems"], "oracle": {"external": "oracle.tsv"}}, gates=[])
    assert code == 2
    assert "oracle.tsv, line 2" in err


def test_runs_are_listed_and_compared_by_user(run, capsys, workspace):
    run()
    run("--limit", 30, systems={**SUITE["systems"], "blend": {"blend": ["covisit", "popular"]}})
    code, out, _ = call(capsys, "runs", "--workspace", workspace.root, "--json", "-")
    first, second = json.loads(out)
    assert code == 0
    assert (first["users"], first["passed"], first["kind"]) == (60, True, "small")
    assert first["headline"].startswith("covisit ndcg@5 1.0")
    assert "covisit" in call(capsys, "runs", "--workspace", workspace.root)[1]

    arguments = ("compare", first["id"], second["id"][-6:], "--workspace", workspace.root)
    code, out, err = call(capsys, *arguments, "--json", "-")
    found = json.loads(out)
    assert code == 0
    assert found["users"] == 30
    assert "30 users whom only one of the runs asked for" in err
    assert {row["system"] for row in found["comparisons"]} == {"popular", "covisit"}
    assert all(row["mean"] == 0 for row in found["comparisons"])
    code, out, _ = call(capsys, *arguments, "--pair", "popular=covisit", "--json", "-")
    better = [row for row in json.loads(out)["comparisons"] if row["metric"] == "ndcg@5"]
    assert len(better) == 1
    assert better[0]["mean"] == pytest.approx(better[0]["after"] - better[0]["before"], abs=1e-5)
    assert better[0]["low"] > 0
    shown = call(capsys, *arguments, "--pair", "popular=covisit")[1]
    assert "Holm" in shown
    assert "popular" in shown


def test_runs_of_different_splits_are_compared_by_force_only(run, capsys, workspace):
    _, first, _ = run()
    _, second, _ = run(split={"name": "cold-users", "of": "leave-one-out"}, gates=[])
    arguments = ("compare", first["id"], second["id"], "--workspace", workspace.root)
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert "different split" in err
    code, _, err = call(capsys, *arguments, "--force")
    assert code == 0
    assert "different split" in err


def test_runs_of_splits_that_share_a_name_only_are_of_different_splits(run, capsys, workspace):
    spec = {"name": "cold-items", "of": "leave-one-out"}
    first, second = (run(split={**spec, "at_most": most}, gates=[])[1]["id"] for most in (20, 30))
    code, _, err = call(capsys, "compare", first, second, "--workspace", workspace.root)
    assert code == 2
    assert "different split" in err


def test_runs_with_other_words_in_the_same_file_are_of_different_requests(run, capsys, workspace, tmp_path):
    found = []
    for word in ("loud", "quiet", "quiet"):
        (tmp_path / "said.tsv").write_text(f"user\tquery\nu0\t{word}\n")
        found.append(run(queries="said.tsv")[1])
    assert "said.tsv: 59 of 60 test users have no request there and say nothing" in found[0]["warnings"]
    loud, *quiet = (record["id"] for record in found)
    code, _, err = call(capsys, "compare", loud, quiet[0], "--workspace", workspace.root)
    assert code == 2
    assert "different requests" in err
    assert call(capsys, "compare", *quiet, "--workspace", workspace.root)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none",), "there is no suite 'none'"),
        (("none.yaml",), "there is no file none.yaml"),
        (("compare", "a", "b"), "there is no run 'a'"),
        (("games-loo",), "the suite games-loo needs a workspace"),
    ],
)
def test_wrong_calls_end_with_2_and_a_message(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert "hint:" in err


def test_the_data_of_a_suite_is_imported_once_into_the_cache(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("GENREC_CACHE", str(tmp_path / "cache"))
    rows = "".join(
        f"u{user},i{(user + step) % 9},{1e9 + step * 100 + user}\n" for user in range(30) for step in range(6)
    )
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\n" + rows)
    content = {**SUITE, "source": {"importer": "tables", "path": "events.csv"}, "gates": [], "metrics": ["ndcg@5"]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    for _ in range(2):
        code, out, _ = call(capsys, tmp_path / "own.yaml", "--json", "-")
        assert code == 0
        assert json.loads(out)["stats"]["events"] == 180
    (made,) = (tmp_path / "cache" / "suites").iterdir()
    assert len(list((made / "runs").iterdir())) == 2


def test_the_gap_between_users_goes_by_the_groups_of_a_file(run, tmp_path):
    """One group is found nothing for; by the length of history all users are of one group, and there is no gap."""
    rows = [f"u{user}\t{'lucky' if user % 2 else 'unlucky'}" for user in range(60)]
    (tmp_path / "groups.tsv").write_text("\n".join(["user\tgroup", *rows]))
    lists = ["user\titem\trank", *(f"u{user}\ti{(user + 9) % 30}\t1" for user in range(60) if user % 2)]
    (tmp_path / "lists.tsv").write_text("\n".join(lists))
    how = {"systems": {"other": {"external": "lists.tsv"}}, "metrics": ["ndcg@5", "user_gap@5"], "gates": []}
    how |= {"comparisons": [], "baseline": None, "subsets": {}}
    _, record, _ = run(**how, groups="groups.tsv")
    assert record["systems"]["other"]["user_gap@5"] == pytest.approx(1)
    _, record, _ = run(**how)
    assert record["systems"]["other"]["user_gap@5"] is None
