import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genrec.artifacts import adapters
from genrec.artifacts.workspace import Workspace
from genrec.data.interactions import Interactions
from genrec.data.sqlite.store import SqliteStore
from genrec.data.store import Exposure
from genrec.domain import Event, Item, LlmRankerKey
from genrec.errors import DataError, WorkspaceError
from genrec.fitting import workspace as fit
from genrec.fitting.holdout import hold_out
from genrec.fitting.workspace import fit_log, fit_workspace, shown_before
from genrec.llm.scripted import ScriptedModel
from genrec.ranking.loading import llm_ranker_key_in, llm_ranker_key_of, ranker_for
from genrec.retrieval.hybrid import HybridRetriever
from genrec.scoring.scorer import Scorer
from genrec.settings import Settings
from genrec.text.encoders import HashingEncoder

GENRES = ("Comedy", "Horror")
LLM_RANKER = LlmRankerKey("scripted", None, "pointwise", "rank/pointwise")


def events(seed=0, users=40, items=60):
    """Users who walk through one of two genres in order, and now and then dislike something of the other."""
    rng = np.random.default_rng(seed)
    made = []
    for user in range(users):
        taste, place = user % 2, int(rng.integers(0, items // 2))
        for step in range(14):
            odd = rng.uniform() < 0.2
            place = (place + 1) % (items // 2)
            item = 2 * place + (1 - taste if odd else taste)
            made.append(Event(f"u{user}", f"i{item}", 1000.0 * step + user, "rating", 1.0 if odd else 5.0))
    return made


@pytest.fixture
def workspace(tmp_path):
    place = Workspace.create(tmp_path / "workspace")
    with SqliteStore(place.database, create=True) as store:
        store.put_items(Item(f"i{n}", f"{GENRES[n % 2]} {n}", {"genres": (GENRES[n % 2],)}) for n in range(60))
        store.append(events())
    return place


@pytest.fixture(scope="module")
def settings():
    return Settings(encoder={"name": "hashing"}, retrieval={"pool": 30, "candidates": 6})


def fitted(workspace, settings, **options):
    return fit_workspace(workspace, settings, encoder=HashingEncoder(32), **options)


def test_all_parts_go_live_together_with_their_record(workspace, settings):
    record = fitted(workspace, settings)
    assert set(workspace.versions()) == {"retrieval", "scoring"}
    assert len(set(workspace.versions().values())) == 1
    blend, scorer = HybridRetriever.load(workspace.part("retrieval")), Scorer.load(workspace.part("scoring"))
    assert len(blend.item_ids) == len(scorer.item_ids) == 60
    assert scorer.record["click"]["pools"] == record["scoring"]["click"]["pools"] > 20
    stored = json.loads((workspace.part("scoring") / "record.json").read_text())
    assert stored == json.loads(json.dumps(record))
    with SqliteStore(workspace.database) as store:
        assert stored["data"] == store.fingerprint()
    assert set(scorer.says) == {"p_click", "p_like"}


def test_the_live_parts_know_the_whole_log(workspace, settings):
    fitted(workspace, settings, tune=False)
    with SqliteStore(workspace.database) as store:
        taken = store.interactions().positive()  # low ratings are a no, and no sign of popularity
    assert len(events()) > len(taken) > len(events()) / 2
    assert Scorer.load(workspace.part("scoring")).statistics.count.sum() == len(taken)
    assert HybridRetriever.load(workspace.part("retrieval")).newest == max(event.timestamp for event in events())


def test_the_record_holds_no_secrets(workspace):
    settings = Settings(encoder={"name": "hashing"}, serving={"api_key": "hush-hush"})
    fitted(workspace, settings, tune=False)
    assert all(b"hush-hush" not in path.read_bytes() for path in workspace.root.rglob("*.json"))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_an_interrupted_fit_leaves_the_live_parts(workspace, settings, monkeypatch, stop):
    fitted(workspace, settings, tune=False)
    before = workspace.versions()

    def fail(self, folder):
        raise stop

    monkeypatch.setattr(Scorer, "save", fail)
    with pytest.raises(stop):
        fitted(workspace, settings, tune=False)
    assert workspace.versions() == before
    assert [path.name for path in (workspace.root / "scoring").iterdir()] == [before["scoring"]]


def test_the_model_reads_slates_as_they_are_served(workspace, settings):
    seen = []

    async def read(slates):
        seen.extend(slates)
        return [
            None if number == 0 else np.arange(len(slate.items), 0.0, -1) for number, (_, slate, _) in enumerate(slates)
        ]

    record = fitted(workspace, settings, llm_rankers={LLM_RANKER: read})
    (ranker,) = record["scoring"]["readers"]
    assert ranker["weights"]["slates"] == len(seen) - 1 > 5
    assert {request is None for _, _, request in seen} == {True}  # no word of these titles is frequent enough
    for history, slate, _ in seen:
        assert 1 < len(slate.items) <= 6
        assert not {candidate.item.id for candidate in slate.items} & set(history.item_ids())


def test_requests_in_words_are_learned_and_read_by_the_model_as_they_are_served(tmp_path, settings):
    place, seen = Workspace.create(tmp_path / "workspace"), []
    words = ("castle", "garden", "rocket", "piano", "tiger", "bakery")
    with SqliteStore(place.database, create=True) as store:
        store.put_items(Item(f"i{n}", f"{words[n % 6]} {n}") for n in range(60))
        store.append(events())

    def read(slates):
        seen.extend(slates)
        return [None for _ in slates]

    record = fitted(place, settings, llm_rankers={LLM_RANKER: read})
    query = record["scoring"]["click"]["query"]
    assert query["pools"] >= 20
    assert query["nearness"] > 0.3  # who asks for a tiger gets one
    assert Scorer.load(place.part("scoring")).heads.query.nearness == query["nearness"]
    asked = [(slate, request) for _, slate, request in seen if request]
    assert len(asked) > 10
    assert all("query" in candidate.parts for slate, _ in asked for candidate in slate.items)
    fit = [
        np.mean([any(word in candidate.item.title for word in words if word in request) for candidate in slate.items])
        for slate, request in asked
    ]
    assert np.mean(fit) > 0.35  # a sixth, if the request were not heard


def test_every_reader_gets_the_weight_that_its_answers_earn(workspace, settings):
    def oracle(slates):
        """Everybody goes on to the next place, in one of two genres."""
        places = [(int(history.entries[-1].item.id[1:]) // 2 + 1) % 30 for history, _, _ in slates]
        return [
            np.array([float(int(candidate.item.id[1:]) // 2 == place) for candidate in slate.items])
            for place, (_, slate, _) in zip(places, slates, strict=True)
        ]

    def wrong(slates):
        return [-answer for answer in oracle(slates)]

    other = replace(LLM_RANKER, adapter="mine@1")
    record = fitted(workspace, settings, llm_rankers={LLM_RANKER: oracle, other: wrong})
    knows, misleads = (each["weights"]["long"] for each in record["scoring"]["readers"])
    assert knows > 0.2
    assert misleads < 1e-4
    scorer = Scorer.load(workspace.part("scoring"))
    assert [scorer.for_llm_ranker(key).llm.long for key in (LLM_RANKER, other)] == [knows, misleads]
    assert scorer.llm.long == knows


def test_clicks_on_shown_lists_reach_the_scorer(workspace, settings, monkeypatch):
    for module in ("data.labels", "fitting.scoring"):
        monkeypatch.setattr(f"genrec.{module}.ENOUGH_CLICKS", 30)
    with SqliteStore(workspace.database) as store:
        for number in range(60):
            shown = tuple(f"i{(number + place) % 60}" for place in range(5))
            store.log_exposure(Exposure(f"r{number}", f"u{number % 40}", shown, 20_000.0 + number))
            store.append([Event(f"u{number % 40}", shown[1], 20_000.5 + number, "click", request_id=f"r{number}")])
        # What comes after is held out; the lists before it are what may be learned from.
        later = [(user, step) for user in range(40) for step in range(30)]
        store.append([Event(f"u{user}", f"i{2 * step}", 30_000.0 + step, "rating", 5.0) for user, step in later])
    record = fitted(workspace, settings, tune=False)
    assert 30 <= record["scoring"]["click"]["shown_lists"] <= 60
    assert "clicked when it is shown at the first place" in record["scoring"]["says"]["p_click"]
    scorer = Scorer.load(workspace.part("scoring"))
    assert scorer.statistics.prior == pytest.approx(0.2, abs=0.01)  # one click in a list of five


def test_lists_whose_clicks_are_held_out_tell_the_scorer_nothing():
    # Of u0 (a training user) b and c are held out, so a at 1 is left; v has one event, and none is held out.
    log = Interactions.from_columns(
        np.array(["u0", "v"], dtype=object),
        np.array(["a", "b", "c"], dtype=object),
        np.array([0, 0, 0, 1]),
        np.array([0, 1, 2, 0]),
        np.array([1.0, 3.0, 5.0, 2.0]),
    )
    held_out = hold_out(log, -np.inf, per_user=2)
    assert len(held_out.rest) < len(log)
    newest = float(held_out.rest.timestamp[held_out.rest.rows_of(0)][-1])
    hidden = set("abc") - {"abc"[item] for item in held_out.rest.item[held_out.rest.rows_of(0)]}

    def shown(name, user, time):
        return Exposure(name, user, ("a", "b", "c"), time)

    lists = [
        (shown("early", "u0", newest - 0.5), {"a"}),
        (shown("clicked late", "u0", newest - 0.5), {min(hidden)}),
        (shown("late", "u0", newest + 1), set()),
        (shown("of another", "v", 9.0), {"c"}),
        (shown("of nobody", None, 9.0), {"c"}),
    ]
    kept = [exposure.request_id for exposure, _ in shown_before(held_out, lists)]
    assert kept == ["early", "of another", "of nobody"]


def test_progress_is_reported_and_never_beyond_its_end(workspace, settings):
    seen = []
    fitted(workspace, settings, progress=lambda what, done, total: seen.append((what, done, total)))
    assert {"features of rated rows", "scoring network", "pools to learn from"} <= {what for what, _, _ in seen}
    assert all(0 <= done <= total for _, done, total in seen)


def test_a_workspace_without_data_is_a_message(tmp_path, settings):
    with pytest.raises(WorkspaceError, match="data import"):
        fit_workspace(Workspace.create(tmp_path / "empty"), settings)


def test_a_log_without_events_is_a_message(workspace, settings):
    with SqliteStore(workspace.database) as store:
        log, items = store.interactions(), list(store.all_items())
    with pytest.raises(DataError, match="no events"):
        fit_log(log.select(np.zeros(len(log), dtype=bool)), items, settings, encoder=HashingEncoder(8))


def test_a_log_of_three_events_is_fitted(tmp_path, settings):
    place = Workspace.create(tmp_path / "small")
    with SqliteStore(place.database, create=True) as store:
        store.put_items([Item("a", "A"), Item("b", "B")])
        store.append([Event("u", "a", 1.0), Event("u", "b", 2.0), Event("v", "a", 3.0)])
    record = fitted(place, settings)
    assert record["scoring"]["like"] is None
    assert set(place.versions()) == {"retrieval", "scoring"}


def test_the_command_fits_and_says_how(workspace, capsys):
    from genrec.cli.main import main

    workspace.settings_file.write_text('[encoder]\nname = "hashing"\n')
    with pytest.raises(SystemExit) as end:
        main(["fit", "--workspace", str(workspace.root), "--no-tune", "--llm-slates", "0", "--json", "-"])
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["events"] == len(events())


def test_the_command_weighs_each_adapter_that_is_named(workspace, tiny_tokenizer_folder, tmp_path, monkeypatch, capsys):
    from genrec.cli.main import main

    folder = shutil.copytree(tiny_tokenizer_folder, tmp_path / "model")
    (folder / "config.json").write_text("{}")
    model = {"name": str(folder), "engine": "transformers"}
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in model.items())
    workspace.settings_file.write_text(f'[encoder]\nname = "hashing"\n[llm]\nslates = 3\n[model]\n{lines}')
    with adapters.publish(workspace.root, "mine") as staging:
        for file in adapters.WEIGHTS:
            (staging / file).write_text("{}")
    loaded = []

    async def load(chosen):
        made = ScriptedModel(len(loaded), name=chosen.name, block=16)
        made.adapter = chosen.adapter and adapters.label(Path(chosen.adapter))
        loaded.append(made)
        return made

    monkeypatch.setattr("genrec.fitting.llm_scores.load", load)
    command = ["fit", "--workspace", str(workspace.root), "--no-tune"]
    with pytest.raises(SystemExit) as end:
        main([*command, "--adapter", "mine", "--adapter", "base"])
    assert end.value.code == 0, capsys.readouterr().err
    mine = f"mine@{adapters.live(workspace.root, 'mine')}"
    said = " ".join(capsys.readouterr().err.split())
    assert f"weight of {mine}: " in said
    assert "weight of the language model: " in said
    weights = Scorer.load(workspace.part("scoring")).llm_weights
    assert [key.adapter for key in weights] == [mine, None]
    assert {one.slates for one in weights.values()} == {3}
    assert [model.closed for model in loaded] == [True, True]
    ranker = ranker_for(loaded[0], Settings.load(workspace.settings_file))
    assert llm_ranker_key_of(loaded[0], ranker) == next(iter(weights))


@pytest.mark.parametrize(("slates", "why"), [(0, "no slates are to be read"), (3, "the package vllm is not installed")])
def test_the_command_says_why_nobody_was_weighed(workspace, capsys, monkeypatch, slates, why):
    from genrec.cli.main import main

    workspace.settings_file.write_text('[encoder]\nname = "hashing"\n')
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        main(["fit", "--workspace", str(workspace.root), "--no-tune", "--llm-slates", str(slates)])
    assert f"no language model was weighed, as {why}" in " ".join(capsys.readouterr().err.split())


def test_the_seed_reaches_everything_that_starts_by_chance(workspace, settings, monkeypatch):
    seen = {}

    def watched(module, name):
        original = getattr(module, name)

        def call(*arguments, **named):
            seen[name] = named.get("seed", arguments[-1])
            return original(*arguments, **named)

        monkeypatch.setattr(module, name, call)

    for module, name in ((fit, "fit_hybrid"), (fit, "refit_blend"), (fit, "hold_out"), (fit, "fit_scorer")):
        watched(module, name)
    watched(Scorer, "fit")
    with SqliteStore(workspace.database) as store:
        log, items = store.interactions(), list(store.all_items())
    fit.fit_log(log, items, settings, encoder=HashingEncoder(32), tune=False, seed=7)
    assert seen == dict.fromkeys(("fit_hybrid", "refit_blend", "hold_out", "fit_scorer", "fit"), 7)


def test_two_adapters_of_one_name_are_refused(workspace, tmp_path, capsys):
    from genrec.cli.main import main

    for place in ("one", "other"):
        folder = tmp_path / place / "final"
        folder.mkdir(parents=True)
        for file in adapters.WEIGHTS:
            (folder / file).write_text("{}")
    named = [argument for place in ("one", "other") for argument in ("--adapter", str(tmp_path / place / "final"))]
    with pytest.raises(SystemExit) as end:
        main(["fit", "--workspace", str(workspace.root), *named])
    assert end.value.code == 2
    assert "two adapters would be weighed under one name" in capsys.readouterr().err


def test_a_model_that_another_adapter_was_merged_into_has_another_key(tmp_path):
    def key(version):
        template = {"id": "rank/pointwise", "version": 1, "hash": "a"}
        card = {"name": "mine", "version": version, "base_model": "b", "recipe": "r", "ranker": "pointwise", "data": {}}
        adapters.Card(**card, template=template, held_out="none").save(tmp_path)
        return llm_ranker_key_in(Settings(model={"name": str(tmp_path)}))

    assert key("1") != key("2")
    assert "mine@2" in str(key("2"))
