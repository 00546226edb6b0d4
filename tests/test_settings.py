"""Sections of the settings that were split: old keys say where they are now."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrec.errors import SettingsError
from genrec.settings import MOVED, Settings


@pytest.mark.parametrize("key", MOVED)
def test_an_old_key_names_the_new_one(key: str, tmp_path: Path) -> None:
    section, _, name = MOVED[key].partition(".")
    assert name in type(getattr(Settings(), section)).model_fields
    file = tmp_path / "genrec.toml"
    file.write_text(f"[checks]\n{key} = 1\n")
    with pytest.raises(SettingsError, match=rf"checks\.{key} is {section}\.{name} now"):
        Settings.load(file)


def test_an_old_variable_names_the_new_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENREC_CHECKS__READ", "always")
    with pytest.raises(SettingsError, match=r"checks\.read is llm\.read now"):
        Settings.load()


def test_an_old_flag_names_the_new_key() -> None:
    with pytest.raises(SettingsError, match=r"checks\.policy is policy\.name now"):
        Settings.load(None, {"checks": {"policy": "veto"}})


def test_the_old_section_says_so_though_it_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "genrec.toml"
    file.write_text("[checks]\n")
    with pytest.raises(SettingsError, match=r"there is no \[checks\] any more"):
        Settings.load(file)


def test_an_objective_without_any_weight_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"objective: .*a weight other than 0"):
        Settings.load(None, {"objective": {"click": 0.0}})
