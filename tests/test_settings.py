"""Settings that cannot mean anything are refused, from flags as from files."""

from __future__ import annotations

import pytest

from genrec.errors import SettingsError
from genrec.settings import Settings


def test_an_old_flag_names_the_new_key() -> None:
    with pytest.raises(SettingsError, match=r"checks\.policy is policy\.name now"):
        Settings.load(None, {"checks": {"policy": "veto"}})


def test_an_objective_without_any_weight_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"objective: .*a weight other than 0"):
        Settings.load(None, {"objective": {"click": 0.0}})
