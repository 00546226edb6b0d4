"""A caller whose event loop closes while their answer is on the way."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("vllm")

from genrec.llm.engines.vllm import VllmOffline, _Job


class ClosingLoop:
    """Open when it is asked, closed when it is used."""

    def is_closed(self) -> bool:
        return False

    def call_soon_threadsafe(self, *_: Any) -> None:
        raise RuntimeError("Event loop is closed")


class Engine:
    """Answers everything that it holds in one step."""

    def __init__(self) -> None:
        config = {"model_config": SimpleNamespace(max_model_len=64), "cache_config": SimpleNamespace(block_size=32)}
        self.vllm_config = SimpleNamespace(**config)
        self.engine_core = SimpleNamespace(shutdown=lambda: None)
        self.held: list[str] = []

    def add_request(self, name: str, *_: Any, **__: Any) -> None:
        self.held.append(name)

    def step(self) -> list[Any]:
        output = SimpleNamespace(token_ids=[0], logprobs=[{5: SimpleNamespace(logprob=-2.0)}])
        answers = [SimpleNamespace(request_id=name, outputs=[output], finished=True) for name in self.held]
        self.held = []
        return answers


def test_it_is_no_fault_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrec.llm.engines.vllm.start_engine", lambda _: Engine())
    model = VllmOffline({}, "small")
    job = _Job([(SimpleNamespace(), SimpleNamespace())], ClosingLoop(), asyncio.Queue())  # type: ignore[list-item,arg-type]
    model._inbox.put(job)
    assert asyncio.run(model.score_tokens([[1]], [5])).tolist() == [[-2.0]]
    asyncio.run(model.close())
