"""Scores of whole slates in one forward pass: the history once, every candidate behind it under a block mask.

A row of the batch is `[prefix][suffix 1][suffix 2]...`. Every suffix counts its positions from the end of the prefix
and sees the prefix and itself only, so its scores equal those of the prompt `prefix + suffix` read alone, as serving
reads it. Logits are computed for the tokens and positions that are read, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrec.errors import ModelError
from genrec.training.base import TokenSlate


@dataclass(frozen=True, eq=False)
class SlateBatch:
    """B slates as tensors, padded to L tokens and n candidates.

    `read` [B, R]: positions whose hidden states are read (R = n for yes-no slates, 1 for label slates). `label_ids`
    [B, T]: the tokens read there. `present` [B, n]: which candidates are real; `target`, `offset` [B, n] and `weight`
    [B] are those of the slates.
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor
    read: Tensor
    label_ids: Tensor
    yes_no: bool
    present: Tensor
    target: Tensor
    offset: Tensor
    weight: Tensor

    def to(self, device: Any) -> SlateBatch:
        """The same batch on another device."""
        return SlateBatch(**{key: value if key == "yes_no" else value.to(device) for key, value in vars(self).items()})


def collate(slates: Sequence[TokenSlate]) -> SlateBatch:
    """Slates of one kind of template as a batch; ValueError if yes-no and label slates are mixed."""
    yes_no = bool(slates[0].suffixes)
    if any(bool(slate.suffixes) != yes_no for slate in slates):
        raise ValueError("slates of yes-no and of label templates do not mix in one batch")
    rows, length, width = len(slates), max(slate.tokens for slate in slates), max(len(s.target) for s in slates)
    ids, positions = np.zeros((rows, length), np.int64), np.zeros((rows, length), np.int64)
    segment = np.full((rows, length), -1, np.int64)
    read = np.zeros((rows, width if yes_no else 1), np.int64)
    labels = np.zeros((rows, 2 if yes_no else width), np.int64)
    present, target, offset = np.zeros((rows, width), np.bool_), np.zeros((rows, width)), np.zeros((rows, width))
    for row, slate in enumerate(slates):
        n, start, end = len(slate.target), len(slate.prefix), slate.tokens
        lengths = [len(suffix) for suffix in slate.suffixes]
        ids[row, :end] = np.concatenate([slate.prefix, *slate.suffixes])
        positions[row, :end] = np.concatenate([np.arange(start), *(start + np.arange(size) for size in lengths)])
        segment[row, :end] = np.repeat(np.arange(len(lengths) + 1), [start, *lengths])
        read[row, : n if yes_no else 1] = start + np.cumsum(lengths) - 1 if yes_no else start - 1
        labels[row, : len(slate.label_ids)] = slate.label_ids
        present[row, :n], target[row, :n] = True, slate.target
        if slate.offset is not None:
            offset[row, :n] = slate.offset
    return SlateBatch(
        input_ids=torch.from_numpy(ids),
        position_ids=torch.from_numpy(positions),
        attention_mask=block_mask(torch.from_numpy(segment)),
        read=torch.from_numpy(read),
        label_ids=torch.from_numpy(labels),
        yes_no=yes_no,
        present=torch.from_numpy(present),
        target=torch.from_numpy(target).float(),
        offset=torch.from_numpy(offset).float(),
        weight=torch.tensor([slate.weight for slate in slates], dtype=torch.float32),
    )


def block_mask(segment: Tensor) -> Tensor:
    """Who sees whom, bool [B, 1, L, L], from the segment of each token [B, L]: 0 prefix, i suffix i, -1 padding.

    A token sees the prefix and its own segment, never what comes later. Padding sees something, so that no row of the
    softmax is empty; nothing sees padding.
    """
    length = segment.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segment.device).tril()
    keys, queries = segment[:, None, :], segment[:, :, None]
    return (causal & ((keys == 0) | ((keys == queries) & (keys > 0))))[:, None]


def scores(model: Any, batch: SlateBatch) -> Tensor:
    """Scores [B, n] in float32: logit(yes) - logit(no) behind each candidate, or the logit of each label.

    `model` is a causal language model of transformers, bare or wrapped by peft. Where `batch.present` is False the
    entries mean nothing.
    """
    causal = unwrapped(model)
    # Additive, as every attention implementation takes it, and made once for all layers.
    mask = torch.zeros(batch.attention_mask.shape, dtype=causal.dtype, device=batch.attention_mask.device)
    hidden = causal.base_model(
        input_ids=batch.input_ids,
        attention_mask=mask.masked_fill_(~batch.attention_mask, torch.finfo(causal.dtype).min),
        position_ids=batch.position_ids,
        use_cache=False,
    ).last_hidden_state
    read = hidden.gather(1, batch.read[:, :, None].expand(-1, -1, hidden.shape[-1]))
    logits = _logits(causal, read, batch.label_ids)
    return logits[..., 0] - logits[..., 1] if batch.yes_no else logits[:, 0]


def unwrapped(model: Any) -> Any:
    """The causal language model of transformers, with its adapter, without the wrapper of peft."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _logits(causal: Any, hidden: Tensor, token_ids: Tensor) -> Tensor:
    """Logits [B, R, T] in float32 of the tokens [B, T] at the hidden states [B, R, d].

    Computed in float32 too: candidates are told apart by differences that bfloat16 rounds away.
    """
    head = causal.get_output_embeddings()
    with torch.autocast(hidden.device.type, enabled=False):
        logits = torch.einsum("brd,btd->brt", hidden.float(), head.weight[token_ids].float())
    if getattr(head, "bias", None) is not None:
        logits = logits + head.bias[token_ids][:, None]
    return _capped(causal, logits)


def _capped(causal: Any, logits: Tensor) -> Tensor:
    cap = getattr(causal.config, "final_logit_softcapping", None)
    return logits if cap is None else cap * torch.tanh(logits / cap)


def verify(model: Any) -> None:
    """ModelError unless the model scores a small slate as it scores each of its prompts alone.

    Architectures that ignore a block mask (sliding windows, recurrences) or scale their logits would be tuned on
    something else than what serving reads.
    """
    prefix, suffixes, read = tuple(range(3, 15)), ((16, 17, 18), (19,), (20, 21)), (22, 23)
    slate = TokenSlate(prefix, suffixes, read, np.full(len(suffixes), 1 / len(suffixes)))
    training = model.training
    model.eval()
    with torch.no_grad():
        found = scores(model, collate([slate]).to(model.device))[0]
        alone = []
        for suffix in suffixes:
            prompt = torch.tensor([prefix + suffix], device=model.device)
            last = model(input_ids=prompt, use_cache=False).logits[0, -1].float()
            alone.append(last[read[0]] - last[read[1]])
    model.train(training)
    wanted = torch.stack(alone)
    if not torch.allclose(found, wanted, atol=1e-3 if found.dtype == wanted.dtype == model.dtype else 0.25, rtol=1e-3):
        raise ModelError(
            "this model does not read candidates behind a shared prefix as it reads them alone",
            "tune a model with full attention in every layer (Llama, Qwen, Mistral, Gemma, SmolLM)",
        )
