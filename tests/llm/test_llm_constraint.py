"""The logits processor, driven through both interfaces of vLLM."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("vllm")

from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality

from genrec.llm.constraint import ARGUMENT, PROCESSOR, DistinctLabels

VOCABULARY = 40


def constrained(labels: list[int], max_tokens: int | None = None) -> SamplingParams:
    return SamplingParams(max_tokens=max_tokens or len(labels), extra_args={ARGUMENT: labels})


def allowed(row: torch.Tensor) -> set[int]:
    return set(torch.isfinite(row).nonzero().flatten().tolist())


def batch(
    added: list[tuple[int, SamplingParams, list[int]]],
    removed: tuple[int, ...] = (),
    moved: tuple[tuple[int, int, MoveDirectionality], ...] = (),
) -> BatchUpdate:
    return BatchUpdate(8, removed, [(index, params, [], emitted) for index, params, emitted in added], moved)


class RunnerV2:
    """The part of vLLM's V2 model runner that a processor sees: slots with their tokens."""

    def __init__(self, slots: int = 4, length: int = 64) -> None:
        self.tokens = torch.zeros(slots, length, dtype=torch.int32)
        self.prompt_len = torch.zeros(slots, dtype=torch.int32)
        states = SimpleNamespace(
            device=torch.device("cpu"),
            max_num_reqs=slots,
            vocab_size=VOCABULARY,
            all_token_ids=SimpleNamespace(gpu=self.tokens),
            prompt_len=SimpleNamespace(gpu=self.prompt_len),
        )
        self.lengths = [0] * slots
        self.processor = DistinctLabels(None, states)

    def add(self, slot: int, params: SamplingParams, prompt: list[int]) -> bool:
        self.tokens[slot, : len(prompt)] = torch.tensor(prompt)
        self.prompt_len[slot] = self.lengths[slot] = len(prompt)
        return bool(self.processor.add_request(slot, params))

    def emit(self, slot: int, token: int) -> None:
        self.tokens[slot, self.lengths[slot]] = token
        self.lengths[slot] += 1

    def apply(self, logits: torch.Tensor, slots: list[int]) -> torch.Tensor:
        mapping = torch.tensor(slots, dtype=torch.int32)
        context = SimpleNamespace(
            expanded_idx_mapping=mapping,
            idx_mapping=mapping,
            idx_mapping_np=np.array(slots),
            pos=torch.tensor([self.lengths[slot] - 1 for slot in slots]),
        )
        return self.processor.apply(logits, context)


def test_the_name_given_to_vllm_is_this_class() -> None:
    module, name = PROCESSOR.split(":")
    assert (module, name) == (DistinctLabels.__module__, DistinctLabels.__name__)
    assert DistinctLabels(None, torch.device("cpu"), False).is_argmax_invariant() is False


def test_v1_lets_only_labels_that_were_not_emitted_through() -> None:
    processor = DistinctLabels(None, torch.device("cpu"), False)
    emitted: list[int] = []
    processor.update_state(batch([(0, constrained([3, 5, 9]), emitted), (1, SamplingParams(), [])]))
    logits = torch.randn(2, VOCABULARY)
    after = processor.apply(logits.clone())
    assert allowed(after[0]) == {3, 5, 9}
    assert torch.equal(after[0, [3, 5, 9]], logits[0, [3, 5, 9]])
    assert torch.equal(after[1], logits[1])
    emitted.append(5)  # the runner appends to the list that it handed over
    processor.update_state(None)
    assert allowed(processor.apply(logits.clone())[0]) == {3, 9}


def test_v1_follows_requests_that_leave_and_move() -> None:
    processor = DistinctLabels(None, torch.device("cpu"), False)
    processor.update_state(batch([(0, constrained([1, 2]), []), (1, SamplingParams(), []), (2, constrained([7]), [])]))
    processor.update_state(batch([], removed=(0,), moved=((2, 0, MoveDirectionality.UNIDIRECTIONAL),)))
    after = processor.apply(torch.zeros(2, VOCABULARY))
    assert allowed(after[0]) == {7}
    assert allowed(after[1]) == set(range(VOCABULARY))
    processor.update_state(batch([], moved=((0, 1, MoveDirectionality.SWAP),)))
    after = processor.apply(torch.zeros(2, VOCABULARY))
    assert allowed(after[0]) == set(range(VOCABULARY))
    assert allowed(after[1]) == {7}


def test_v2_lets_only_labels_that_were_not_emitted_through() -> None:
    runner = RunnerV2()
    assert runner.add(2, constrained([3, 5, 0]), [3, 5, 5, 0]) is True  # labels in the prompt do not count
    assert runner.add(0, SamplingParams(), [1]) is False
    logits = torch.randn(2, VOCABULARY)
    after = runner.apply(logits.clone(), [0, 2])
    assert torch.equal(after[0], logits[0])
    assert allowed(after[1]) == {0, 3, 5}
    assert torch.equal(after[1, [0, 3, 5]], logits[1, [0, 3, 5]])
    runner.emit(2, 0)
    assert allowed(runner.apply(logits.clone(), [2, 0])[0]) == {3, 5}


def test_v2_takes_over_a_slot_that_is_used_again() -> None:
    runner = RunnerV2()
    runner.add(1, constrained([4, 6, 8]), [1])
    runner.emit(1, 4)
    runner.add(1, constrained([9]), [1, 2])
    assert allowed(runner.apply(torch.zeros(1, VOCABULARY), [1])[0]) == {9}
    runner.add(1, SamplingParams(), [1])
    assert allowed(runner.apply(torch.zeros(1, VOCABULARY), [1])[0]) == set(range(VOCABULARY))


@settings(deadline=None)
@given(data=st.data())
def test_both_interfaces_generate_the_same_distinct_labels(data: st.DataObject) -> None:
    label_sets = data.draw(
        st.lists(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=12, unique=True), min_size=1, max_size=3)
    )
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    first = DistinctLabels(None, torch.device("cpu"), False)
    second = RunnerV2()
    emitted: list[list[int]] = [[] for _ in label_sets]
    first.update_state(batch([(row, constrained(labels), emitted[row]) for row, labels in enumerate(label_sets)]))
    for slot, labels in enumerate(label_sets):
        second.add(slot, constrained(labels), [0, 1, 2])
    for _ in range(min(map(len, label_sets))):
        logits = torch.randn(len(label_sets), VOCABULARY, generator=generator)
        by_v1 = first.apply(logits.clone())
        by_v2 = second.apply(logits.clone(), list(range(len(label_sets))))
        assert torch.equal(by_v1, by_v2)
        for row, token in enumerate(by_v1.argmax(1).tolist()):
            emitted[row].append(token)
            second.emit(row, token)
    for labels, tokens in zip(label_sets, emitted, strict=True):
        assert len(set(tokens)) == len(tokens)
        assert set(tokens) <= set(labels)


@pytest.mark.parametrize("labels", [[], [1, 1], [-1], ["a"], [True, 2], list(range(2000)), "12", 7])
def test_arguments_that_make_no_sense_are_refused(labels: Any) -> None:
    with pytest.raises(ValueError, match=ARGUMENT):
        DistinctLabels.validate_params(constrained(labels, max_tokens=1))


def test_more_tokens_than_labels_are_refused() -> None:
    DistinctLabels.validate_params(constrained([1, 2], max_tokens=2))
    DistinctLabels.validate_params(SamplingParams())
    with pytest.raises(ValueError, match="max_tokens"):
        DistinctLabels.validate_params(constrained([1, 2], max_tokens=3))
    with pytest.raises(ValueError, match="max_tokens"):
        DistinctLabels.validate_params(SamplingParams(max_tokens=None, extra_args={ARGUMENT: [1]}))


def test_labels_outside_the_vocabulary_are_never_allowed_and_do_no_harm() -> None:
    first = DistinctLabels(None, torch.device("cpu"), False)
    first.update_state(batch([(0, constrained([3, VOCABULARY, 10**9]), [])]))
    assert allowed(first.apply(torch.zeros(1, VOCABULARY))[0]) == {3}
    second = RunnerV2()
    second.add(0, constrained([3, VOCABULARY, 10**9]), [1])
    assert allowed(second.apply(torch.zeros(1, VOCABULARY), [0])[0]) == {3}
