"""Keys of former sections are errors that name the new ones."""

import pytest

from genrec.errors import SettingsError
from genrec.settings import MOVED, Settings


@pytest.mark.parametrize("old", MOVED)
def test_a_former_key_names_the_new_one(old, tmp_path, monkeypatch):
    section, key = old.split(".")
    (tmp_path / "genrec.toml").write_text(f"[{section}]\n{key} = 3\n")
    with pytest.raises(SettingsError, match=f"{old} is {MOVED[old]} now"):
        Settings.load(tmp_path / "genrec.toml")
    monkeypatch.setenv(f"GENREC_{section.upper()}__{key.upper()}", "3")
    with pytest.raises(SettingsError, match=f"{old} is {MOVED[old]} now"):
        Settings.load()


def test_every_new_key_is_there():
    for new in MOVED.values():
        section, key = new.split(".")
        assert hasattr(getattr(Settings(), section), key)


@pytest.mark.parametrize(
    ("text", "said"), [("[clicks]\n", "see \\[scoring\\]"), ("[checks]\nodd = 1\n", "odd is gone")]
)
def test_a_former_section_without_known_keys_says_where_to_look(text, said, tmp_path):
    (tmp_path / "genrec.toml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        Settings.load(tmp_path / "genrec.toml")
