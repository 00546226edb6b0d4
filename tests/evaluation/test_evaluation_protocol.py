"""Test users of a protocol, and lists over the whole catalogue without what users have seen."""

import numpy as np
import pytest

from genrec.data.interactions import Interactions
from genrec.data.splits import leave_one_out
from genrec.errors import DataError
from genrec.evaluation.protocol import LEAK, prepare, read_users
from genrec.evaluation.suite.retrievers import ranked_lists

N_ITEMS = 24


def chain_log(n_users=40, length=8):
    """User u does items u, u + 1, u + 2, ... in this order (modulo the catalogue): what comes next is certain."""
    user = np.repeat(np.arange(n_users), length)
    step = np.tile(np.arange(length), n_users)
    ids = np.array([f"u{number}" for number in range(n_users)], dtype=object)
    items = np.array([f"i{number}" for number in range(N_ITEMS)], dtype=object)
    return Interactions.from_columns(ids, items, user, (user + step) % N_ITEMS, 100.0 * step + user)


class ByPosition:
    """Scores rise with the position, except for two items that tie on top."""

    def scores(self, query):
        scores = np.arange(N_ITEMS, dtype=np.float32)
        scores[[3, 9]] = 100
        return scores


def test_lists_leave_out_what_was_seen_break_ties_by_position_and_are_padded():
    split = leave_one_out(chain_log())
    ranked = ranked_lists(ByPosition(), split, 30)
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
    whole = ranked_lists(ByPosition(), split, 5)
    monkeypatch.setattr("genrec.retrieval.scoring.BATCH_CELLS", 3 * N_ITEMS)
    seen = []
    pieces = ranked_lists(ByPosition(), split, 5, "x", lambda what, done, total: seen.append((done, total)))
    assert (pieces == whole).all()
    assert seen[-1] == (40, 40)
    assert len(seen) > 10


@pytest.mark.parametrize("split", ["leave-one-out", "temporal"])
def test_a_split_that_leaks_says_so(split):
    protocol = prepare(chain_log(), split)
    assert len(protocol.split.users) == {"leave-one-out": 40, "temporal": 32}[split]
    assert (LEAK in protocol.warnings) == (split == "leave-one-out")


def test_only_the_users_asked_for_are_judged():
    protocol = prepare(chain_log(), "leave-one-out", ["u3", "u5", "nobody", "u3"])
    assert len(protocol.split.users) == 2
    assert "1 of the 3 given users have nothing to be judged by; left out" in protocol.warnings
    assert any("only 2 test users" in warning for warning in protocol.warnings)


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
