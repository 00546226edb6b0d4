"""Training of both heads in one torch module: listwise softmax over pools, and cross-entropy on rated rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from genrec.data.histories import HistoryBatch
from genrec.scoring.features import PAIR_FEATURES, Floats
from genrec.scoring.network import CLIP, Network
from genrec.scoring.pools import TrainingPool
from genrec.scoring.rated import RatedPairs
from genrec.text.encoders import Progress, one_thread


@dataclass(frozen=True)
class Training:
    """How the network is fitted: one-cycle schedules (Smith and Topin, 2018) of AdamW, each head with its rates."""

    epochs: int = 12
    fewest_steps: int = 200
    """A small log is passed through more often, until so many steps are made."""
    pools: int = 64
    """Pools of one step of the click head, and..."""
    rows: int = 512
    """...rated rows of one step of the like head; an eighth of them where there are fewer, and 32 at least."""
    rows_per_epoch: int = 50_000
    click_rate: float = 3e-3
    click_decay: float = 0.1
    like_rate: float = 2e-3
    like_decay: float = 1e-2
    width: int = 32
    hidden: int = 32
    affinity_dropout: float = 0.5
    like_dropout: float = 0.2
    seed: int = 0


class TwoHeads(nn.Module):  # type: ignore[misc]
    """See `network.Network` for the formulas. Columns that are `monotone` [D] have weights of one sign."""

    def __init__(self, vector: int, monotone: npt.NDArray[np.bool_], how: Training) -> None:
        super().__init__()
        width, hidden, columns, pairs = how.width, how.hidden, len(monotone), len(PAIR_FEATURES)
        self.query = nn.Linear(vector, width, bias=False)
        self.key = nn.Linear(vector + 2, width, bias=False)
        self.value = nn.Linear(vector + 2, width)
        self.item = nn.Linear(vector, width)
        self.empty_key = nn.Parameter(torch.zeros(width))
        self.empty_value = nn.Parameter(torch.zeros(width))
        self.age = nn.Parameter(torch.zeros(()))
        self.affinity = _mlp(3 * width, hidden, how.affinity_dropout)
        self.click_a, self.click_b = nn.Linear(columns + 1, hidden), nn.Linear(hidden, hidden)
        self.click_c, self.click_skip = nn.Linear(hidden, 1, bias=False), nn.Linear(columns, 1, bias=False)
        self.like = _mlp(3 * width + pairs, 2 * hidden, how.like_dropout, hidden)
        self.like_linear = nn.Linear(pairs, 1)
        self.register_buffer("monotone", torch.from_numpy(np.append(monotone, True)))
        for head, size in (("click", columns), ("like", pairs)):
            self.register_buffer(f"{head}_mean", torch.zeros(size))
            self.register_buffer(f"{head}_scale", torch.ones(size))
        with torch.no_grad():  # absolute values add up: smaller ones keep the first logits near zero
            self.click_b.weight.mul_(0.3)
            self.click_c.weight.mul_(0.3)
            self.affinity[-1].weight.mul_(0.1)

    def joint(self, items: Tensor, history: Tensor, signal: Tensor, mask: Tensor) -> Tensor:
        """J [B, n, 3 width] from item vectors [B, n, p], history vectors [B, H, p], signals [B, H, 2], mask [B, H]."""
        events = torch.cat([history, signal], dim=-1)
        key, value = self.key(events), self.value(events)
        ages = torch.arange(mask.shape[1], 0, -1, dtype=key.dtype).log()
        bias = (self.age * ages).masked_fill(~mask, -torch.inf)
        asked = self.query(items) * key.shape[-1] ** -0.5
        scores = asked @ key.transpose(1, 2) + bias[:, None]
        empty = (asked @ self.empty_key)[..., None]
        attention = torch.softmax(torch.cat([scores, empty], dim=-1), dim=-1)
        interest = attention[..., :-1] @ value + attention[..., -1:] * self.empty_value
        projected = self.item(items)
        return torch.cat([interest, projected, interest * projected], dim=-1)

    def click(self, joint: Tensor, z: Tensor) -> Tensor:
        """Logits [B, n] of the pool, from J [B, n, J] and standardised columns [B, n, D]."""
        affinity = self.affinity(joint)
        hidden = _act(functional.linear(torch.cat([z, affinity], dim=-1), self._free("click_a"), self.click_a.bias))
        hidden = _act(functional.linear(hidden, self.click_b.weight.abs(), self.click_b.bias))
        out = functional.linear(hidden, self.click_c.weight.abs())
        return (out + functional.linear(z, self._free("click_skip")) + affinity).squeeze(-1)

    def likes(self, joint: Tensor, z: Tensor) -> Tensor:
        """Logits [B, n] of being liked, from J [B, n, J] and standardised pair features [B, n, F]."""
        return (self.like(torch.cat([joint, z], dim=-1)) + self.like_linear(z)).squeeze(-1)

    def network(self) -> Network:
        """The weights as they are now, for inference."""
        arrays = dict(self.state_dict())
        del arrays["monotone"]
        for name in ("click_a", "click_skip"):
            arrays[f"{name}.weight"] = self._free(name)
        for name in ("click_b", "click_c"):
            arrays[f"{name}.weight"] = arrays[f"{name}.weight"].abs()
        return Network({name: tensor.detach().numpy().copy() for name, tensor in arrays.items()})

    def _free(self, name: str) -> Tensor:
        weight: Tensor = getattr(self, name).weight
        return torch.where(self.monotone[: weight.shape[1]], weight.abs(), weight)


def fit_network(
    vectors: Floats,
    pools: Sequence[TrainingPool],
    rated: RatedPairs | None,
    monotone: npt.NDArray[np.bool_],
    how: Training,
    progress: Progress | None = None,
) -> Network:
    """Minimises the mean of -log softmax(click logits of a pool)[target] (ListNet's top-one loss), and of the
    cross-entropy of like logits, in steps of either kind in random order.

    `vectors` [I + 1, p] are those of the items, `monotone` [D] marks columns of which more can never be worse. Either
    kind of example may be missing. Equal seeds give equal networks on one machine.
    """
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        net = TwoHeads(vectors.shape[1], monotone, how)
        texts = torch.from_numpy(vectors)
        clicks = _Pools(net, texts, pools, how.pools) if pools else None
        likes = _Rows(net, texts, rated, how) if rated is not None else None
        kinds = [kind for kind in (clicks, likes) if kind is not None]
        groups = [parameter for name, parameter in net.named_parameters() if name.startswith("click")]
        others = [parameter for name, parameter in net.named_parameters() if not name.startswith("click")]
        optimizer = torch.optim.AdamW(
            [
                {"params": groups, "weight_decay": how.click_decay},
                {"params": others, "weight_decay": how.like_decay},
            ]
        )
        of_epoch = sum(kind.steps for kind in kinds)
        epochs = max(how.epochs, -(-how.fewest_steps // of_epoch))
        rates = [how.click_rate, how.like_rate]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=epochs * of_epoch)
        net.train()
        for epoch in range(epochs):
            if progress:
                progress("scoring network", epoch, epochs)
            batches = [(kind, rows) for kind in kinds for rows in kind.batches()]
            for place in torch.randperm(len(batches)).tolist():
                kind, rows = batches[place]
                optimizer.zero_grad()
                kind.loss(rows).backward()
                optimizer.step()
                schedule.step()
        if progress:
            progress("scoring network", epochs, epochs)
        return net.network()


class _Pools:
    """Pools as padded tensors: columns [m, n, D] standardised, items [m, n], what is outside, targets, histories."""

    def __init__(self, net: TwoHeads, texts: Tensor, pools: Sequence[TrainingPool], batch: int) -> None:
        self.net, self.texts, self.batch = net, texts, batch
        features = [pool.features for pool in pools]
        stacked = np.concatenate([one.columns for one in features])
        _standardise(net, "click", stacked)
        shape = (len(pools), max(map(len, features)))
        self.z = torch.zeros(*shape, stacked.shape[1])
        self.item = torch.full(shape, len(texts) - 1)
        self.outside = torch.ones(shape, dtype=torch.bool)
        for row, one in enumerate(features):
            self.z[row, : len(one)] = _z(net, "click", torch.from_numpy(one.columns))
            self.item[row, : len(one)] = torch.from_numpy(one.item.astype(np.int64))
            self.outside[row, : len(one)] = False
        self.target = torch.tensor([pool.target for pool in pools])
        self.weight = torch.tensor([pool.weight for pool in pools], dtype=torch.float32)
        histories = HistoryBatch.joined([one.history for one in features])
        self.history = torch.from_numpy(histories.item.astype(np.int64))
        self.mask = torch.from_numpy(histories.mask)
        self.signal = torch.from_numpy(np.concatenate([one.signal for one in features]))
        self.steps = -(-len(pools) // batch)

    def batches(self) -> tuple[Tensor, ...]:
        """Pools of each step of an epoch."""
        parts: tuple[Tensor, ...] = torch.randperm(len(self.target)).split(self.batch)
        return parts

    def loss(self, rows: Tensor) -> Tensor:
        joint = self.net.joint(
            self.texts[self.item[rows]], self.texts[self.history[rows]], self.signal[rows], self.mask[rows]
        )
        logits = self.net.click(joint, self.z[rows]).masked_fill(self.outside[rows], -torch.inf)
        losses = functional.cross_entropy(logits, self.target[rows], reduction="none")
        return (losses * self.weight[rows]).mean()


class _Rows:
    """Rated rows: an epoch draws `rows_per_epoch` of them at most."""

    def __init__(self, net: TwoHeads, texts: Tensor, rated: RatedPairs, how: Training) -> None:
        self.net, self.texts, self.batch = net, texts, min(how.rows, max(32, len(rated) // 8))
        self.most = min(len(rated), how.rows_per_epoch)
        _standardise(net, "like", rated.pairs)
        self.z = _z(net, "like", torch.from_numpy(rated.pairs))
        self.label = torch.from_numpy(rated.label.astype(np.float32))
        self.item, self.query = torch.from_numpy(rated.item.astype(np.int64)), torch.from_numpy(rated.query)
        self.history = torch.from_numpy(rated.histories.item.astype(np.int64))
        self.mask, self.signal = torch.from_numpy(rated.histories.mask), torch.from_numpy(rated.signal)
        self.steps = -(-self.most // self.batch)

    def batches(self) -> tuple[Tensor, ...]:
        """Rows of each step of an epoch."""
        parts: tuple[Tensor, ...] = torch.randperm(len(self.label))[: self.most].split(self.batch)
        return parts

    def loss(self, rows: Tensor) -> Tensor:
        query = self.query[rows]
        joint = self.net.joint(
            self.texts[self.item[rows]][:, None], self.texts[self.history[query]], self.signal[query], self.mask[query]
        )
        logits = self.net.likes(joint, self.z[rows][:, None])[:, 0]
        return functional.binary_cross_entropy_with_logits(logits, self.label[rows])


def _standardise(net: TwoHeads, head: str, table: Floats) -> None:
    getattr(net, f"{head}_mean").copy_(torch.from_numpy(table.mean(axis=0)))
    getattr(net, f"{head}_scale").copy_(
        torch.from_numpy(table.std(axis=0) + np.float32(1e-3 if head == "like" else 1e-6))
    )


def _z(net: TwoHeads, head: str, table: Tensor) -> Tensor:
    return ((table - getattr(net, f"{head}_mean")) / getattr(net, f"{head}_scale")).clamp(-CLIP, CLIP)


def _mlp(width: int, hidden: int, dropout: float, second: int | None = None) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in (hidden, *([second] if second else [])):
        layers += [nn.Linear(width, size), nn.GELU(), nn.Dropout(dropout)]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, 1))


def _act(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return torch.cat([functional.elu(x[..., :half]), -functional.elu(-x[..., half:])], dim=-1)
