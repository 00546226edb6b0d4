"""Training of the second stage: a listwise softmax over the whole pool, monotone where sense demands it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from genrec.fusion.network import CLIP, MonotoneNetwork
from genrec.text.encoders import Progress, one_thread

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Training:
    """How the network is fitted."""

    epochs: int = 12
    batch: int = 64
    hidden: int = 32
    learning_rate: float = 4e-3
    """Highest rate of the one-cycle schedule (Smith and Topin, 2018)."""
    weight_decay: float = 0.1
    seed: int = 0


class _Net(nn.Module):  # type: ignore[misc]
    """See `network.MonotoneNetwork` for the formula."""

    def __init__(self, monotone: npt.NDArray[np.bool_], hidden: int) -> None:
        super().__init__()
        width = len(monotone)
        self.a, self.b = nn.Linear(width, hidden), nn.Linear(hidden, hidden)
        self.c, self.skip = nn.Linear(hidden, 1, bias=False), nn.Linear(width, 1, bias=False)
        self.register_buffer("monotone", torch.from_numpy(monotone))
        with torch.no_grad():  # absolute values add up: smaller ones keep the first scores near zero
            self.b.weight.mul_(0.3)
            self.c.weight.mul_(0.3)

    def _free(self, weight: Tensor) -> Tensor:
        return torch.where(self.monotone, weight.abs(), weight)

    def forward(self, z: Tensor) -> Tensor:
        hidden = _act(functional.linear(z, self._free(self.a.weight), self.a.bias))
        hidden = _act(functional.linear(hidden, self.b.weight.abs(), self.b.bias))
        out = functional.linear(hidden, self.c.weight.abs()) + functional.linear(z, self._free(self.skip.weight))
        return out.squeeze(-1)

    def network(self, mean: Floats, scale: Floats) -> MonotoneNetwork:
        with torch.no_grad():
            weights = {
                "a.weight": self._free(self.a.weight),
                "a.bias": self.a.bias,
                "b.weight": self.b.weight.abs(),
                "b.bias": self.b.bias,
                "c.weight": self.c.weight.abs(),
                "skip.weight": self._free(self.skip.weight),
            }
        arrays = {name: tensor.detach().numpy().copy() for name, tensor in weights.items()}
        return MonotoneNetwork({**arrays, "mean": mean, "scale": scale})


def fit_network(
    pools: Sequence[Floats],
    targets: Sequence[int],
    monotone: npt.NDArray[np.bool_],
    training: Training | None = None,
    progress: Progress | None = None,
) -> MonotoneNetwork:
    """Minimises the mean of -log softmax(scores of a pool [n, D])[target] (ListNet's top-one loss; AdamW).

    `monotone` [D] marks the columns of which more can never be worse. Equal seeds give equal networks on one machine.
    """
    how = training or Training()
    size = max(len(pool) for pool in pools)
    stacked = np.concatenate(pools)
    mean, scale = stacked.mean(axis=0), stacked.std(axis=0) + np.float32(1e-6)
    z = torch.zeros(len(pools), size, len(mean))
    outside = torch.ones(len(pools), size, dtype=torch.bool)
    for row, pool in enumerate(pools):
        z[row, : len(pool)] = torch.from_numpy(np.clip((pool - mean) / scale, -CLIP, CLIP))
        outside[row, : len(pool)] = False
    target = torch.tensor(list(targets))
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        net = _Net(monotone, how.hidden)
        optimizer = torch.optim.AdamW(net.parameters(), how.learning_rate, weight_decay=how.weight_decay)
        steps = how.epochs * -(-len(pools) // how.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, how.learning_rate, total_steps=steps)
        for epoch in range(how.epochs):
            if progress:
                progress("second stage", epoch, how.epochs)
            for rows in torch.randperm(len(pools)).split(how.batch):
                scores = net(z[rows]).masked_fill(outside[rows], -torch.inf)
                loss = functional.cross_entropy(scores, target[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    if progress:
        progress("second stage", how.epochs, how.epochs)
    return net.network(mean, scale)


def _act(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return torch.cat([functional.elu(x[..., :half]), -functional.elu(-x[..., half:])], dim=-1)
