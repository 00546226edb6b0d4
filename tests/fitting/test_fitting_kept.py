"""What was fitted is kept once, by everything that decides it."""

import numpy as np

from genrec.data.interactions import Interactions
from genrec.domain import Item
from genrec.fitting import kept
from genrec.settings import Settings


def chain(users=40, items=30, length=8):
    """User u does items u, u + 1, ..., and likes the even ones."""
    user, step = np.repeat(np.arange(users), length), np.tile(np.arange(length), users)
    ids = (np.array([f"{kind}{n}" for n in range(count)], dtype=object) for kind, count in (("u", users), ("i", items)))
    item = (user + step) % items
    return Interactions.from_columns(*ids, user, item, 1000.0 * step + user, np.where(item % 2, 2.0, 5.0))


def test_two_evaluations_that_fit_the_same_at_once_both_go_on(tmp_path, monkeypatch):
    settings = Settings.load(
        None, {"encoder": {"name": "hashing"}, "retrieval": {"retrievers": ("covisit", "popular")}}
    )
    log = chain()
    items = [Item(item_id, f"Title {item_id}") for item_id in log.item_ids]
    made = kept.fit_log(log, items, settings, tune=False)

    def fitted():
        return kept.fitted_on(log, items, settings, "leave-one-out", data="d", cache_folder=tmp_path)

    def slower(*arguments, **named):
        monkeypatch.setattr(kept, "fit_log", lambda *_, **__: made)
        return fitted()

    monkeypatch.setattr(kept, "fit_log", slower)
    assert fitted().blend.weights == fitted().blend.weights == made.blend.weights
    assert len(list((tmp_path / "fits").iterdir())) == 1
