"""What was fitted is kept once, by everything that decides it."""

from pathlib import Path

import pytest

import genrec
from genrec.data.sqlite import SqliteStore
from genrec.evaluation import fits
from genrec.settings import Settings

KINDS = ("fit", "read", "answer")


def test_every_pattern_finds_code():
    package = Path(genrec.__file__).parent
    for patterns in fits._CODE.values():
        assert all(list(package.glob(pattern)) for pattern in patterns)


@pytest.mark.parametrize(
    ("file", "decides"),
    [
        ("fit.py", {"fit", "answer"}),
        ("fusion/language_model.py", {"fit", "answer"}),
        ("ranking/pointwise.py", {"read", "answer"}),
        ("prompting/render.py", {"read", "answer"}),
        ("reading.py", {"read", "answer"}),
        ("slates.py", {"fit", "answer"}),
        ("pipeline.py", {"answer"}),
        ("evaluation/walk.py", {"answer"}),
        ("evaluation/suite/served.py", {"answer"}),
        ("serving/server.py", set()),
    ],
)
def test_a_change_of_code_changes_the_keys_of_what_it_decides(tmp_path, monkeypatch, file, decides):
    monkeypatch.setattr(genrec, "__file__", str(tmp_path / "__init__.py"))
    changed = tmp_path / file
    changed.parent.mkdir(parents=True, exist_ok=True)
    changed.write_text("a = 1")
    before = {that: fits.code.__wrapped__(that) for that in KINDS}
    changed.write_text("a = 2")
    assert {that for that in KINDS if fits.code.__wrapped__(that) != before[that]} == decides


def test_two_evaluations_that_fit_the_same_at_once_both_go_on(workspace, tmp_path, monkeypatch):
    settings = Settings.load(workspace.settings_file)
    with SqliteStore(workspace.database) as store:
        log, items = store.interactions(), list(store.all_items())

    made = fits.fit_log(log, items, settings, tune=False)

    def fitted():
        return fits.fitted_on(log, items, settings, "leave-one-out", data="d", cache_folder=tmp_path)

    def slower(*arguments, **named):
        monkeypatch.setattr(fits, "fit_log", lambda *_, **__: made)
        return fitted()

    monkeypatch.setattr(fits, "fit_log", slower)
    assert fitted().blend.weights == fitted().blend.weights == made.blend.weights
    assert len(list((tmp_path / "fits").iterdir())) == 1
