"""Training of the click network: P(click) = f(I_u, O_v), I_u an attention of the item over the user's history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional

from genrec.clicks.calibration import log_loss
from genrec.clicks.histories import Index
from genrec.clicks.network import Network
from genrec.clicks.pairs import Floats, Pairs
from genrec.data.interactions import FloatArray
from genrec.text.encoders import Progress, one_thread


@dataclass(frozen=True)
class Shape:
    """Widths of the network: item vectors, plain features, attention and item projection, hidden layer."""

    vector: int
    features: int
    width: int = 32
    hidden: int = 64
    dropout: float = 0.2


@dataclass(frozen=True)
class Training:
    """How the network is fitted."""

    epochs: int = 8
    patience: int = 2
    batch: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0


class ClickNet(nn.Module):  # type: ignore[misc]
    """Target attention over the history (Zhou et al., Deep interest network, 2018), an item projection, and an MLP.

        a_h = softmax_h(<W_q x_v, W_k [x_h, s_h]> / sqrt(width) + b * log age_h)     x: text vectors, s: signals
        I_u = sum_h a_h W_v [x_h, s_h]        O_v = W_o x_v
        logit = MLP([I_u, O_v, I_u * O_v, z]) + <w, z>                               z: plain features, standardised

    An empty history attends to a learned vector, which takes part in every attention.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.query = nn.Linear(shape.vector, width, bias=False)
        self.key = nn.Linear(shape.vector + 2, width, bias=False)
        self.value = nn.Linear(shape.vector + 2, width)
        self.item = nn.Linear(shape.vector, width)
        self.empty_key = nn.Parameter(torch.zeros(width))
        self.empty_value = nn.Parameter(torch.zeros(width))
        self.age = nn.Parameter(torch.zeros(()))
        self.linear = nn.Linear(shape.features, 1)
        self.mlp = nn.Sequential(
            nn.Linear(3 * width + shape.features, shape.hidden),
            nn.GELU(),
            nn.Dropout(shape.dropout),
            nn.Linear(shape.hidden, shape.hidden // 2),
            nn.GELU(),
            nn.Dropout(shape.dropout),
            nn.Linear(shape.hidden // 2, 1),
        )
        self.register_buffer("mean", torch.zeros(shape.features))
        self.register_buffer("scale", torch.ones(shape.features))

    def standardise_by(self, features: npt.NDArray[np.float32]) -> None:
        """Takes mean and scale of the plain features [R, F] of the training rows."""
        self.mean.copy_(torch.from_numpy(features.mean(axis=0)))
        self.scale.copy_(torch.from_numpy(features.std(axis=0) + 1e-3))

    def forward(
        self, history: Tensor, signal: Tensor, mask: Tensor, query: Tensor, item: Tensor, features: Tensor
    ) -> Tensor:
        """Logits [R] from history vectors [Q, H, p], signals [Q, H, 2], mask [Q, H], rows [R], items [R, p], [R, F]."""
        events = torch.cat([history, signal], dim=-1)
        key, value = self.key(events), self.value(events)
        ages = torch.arange(mask.shape[1], 0, -1, dtype=key.dtype).log()
        bias = (self.age * ages).masked_fill(~mask, -torch.inf)
        asked = self.query(item) * self.shape.width**-0.5
        scores = torch.einsum("rw,rhw->rh", asked, key[query]) + bias[query]
        empty = (asked @ self.empty_key)[:, None]
        attention = torch.softmax(torch.cat([scores, empty], dim=1), dim=1)
        seen, none = attention[:, :-1], attention[:, -1:]
        pooled = torch.einsum("rh,rhw->rw", seen, value[query])
        interest = pooled + none * self.empty_value
        projected = self.item(item)
        z = ((features - self.mean) / self.scale).clamp(-5, 5)
        joint = torch.cat([interest, projected, interest * projected, z], dim=1)
        logits: Tensor = (self.mlp(joint) + self.linear(z)).squeeze(1)
        return logits

    def network(self) -> Network:
        """The weights as they are now, for inference."""
        return Network({name: tensor.detach().numpy().copy() for name, tensor in self.state_dict().items()})


def fit_net(
    vectors: Floats,
    train: Pairs,
    labels: FloatArray,
    validation: Pairs,
    validation_labels: FloatArray,
    training: Training,
    progress: Progress | None = None,
) -> tuple[Network, dict[str, Any]]:
    """Minimises binary cross-entropy (AdamW); keeps the epoch with the least loss on validation.

    Stops after `patience` epochs without a better one. Equal seeds give equal networks on one machine.
    """
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        net = ClickNet(Shape(vectors.shape[1], train.features.shape[1]))
        net.standardise_by(train.features)
        optimizer = torch.optim.AdamW(net.parameters(), training.learning_rate, weight_decay=training.weight_decay)
        losses: list[float] = []
        best = net.network()
        for epoch in range(training.epochs):
            if progress:
                progress("click network", epoch, training.epochs)
            _epoch(net, optimizer, vectors, train, labels, training.batch)
            now = net.network()
            loss = log_loss(validation_labels, expit(now.logits(vectors, validation)))
            if loss < min(losses, default=float("inf")):
                best = now
            losses.append(loss)
            if epoch - int(np.argmin(losses)) >= training.patience:
                break
        if progress:
            progress("click network", training.epochs, training.epochs)
    return best, {"epochs": len(losses), "best_epoch": int(np.argmin(losses)) + 1, "validation_loss": min(losses)}


def _epoch(
    net: ClickNet, optimizer: torch.optim.Optimizer, vectors: Floats, train: Pairs, labels: FloatArray, batch: int
) -> None:
    net.train()
    for rows in _batches(len(train), batch):
        target = torch.from_numpy(labels[rows].astype(np.float32))
        logits = net(*map(torch.from_numpy, train.batch(vectors, rows)))
        loss = functional.binary_cross_entropy_with_logits(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _batches(n: int, size: int) -> Iterator[Index]:
    order = torch.randperm(n).numpy()
    for start in range(0, n, size):
        yield order[start : start + size]
