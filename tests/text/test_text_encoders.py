from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.domain import Item
from genrec.errors import ModelError
from genrec.settings import EncoderSettings
from genrec.testing import EncoderContract
from genrec.text.encoders import (
    CachedEncoder,
    Encoder,
    HashingEncoder,
    Progress,
    SentenceEncoder,
    Vectors,
    item_text,
    load_encoder,
)


class Counting(HashingEncoder):
    """Remembers the texts it encodes."""

    def __init__(self) -> None:
        super().__init__(16)
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        self.seen.extend(texts)
        return super().encode(texts, progress)


def test_an_item_in_words() -> None:
    item = Item("1", "Heat", {"year": 1995.0, "genres": ("Crime", "Drama"), "star_rating": 4.5, "note": "", "cast": ()})
    assert item_text(item) == "Heat. genres: Crime, Drama. star rating: 4.5. year: 1995"


def test_the_order_of_metadata_does_not_matter() -> None:
    assert item_text(Item("1", "T", {"a": "x", "b": "y"})) == item_text(Item("1", "T", {"b": "y", "a": "x"}))


@given(st.lists(st.text(max_size=30), max_size=8))
def test_hashed_vectors_have_unit_length_or_are_zero(texts: list[str]) -> None:
    vectors = HashingEncoder(32).encode(texts)
    assert vectors.shape == (len(texts), 32)
    assert vectors.dtype == np.float32
    lengths = np.linalg.norm(vectors, axis=1)
    assert (np.isclose(lengths, 1, atol=1e-5) | (lengths == 0)).all()


def test_hashed_texts_are_near_when_they_share_words() -> None:
    toy, story, other = HashingEncoder().encode(["Toy Story", "toy story 2!", "The Seventh Seal"])
    assert toy @ story > 0.5 > abs(toy @ other)


def test_the_seed_chooses_the_hash_function() -> None:
    texts = ["a few words"]
    first, again = HashingEncoder(64, seed=1), HashingEncoder(64, seed=1)
    other = HashingEncoder(64, seed=2)
    np.testing.assert_array_equal(first.encode(texts), again.encode(texts))
    assert (first.encode(texts) != other.encode(texts)).any()
    assert first.name == again.name != other.name


def test_settings_name_the_hashing_encoder() -> None:
    assert load_encoder(EncoderSettings(name="hashing")).name == HashingEncoder().name


class TestHashing(EncoderContract):
    @pytest.fixture
    def encoder(self) -> Encoder:
        return HashingEncoder(64)


class TestCached(EncoderContract):
    @pytest.fixture
    def encoder(self, tmp_path: Path) -> Encoder:
        return CachedEncoder(HashingEncoder(64), tmp_path)


class TestCache:
    def test_gives_what_the_encoder_gives(self, tmp_path: Path) -> None:
        texts = ["one", "two", "one", ""]
        cached = CachedEncoder(Counting(), tmp_path)
        np.testing.assert_array_equal(cached.encode(texts), HashingEncoder(16).encode(texts))
        np.testing.assert_array_equal(cached.encode(texts[::-1]), HashingEncoder(16).encode(texts[::-1]))

    def test_encodes_each_text_once_over_several_runs(self, tmp_path: Path) -> None:
        first, second = Counting(), Counting()
        CachedEncoder(first, tmp_path).encode(["one", "two", "one"])
        CachedEncoder(second, tmp_path).encode(["two", "three", "one"])
        assert first.seen == ["one", "two"]
        assert second.seen == ["three"]

    def test_works_without_a_folder(self) -> None:
        encoder = Counting()
        cached = CachedEncoder(encoder)
        cached.encode(["one"])
        cached.encode(["one"])
        assert encoder.seen == ["one"]
        assert (cached.name, cached.dimension) == (encoder.name, 16)

    def test_a_broken_file_counts_as_empty(self, tmp_path: Path) -> None:
        CachedEncoder(Counting(), tmp_path).encode(["one"])
        (file,) = tmp_path.iterdir()
        file.write_bytes(file.read_bytes()[:-5])
        encoder = Counting()
        CachedEncoder(encoder, tmp_path).encode(["one"])
        assert encoder.seen == ["one"]

    def test_encoders_do_not_share_a_file(self, tmp_path: Path) -> None:
        CachedEncoder(HashingEncoder(16), tmp_path).encode(["one"])
        wide = CachedEncoder(HashingEncoder(32), tmp_path).encode(["one"])
        np.testing.assert_array_equal(wide, HashingEncoder(32).encode(["one"]))
        assert len(list(tmp_path.iterdir())) == 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very small BERT with random weights as a sentence-transformers folder."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghij"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(path)
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=16,
        )
    ).save_pretrained(path)
    (path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 8}))
    pool(path, "mean_tokens")
    return path


def pool(path: Path, *modes: str) -> None:
    (path / "1_Pooling").mkdir(exist_ok=True)
    config = {"word_embedding_dimension": 16, **{f"pooling_mode_{mode}": True for mode in modes}}
    (path / "1_Pooling" / "config.json").write_text(json.dumps(config))


class TestSentenceEncoder:
    TEXTS = ("a", "b c d", "a b c d e f", "", "unknown words", "j")

    def test_is_the_mean_over_the_tokens_of_each_text_alone(self, folder: Path) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
        vectors = SentenceEncoder(folder).encode(self.TEXTS)
        for text, vector in zip(self.TEXTS, vectors, strict=True):
            with torch.inference_mode():
                states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            expected = states.mean(dim=0).numpy()
            np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)

    def test_the_size_of_batches_changes_nothing(self, folder: Path) -> None:
        small, large = SentenceEncoder(folder, batch_tokens=8), SentenceEncoder(folder)
        np.testing.assert_allclose(small.encode(self.TEXTS), large.encode(self.TEXTS), atol=1e-6)

    def test_one_text_takes_one_thread(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch

        # Watched and not done: where vLLM runs in the same process it takes the function away.
        encoder, asked = SentenceEncoder(folder), list[int]()
        monkeypatch.setattr(torch, "set_num_threads", asked.append)
        encoder.encode(["a b c", "d"])
        assert asked == []
        encoder.encode(["a b c"])
        assert asked == [1, torch.get_num_threads()]

    def test_long_texts_are_cut(self, folder: Path) -> None:
        kept, cut = SentenceEncoder(folder).encode(["a b c d e f", "a b c d e f g h i j " * 20])
        np.testing.assert_allclose(kept, cut, atol=1e-6)

    def test_no_texts_are_no_vectors(self, folder: Path) -> None:
        assert SentenceEncoder(folder).encode([]).shape == (0, 16)

    def test_progress_reaches_the_end(self, folder: Path) -> None:
        seen: list[tuple[str, int, int]] = []
        SentenceEncoder(folder, batch_tokens=8).encode(self.TEXTS, lambda *step: seen.append(step))
        assert seen[-1] == ("encoding", len(self.TEXTS), len(self.TEXTS))
        assert len(seen) > 1

    @pytest.mark.parametrize("mode", ["cls_token", "max_tokens"])
    def test_other_poolings(self, folder: Path, mode: str) -> None:
        mean = SentenceEncoder(folder).encode(self.TEXTS)
        try:
            pool(folder, mode)
            other = SentenceEncoder(folder, batch_tokens=8).encode(self.TEXTS)
            alone = SentenceEncoder(folder).encode(self.TEXTS[:1])
        finally:
            pool(folder, "mean_tokens")
        assert np.abs(other - mean).max() > 0.01
        np.testing.assert_allclose(other[:1], alone, atol=1e-6)

    def test_a_pooling_that_is_not_known_is_refused(self, folder: Path) -> None:
        try:
            pool(folder, "weightedmean_tokens")
            with pytest.raises(ModelError, match="weightedmean"):
                SentenceEncoder(folder)
        finally:
            pool(folder, "mean_tokens")

    def test_modules_that_are_not_known_are_refused(self, folder: Path) -> None:
        modules = folder / "modules.json"
        modules.write_text(json.dumps([{"type": "sentence_transformers.models.Dense"}]))
        try:
            with pytest.raises(ModelError, match="Dense"):
                SentenceEncoder(folder)
        finally:
            modules.unlink()

    def test_a_folder_without_a_model_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError) as caught:
            SentenceEncoder(tmp_path)
        assert "minilm-l6" in caught.value.hint

    def test_a_model_that_does_not_load_is_an_error(self, folder: Path, tmp_path: Path) -> None:
        import shutil

        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        (copy / "model.safetensors").write_bytes(b"broken")
        with pytest.raises(ModelError, match="does not load"):
            SentenceEncoder(copy).encode(["a"])

    def test_with_a_full_cache_the_model_is_not_loaded(self, folder: Path, tmp_path: Path) -> None:
        CachedEncoder(SentenceEncoder(folder), tmp_path).encode(self.TEXTS)
        encoder = SentenceEncoder(folder)
        vectors = CachedEncoder(encoder, tmp_path).encode(self.TEXTS)
        assert vectors.shape == (len(self.TEXTS), 16)
        assert "_loaded" not in vars(encoder)

    def test_other_weights_have_another_name(self, folder: Path, tmp_path: Path) -> None:
        import shutil

        copy = tmp_path / folder.name
        shutil.copytree(folder, copy)
        assert SentenceEncoder(copy).name == SentenceEncoder(folder).name
        file = copy / "model.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
        assert SentenceEncoder(copy).name != SentenceEncoder(folder).name


@pytest.mark.model
def test_the_default_encoder_gives_the_similarities_that_its_authors_print() -> None:
    # https://sbert.net/docs/quickstart.html, all-MiniLM-L6-v2
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    encoder = load_encoder(EncoderSettings())
    vectors = encoder.encode(texts)
    expected = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=1e-4)
    assert encoder.dimension == vectors.shape[1] == 384
