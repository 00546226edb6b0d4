"""One pass over a slate says of each candidate what its own prompt says, with gradients where they are needed."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import torch
from tiny_tuning import tiny_model

from genrec.errors import ModelError
from genrec.llm.engines.transformers import TransformersModel
from genrec.training.base import TokenSlate
from genrec.training.config import LoraSettings
from genrec.training.forward import block_mask, collate, scores, verify
from genrec.training.lora import attach


def slate(prefix: int, suffixes: list[int], seed: int = 0) -> TokenSlate:
    generator = np.random.default_rng(seed)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(generator.integers(5, 60, count).tolist())

    return TokenSlate(
        tokens(prefix), tuple(tokens(size) for size in suffixes), (3, 4), np.full(len(suffixes), 1 / len(suffixes))
    )


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_slate_scores_what_serving_reads_of_each_prompt(attention: str) -> None:
    model = tiny_model()
    model.set_attn_implementation(attention)
    batch = [slate(9, [3, 1, 5], 1), slate(4, [2, 2], 2), slate(15, [1], 3)]
    with torch.no_grad():
        found = scores(model, collate(batch)).numpy()
    served = TransformersModel(model, "tiny", 512)
    for row, one in enumerate(batch):
        prompts = [one.prefix + suffix for suffix in one.suffixes]
        log_probs = asyncio.run(served.score_tokens(prompts, one.label_ids))
        assert found[row, : len(prompts)] == pytest.approx(log_probs[:, 0] - log_probs[:, 1], abs=1e-4)


def test_label_slates_score_the_logits_of_their_labels_at_the_last_token() -> None:
    model = tiny_model()
    prompts = [(5, 6, 7, 8, 9), (10, 11)]
    batch = [TokenSlate(prompts[0], (), (20, 21, 22), np.eye(3)[0]), TokenSlate(prompts[1], (), (22, 20), np.eye(2)[1])]
    with torch.no_grad():
        found = scores(model, collate(batch)).numpy()
        for row, prompt in enumerate(prompts):
            logits = model(torch.tensor([prompt])).logits[0, -1].numpy()
            labels = list(batch[row].label_ids)
            assert found[row, : len(labels)] == pytest.approx(logits[labels], abs=1e-4)


def test_a_suffix_sees_the_prefix_and_itself_and_padding_is_seen_by_nobody() -> None:
    mask = block_mask(torch.tensor([[0, 0, 1, 1, 2, -1]]))[0, 0].int().tolist()
    assert mask == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 0],
    ]


def test_collate_pads_what_slates_have_and_refuses_a_mixture() -> None:
    first = TokenSlate((5, 6), ((7,), (8, 9)), (3, 4), np.array([0.25, 0.75]), 2.0, np.array([1.0, -1.0]))
    batch = collate([first, slate(1, [1])])
    assert batch.position_ids[0].tolist() == [0, 1, 2, 2, 3]
    assert batch.read[0].tolist() == [2, 4]
    assert batch.present.tolist() == [[True, True], [True, False]]
    assert batch.target[0].tolist() == [0.25, 0.75]
    assert batch.offset.tolist() == [[1.0, -1.0], [0.0, 0.0]]
    assert batch.weight.tolist() == [2.0, 1.0]
    with pytest.raises(ValueError, match="mix"):
        collate([first, TokenSlate((5,), (), (3, 4), np.eye(2)[0])])


def test_only_the_tuned_layers_compute_gradients() -> None:
    model = attach(tiny_model(), LoraSettings(layers=1, rank=2), seed=0)
    seen: list[bool] = []
    for layer in model.get_base_model().model.layers:
        layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output.requires_grad))
    scores(model, collate([slate(5, [2, 3])])).sum().backward()
    assert seen == [False, False, True]
    assert all("layers.2." in name for name, weight in model.named_parameters() if weight.grad is not None)


def test_a_model_that_reads_otherwise_is_refused() -> None:
    from transformers import MistralConfig, MistralForCausalLM

    verify(tiny_model())
    scaled = tiny_model()
    scaled.lm_head.register_forward_hook(lambda _module, _inputs, output: output * 3)
    with pytest.raises(ModelError, match="shared prefix"):
        verify(scaled)
    windowed = MistralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=4,
    )  # fmt: skip
    with pytest.raises(ModelError, match="shared prefix"):
        verify(MistralForCausalLM(windowed))
