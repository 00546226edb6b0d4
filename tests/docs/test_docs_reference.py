"""The reference pages are what the code says."""

from __future__ import annotations

import subprocess
import sys

import pytest
from docs_pages import REPOSITORY

pytest.importorskip("fastapi")
GENERATE = [sys.executable, str(REPOSITORY / "docs" / "generate")]


def test_the_reference_is_up_to_date() -> None:
    done = subprocess.run([*GENERATE, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_unknown_option_is_refused() -> None:
    done = subprocess.run([*GENERATE, "--chek"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_every_setting_is_in_the_reference() -> None:
    """Counted apart from the generator: by the environment's names of what pydantic knows."""
    from genrec.settings import Settings

    text = (REPOSITORY / "docs" / "reference" / "settings.md").read_text("utf-8")
    for section, field in Settings.model_fields.items():
        assert f"## `[{section}]`" in text
        for key in getattr(field.annotation, "model_fields", {}):
            assert f"`{key}`" in text or f"[{section}.{key}]" in text, f"{section}.{key}"
