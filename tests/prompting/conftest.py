from __future__ import annotations

from pathlib import Path

import pytest
from prompting_samples import CHATML, make_tokenizer, make_vocabulary

from genrec.prompting.library import TemplateLibrary
from genrec.prompting.tokenizer import ChatTokenizer


@pytest.fixture(scope="session")
def tokenizer() -> ChatTokenizer:
    return make_tokenizer()


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tokenizer of these tests, and a cache of its own."""
    monkeypatch.setenv("GENREC_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    folder.mkdir()
    make_vocabulary().save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(CHATML)
    return folder


@pytest.fixture(scope="session")
def library() -> TemplateLibrary:
    return TemplateLibrary()
