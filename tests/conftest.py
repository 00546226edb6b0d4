"""Fixtures that several folders share: a tiny tokenizer, a small catalogue, and the real parts, each made once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support import Served, genrec, serving

pytest.register_assert_rewrite("genrec.testing")

# On a busy machine an example may take long without being wrong.
settings.register_profile("genrec", deadline=None)
settings.load_profile("genrec")

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE with ChatML control tokens and single-token labels, as a model folder has it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    pairs = [first + second for first in capitals for second in capitals[:5]]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        [*(pairs * 5), *(["Yes", "No", "是", "否", "watched", "user", "system"] * 20)], trainer
    )
    folder = tmp_path_factory.mktemp("tiny-tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "chat_template": CHATML}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def movielens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted workspace of MovieLens-100k, by the commands a user would type. Tests must not change it."""
    folder = tmp_path_factory.mktemp("movielens")
    genrec(["data", "import", "recbole", "--path", "ml-100k", "--workspace", str(folder)])
    genrec(["fit", "--workspace", str(folder), "--no-tune", "--llm-slates", "4"])
    return folder


@pytest.fixture(scope="session")
def served(movielens: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`genrec serve` on a copy of the workspace, with an API key, on a free port."""
    folder = tmp_path_factory.mktemp("served") / "workspace"
    shutil.copytree(movielens, folder)
    with serving(folder, log=folder / "serve.log", key="test-key") as server:
        yield server
