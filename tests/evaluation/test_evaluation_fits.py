"""What was fitted is kept once, by everything that decides it."""

from genrec.data.sqlite.store import SqliteStore
from genrec.evaluation import fits
from genrec.settings import Settings


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
