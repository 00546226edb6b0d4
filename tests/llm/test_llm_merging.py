"""Adapters are merged once, and a merged model says what base and adapter say together."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from genrec.errors import ModelError
from genrec.llm.engines import transformers as engine
from genrec.llm.merging import weights
from genrec.settings import ModelSettings


@pytest.fixture
def base(tmp_path: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "tokenizer.json").write_text("{}")
    return tmp_path / "base"


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=2, target_modules=["q_proj"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.5)  # zero after a fresh start, and an adapter of zeros would show nothing
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_a_merged_model_says_what_base_and_adapter_say(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    monkeypatch.setenv("GENREC_CACHE", str(tmp_path / "cache"))
    settings = ModelSettings(name=str(base), adapter=str(adapter), engine="transformers", dtype="float32")
    prompt = [3, 1, 4, 1, 5]
    merged = asyncio.run(engine.load(settings))
    plain = asyncio.run(engine.load(settings.model_copy(update={"adapter": None})))
    apart = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(adapter)).eval()
    with torch.inference_mode():
        expected = apart(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)[[7, 9]].numpy()
    found = asyncio.run(merged.score_tokens([prompt], [7, 9]))[0]
    assert found == pytest.approx(expected, abs=1e-5)
    assert np.abs(found - asyncio.run(plain.score_tokens([prompt], [7, 9]))[0]).max() > 1e-3
    assert merged.adapter == "adapter"


def test_it_is_merged_once(base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENREC_CACHE", str(tmp_path / "cache"))
    settings = ModelSettings(name=str(base), adapter=str(adapter))
    first = weights(settings)
    stamp = (first / "model.safetensors").stat().st_mtime_ns
    assert weights(settings) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == stamp
    assert (first / "tokenizer.json").read_text() == "{}"
    assert weights(settings.model_copy(update={"adapter": None})) == base


def test_no_adapter_there(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no adapter"):
        weights(ModelSettings(name=str(base), adapter=str(tmp_path / "nothing")))
