"""A logits processor for vLLM: k distinct labels, one token each, "the label set minus what was emitted"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate
from vllm.v1.sample.logits_processor import LogitsProcessor as RunnerV1Processor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcRequestState
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as RunnerV2Processor

ARGUMENT = "genrec_labels"
"""Name of the request's extra argument: a flat list of distinct token ids."""
MOST_LABELS = 1024
PROCESSOR = "genrec.llm.constraint:DistinctLabels"
"""What `--logits-processors` takes."""


class DistinctLabels(RunnerV1Processor, RunnerV2Processor):  # type: ignore[misc]  # vllm has no types here
    """Lets a request with the extra argument ARGUMENT emit each of these tokens at most once, and nothing else.

    Speaks both interfaces of vLLM: that of the V1 model runner (CPU), which hands over the list of emitted tokens, and
    that of the V2 runner (CUDA), where the emitted tokens lie in a buffer on the device. Requests without the argument
    are left alone. A request must not ask for more tokens than it has labels.
    """

    def __init__(self, vllm_config: Any, *runner: Any) -> None:
        self._emitting: dict[int, tuple[torch.Tensor, list[int]]] = {}
        if len(runner) == 1:
            states: LogitsProcRequestState = runner[0]
            self._vocabulary = states.vocab_size
            self._tokens, self._prompt_len = states.all_token_ids.gpu, states.prompt_len.gpu
            self._labels = torch.zeros(states.max_num_reqs, MOST_LABELS, dtype=torch.int64, device=states.device)
            self._counts = torch.zeros(states.max_num_reqs, dtype=torch.int64, device=states.device)
            self._slots: dict[int, int] = {}

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """ValueError unless the argument is a list of distinct token ids, at least as many as the request emits."""
        labels = _labels_of(sampling_params)
        if labels is None:
            return
        if not isinstance(labels, list) or not labels or not all(type(label) is int and label >= 0 for label in labels):
            raise ValueError(f"{ARGUMENT} must be a list of token ids")
        if len(set(labels)) != len(labels) or len(labels) > MOST_LABELS:
            raise ValueError(f"{ARGUMENT} must hold distinct token ids, {MOST_LABELS} at most")
        if sampling_params.max_tokens is None or sampling_params.max_tokens > len(labels):
            raise ValueError(f"max_tokens must be the number of {ARGUMENT} at most")

    def is_argmax_invariant(self) -> bool:
        """It decides what the argmax is."""
        return False

    # The V1 runner.

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follows requests as they enter, leave and move within the batch."""
        process_dict_updates(self._emitting, batch_update, _new_state)

    # The V2 runner.

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """Takes over a slot; True if the request is constrained."""
        labels = _labels_of(sampling_params)
        if labels is None:
            self._slots.pop(req_idx, None)
            self._counts[req_idx] = 0
            return False
        labels = [label for label in labels if label < self._vocabulary]
        self._slots[req_idx] = len(labels)
        self._counts[req_idx] = len(labels)
        self._labels[req_idx, : len(labels)] = torch.tensor(labels, device=self._labels.device)
        return True

    def apply(self, logits: torch.Tensor, ctx: LogitsContext | None = None) -> torch.Tensor:
        """Sets all logits of a constrained row to -inf but those of labels that were not emitted yet."""
        if ctx is not None:
            return self._apply_on_device(logits, ctx)
        for row, (labels, emitted) in self._emitting.items():
            left = labels[labels < logits.shape[1]]  # an index outside would end the engine for everyone
            left = left[~torch.isin(left, torch.tensor(emitted, dtype=torch.int64))].to(logits.device)
            kept = logits[row, left].clone()
            logits[row].fill_(float("-inf"))
            logits[row, left] = kept
        return logits

    def _apply_on_device(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        widths = [self._slots[slot] for slot in ctx.idx_mapping_np.tolist() if slot in self._slots]
        if not widths:
            return logits
        slots = ctx.expanded_idx_mapping.long()
        places = torch.arange(max(widths), device=logits.device)
        labels = self._labels[slots, : len(places)]  # [R, L], padded with label 0, which -inf keeps out below
        left = places < self._counts[slots, None]
        starts = self._prompt_len[slots].long()
        lengths = ctx.pos.long() + 1 - starts  # how many tokens each row has emitted
        indices = (starts[:, None] + places).clamp(max=self._tokens.shape[1] - 1)
        emitted = self._tokens[slots[:, None], indices].long()
        emitted = emitted.masked_fill(places >= lengths[:, None], -1)
        left &= ~(labels[:, :, None] == emitted[:, None, :]).any(-1)
        masked = torch.full_like(logits, float("-inf"))
        kept = logits.gather(1, labels).masked_fill(~left, float("-inf"))
        masked.scatter_reduce_(1, labels, kept, "amax")
        constrained = (self._counts[slots] > 0)[:, None]
        return logits.copy_(torch.where(constrained, masked, logits))


def _labels_of(params: SamplingParams) -> Sequence[int] | None:
    return (params.extra_args or {}).get(ARGUMENT)


def _new_state(
    params: SamplingParams, prompt_ids: list[int] | None, output_ids: list[int]
) -> tuple[torch.Tensor, list[int]] | None:
    labels = _labels_of(params)
    return None if labels is None else (torch.tensor(labels, dtype=torch.int64), output_ids)
