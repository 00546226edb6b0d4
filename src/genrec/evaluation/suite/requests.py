"""Requests in words for test users, made from what they are about to do: kinder than any real request would be."""

from __future__ import annotations

import hashlib

import numpy as np

from genrec.evaluation.suite.bench import Bench
from genrec.learning.requests import RequestSimulator
from genrec.ranking.loading import template_of

WARNING = (
    "requests are simulated: each holds words of the very item that is to be found, so figures say whether a system "
    "reads requests, not how well it serves real ones"
)


def simulated_requests(bench: Bench) -> tuple[list[str | None], list[str]]:
    """A request for each test user about one of his targets (None where it has no telling word), and warnings.

    The same for a user whatever others are asked for.
    """
    simulator = RequestSimulator(bench.items, template_of(bench.settings).language)
    requests = []
    for user, target in zip(bench.split.users, bench.split.targets, strict=True):
        digest = hashlib.sha256(f"request {bench.split.train.user_ids[user]}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        item = bench.items[int(target[generator.integers(len(target))])]
        requests.append(simulator.request(item, generator, "test"))
    silent = sum(request is None for request in requests)
    said = (
        [f"{silent} of {len(requests)} test users say nothing: no word of their item is rare enough"] if silent else []
    )
    return requests, [WARNING, *said]
