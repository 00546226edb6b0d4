"""Retrieval is judged on the whole catalogue, without what users have seen, and fitted on the training part only."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from genrec.data.interactions import Interactions
from genrec.data.splits import leave_one_out, temporal
from genrec.domain import Item
from genrec.errors import DataError
from genrec.evaluation import retrieval
from genrec.evaluation.protocol import LEAK, prepare, read_users
from genrec.settings import Settings

N_ITEMS = 24


def chain_log(n_users=40, length=8):
    """User u does items u, u + 1, u + 2, ... in this order (modulo the catalogue): what comes next is certain."""
    user = np.repeat(np.arange(n_users), length)
    step = np.tile(np.arange(length), n_users)
    ids = np.array([f"u{number}" for number in range(n_users)], dtype=object)
    items = np.array([f"i{number}" for number in range(N_ITEMS)], dtype=object)
    return Interactions.from_columns(ids, items, user, (user + step) % N_ITEMS, 100.0 * step + user)


@dataclass
class LogStore:
    """As much of a store as an evaluation reads."""

    log: Interactions

    def interactions(self):
        return self.log

    def all_items(self):
        return (Item(item_id, f"Title {item_id}") for item_id in self.log.item_ids)


SETTINGS = Settings.load(None, {"retrieval": {"retrievers": ("covisit", "popular")}})


@pytest.mark.parametrize("split", ["leave-one-out", "temporal"])
def test_finds_what_is_certain_and_says_what_it_measured(split):
    result = retrieval.evaluate_retrieval(LogStore(chain_log()), SETTINGS, split)
    assert list(result["systems"]) == ["covisit", "popular", "blend"]
    assert result["systems"]["covisit"]["ndcg@10"] > 0.9
    assert result["systems"]["popular"]["ndcg@10"] < 0.6
    assert result["systems"]["blend"]["ndcg@10"] > 0.9
    low, high = result["systems"]["popular"]["ndcg@10_ci"]
    assert low < result["systems"]["popular"]["ndcg@10"] < high
    assert {f"{metric}@{k}" for metric in ("hr", "ndcg", "recall", "mrr") for k in (10, 20, 50, 100)} <= set(
        result["systems"]["blend"]
    )
    assert result["users"] == {"leave-one-out": 40, "temporal": 32}[split]
    assert (LEAK in result["warnings"]) == (split == "leave-one-out")
    assert set(result["definitions"]) == {"hr", "ndcg", "recall", "mrr"}
    json.dumps(result, allow_nan=False)


def test_repeats_to_the_bit():
    first, second = (retrieval.evaluate_retrieval(LogStore(chain_log()), SETTINGS, "temporal") for _ in range(2))
    assert first == second


def test_fits_on_the_training_part_only(monkeypatch):
    fitted_on = []
    fit = retrieval.fit_hybrid

    def watched(interactions, *arguments, **named):
        fitted_on.append(interactions)
        return fit(interactions, *arguments, **named)

    monkeypatch.setattr(retrieval, "fit_hybrid", watched)
    log = chain_log()
    retrieval.evaluate_retrieval(LogStore(log), SETTINGS, "temporal")
    cut = temporal(log).now[0]
    assert len(fitted_on) == 1
    assert fitted_on[0].timestamp.max() < cut


class ByPosition:
    """Scores rise with the position, except for two items that tie on top."""

    def scores(self, query):
        scores = np.arange(N_ITEMS, dtype=np.float32)
        scores[[3, 9]] = 100
        return scores


def test_lists_leave_out_what_was_seen_break_ties_by_position_and_are_padded():
    split = leave_one_out(chain_log())
    ranked = retrieval.ranked_lists(ByPosition(), split, 30)
    seen = set(split.train.item[split.train.rows_of(int(split.users[0]))].tolist())
    assert seen == set(range(7))
    assert ranked[0, :3].tolist() == [9, 23, 22]
    assert ranked[10, :3].tolist() == [3, 9, 23]
    for row, items in enumerate(ranked):
        listed = items[items >= 0].tolist()
        before = set(split.train.item[split.train.rows_of(row)].tolist())
        assert len(set(listed)) == len(listed) == N_ITEMS - len(before)
        assert not set(listed) & before
        assert (items[len(listed) :] == -1).all()


def test_batches_do_not_change_lists(monkeypatch):
    split = leave_one_out(chain_log())
    whole = retrieval.ranked_lists(ByPosition(), split, 5)
    monkeypatch.setattr("genrec.retrieval.scoring._BATCH_CELLS", 3 * N_ITEMS)
    seen = []
    pieces = retrieval.ranked_lists(ByPosition(), split, 5, "x", lambda what, done, total: seen.append((done, total)))
    assert (pieces == whole).all()
    assert seen[-1] == (40, 40)
    assert len(seen) > 10


def test_only_the_users_asked_for_are_judged():
    result = retrieval.evaluate_retrieval(
        LogStore(chain_log()), SETTINGS, "leave-one-out", ["u3", "u5", "nobody", "u3"]
    )
    assert result["users"] == 2
    assert "1 of the 3 given users have nothing to be judged by; left out" in result["warnings"]
    assert any("only 2 test users" in warning for warning in result["warnings"])


def test_a_log_or_a_list_without_test_users_is_an_error_that_says_so():
    with pytest.raises(DataError, match="none of the 1 given users"):
        prepare(chain_log(), "leave-one-out", ["nobody"])
    with pytest.raises(DataError, match="has no test users"):
        prepare(chain_log(length=1), "leave-one-out")
    with pytest.raises(DataError, match="no split 'random'"):
        prepare(chain_log(), "random")


def test_user_files(tmp_path):
    file = tmp_path / "users.txt"
    file.write_bytes("\ufeffu1\r\n\n  用户 2 \nu3".encode())
    assert read_users(file) == ["u1", "用户 2", "u3"]
    file.write_bytes(b"\xff\xfe\x00u")
    with pytest.raises(DataError, match="not UTF-8"):
        read_users(file)
    file.write_text("\n \n")
    with pytest.raises(DataError, match="has no user ids"):
        read_users(file)
    with pytest.raises(DataError, match="cannot be read"):
        read_users(tmp_path / "missing.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_users(tmp_path)
