"""Suite files: every one that ships is valid and says how it is run; everything wrong with one is said at once."""

from pathlib import Path

import pytest
import yaml

from genrec.errors import NotFoundError, SettingsError
from genrec.evaluation import injection
from genrec.evaluation.suite import base, schema
from genrec.settings import Settings

SUITES = sorted(base.shipped_folder().rglob("*.y*ml"))
MINIMAL = {"name": "small", "description": "A suite.", "systems": {"covisit": {"retriever": "covisit"}}}


@pytest.fixture
def write(tmp_path):
    def one(content):
        file = tmp_path / "suite.yaml"
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return file

    return one


def test_there_are_suites():
    assert SUITES


@pytest.mark.parametrize("file", SUITES, ids=lambda file: file.stem)
def test_every_suite_that_ships_is_valid_and_starts_with_its_command(file):
    suite = base.read_suite(file, schema.Suite, injection.InjectionSuite)
    assert suite.name == file.stem
    first = file.read_text("utf-8").splitlines()[0]
    assert first.startswith(f"# genrec eval eval/suites/{file.relative_to(base.shipped_folder())}")
    assert suite.source is not None or "--workspace" in first
    settings = suite.settings_for(Settings())
    assert base.find(suite.name) == file
    if isinstance(suite, schema.Suite) and any(system.served for system in suite.systems.values()):
        assert max(k for _, k in suite.columns) <= settings.retrieval.candidates


def test_defaults(write):
    suite = schema.load(write({**MINIMAL, "systems": {"a": {"retriever": "covisit"}, "b": {"blend": ["popular"]}}}))
    assert suite.split.name == "temporal"
    assert suite.columns == [("ndcg", 10), ("hr", 10), ("mrr", 10)]
    assert suite.pairs == [("b", "a")]
    assert suite.seeds == (0,)
    assert suite.folder == write(MINIMAL).parent


@pytest.mark.parametrize(
    ("content", "problem", "known"),
    [
        ({"systems": {"x": {"retriever": "files"}}}, "there is no retriever 'files'", "covisit"),
        ({"systems": {"x": {"retriever": "base"}}}, "there is no retriever 'base'", "covisit"),
        ({"systems": {"x": {"blend": ["covisit", "scoring"]}}}, "there is no retriever 'scoring'", "covisit"),
        ({"systems": {"x": {"retriever": "genrec.errors"}}}, "there is no retriever 'genrec.errors'", "covisit"),
        ({"systems": {"x": {"served": {"ranker": "loading"}}}}, "there is no ranker 'loading'", "single_pass"),
        ({"settings": {"ranking": {"ranker": "labels"}}}, "there is no ranker 'labels'", "single_pass"),
        ({"settings": {"retrieval": {"retrievers": ["files"]}}}, "there is no retriever 'files'", "covisit"),
    ],
)
def test_names_of_nothing_are_refused_at_validation_with_the_list_of_names(write, content, problem, known):
    with pytest.raises(SettingsError) as caught:
        schema.load(write({**MINIMAL, **content}))
    assert problem in caught.value.message
    assert known in caught.value.message


def test_all_problems_are_reported_at_once_with_the_file(write):
    file = write(
        {
            "name": "a b",
            "systems": {
                "x": {"retriever": "covisit", "external": "x.tsv"},
                "y": {"retriever": "oracle"},
                "z": {"served": {"order": "llm"}},
            },
            "split": {"name": "random"},
            "colour": "red",
        }
    )
    with pytest.raises(SettingsError) as caught:
        schema.load(file)
    text = caught.value.message
    assert str(file) in text
    for part in (
        "name:",
        "description: Field required",
        "systems.x: give exactly one of",
        "systems.y: there is no retriever 'oracle'",
        "systems.z.served.order: Extra inputs",
        "split.name:",
        "colour: Extra inputs",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"baseline": "ease"}, "baseline: there is no system 'ease'"),
        ({"comparisons": [["covisit", "ease"]]}, "comparisons: there is no system 'ease'"),
        ({"metrics": ["ndcg"]}, "metrics: the metric ndcg needs"),
        ({"metrics": ["magic@10"]}, "metrics: there is no metric 'magic'"),
        ({"metrics": ["log_loss"]}, "metrics: log_loss does not judge ranked lists"),
        ({"gates": ["covisit >= 1"]}, "gates: not a gate: 'covisit >= 1'"),
        ({"gates": ["ease.ndcg@10 >= 1"]}, "there is no system 'ease'"),
        ({"gates": ["covisit.ndcg@20 >= 1"]}, "'ndcg@20' is not among the metrics"),
        ({"gates": ["covisit.ndcg@10 >= 1 on short"]}, "there is no subset 'short'"),
        ({"gates": ["validity.invalid == 0 on short"]}, "validity is of the whole run: leave out 'on short'"),
        ({"split": {"of": "leave-one-out"}}, "split: of and at_most are for: cold-items, cold-users"),
        ({"split": {"name": "leave-one-out", "at_most": 0}}, "split: of and at_most are for"),
        ({"split": {"name": "cold-users", "of": "leave-one-out", "at_most": 3}}, "split: at_most: cold-users of"),
        ({"subsets": {"short": {}}}, "subsets.short: give at least one condition"),
        ({"subsets": {"night": {"hours": [6, 6]}}}, "the first and the one after the last must differ"),
        ({"metrics": ["ndcg@10000000000"]}, "up to 10,000"),
        ({"groups": "ages.tsv"}, "groups: they are for the metric user_gap"),
        ({"genre_field": "kind"}, "genre_field: it is for genre_calibration and genre_diversity"),
        ({"controls": ["no_history"]}, "no system asks a language model"),
        ({"controls": ["magic"]}, "controls: there is no control 'magic'"),
        ({"seeds": []}, "seeds:"),
        ({"seeds": [-1]}, "seeds.0:"),
        ({"seeds": [0, 0]}, "seeds: each once"),
        ({"users": {"limit": 2, "seed": -1}}, "users.seed:"),
        ({"systems": {}}, "systems:"),
        ({"systems": {"x": {"blend": ["covisit"], "hyper_parameters": {"window": 3}}}}, "are for a retriever"),
    ],
)
def test_what_does_not_fit_together_is_said(write, changes, problem):
    with pytest.raises(SettingsError) as caught:
        schema.load(write({**MINIMAL, **changes}))
    assert problem in caught.value.message


def test_two_problems_of_the_whole_are_two_lines(write):
    with pytest.raises(SettingsError) as caught:
        schema.load(write({**MINIMAL, "baseline": "a", "gates": ["b"]}))
    assert len(caught.value.message.splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: [", "is not valid YAML"),
        ("- a\n", "is no suite"),
        ("name: a\nname: b\n", "the key 'name' is there twice"),
        ("name: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
    ],
)
def test_broken_files(write, text, problem):
    with pytest.raises(SettingsError, match=problem):
        schema.load(write(text))


def test_a_name_leads_to_a_suite_that_ships_and_nothing_else():
    for name in ("none", "../suites/ml100k-temporal", "none.yaml"):
        with pytest.raises(NotFoundError) as caught:
            base.find(name)
        assert "ml100k-temporal" in caught.value.hint
    assert base.find("ml100k-temporal").is_file()


def test_settings_of_the_suite_go_before_those_of_the_workspace(write):
    suite = schema.load(write({**MINIMAL, "candidates": 7, "settings": {"encoder": {"name": "hashing"}}}))
    given = Settings()
    found = suite.settings_for(given)
    assert found.retrieval.candidates == 7
    assert found.retrieval.pool == given.retrieval.pool
    assert found.encoder.name == "hashing"


def test_wrong_settings_are_all_named(write):
    suite = schema.load(write({**MINIMAL, "settings": {"encoders": {}, "model": {"nam": "x"}}}))
    with pytest.raises(SettingsError) as caught:
        suite.settings_for(Settings())
    assert "no section 'encoders'" in caught.value.message
    assert "settings.model.nam" in caught.value.message


def test_paths_are_seen_from_the_file(write):
    suite = schema.load(write({**MINIMAL, "users": {"file": "users.txt"}}))
    assert suite.folder / Path(suite.users.file) == write(MINIMAL).parent / "users.txt"
