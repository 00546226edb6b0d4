from __future__ import annotations

import pytest
from prompting_samples import make_tokenizer

from genrec.prompting.library import TemplateLibrary
from genrec.prompting.tokenizer import ChatTokenizer


@pytest.fixture(scope="session")
def tokenizer() -> ChatTokenizer:
    return make_tokenizer()


@pytest.fixture(scope="session")
def library() -> TemplateLibrary:
    return TemplateLibrary()
