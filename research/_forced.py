"""Dense attention weights from the scores of a trained model, flatter or sharper than it was trained.

The notation is that of docs/theory.md: scores s, their mean mu, t = s - mu, c, and the certificate m. A layer applies
softplus to the queries and keys of its positive heads before it calls its operator, so that scores are products here.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch

from elinformer.nn import EntropyLinearAttention

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from torch import Tensor, nn

SMALLEST = 1e-6  # c where all scores are alike, so that t / c is 0 rather than 0 / 0


class Scores(NamedTuple):
    """Scores of all pairs of queries and keys, and the numbers that weights need beside them."""

    s: Tensor  # (..., Lq, Lk), 0 where hidden
    seen: Tensor  # (..., 1, Lk)
    n: Tensor  # (..., 1, 1), 1 where no key is seen
    m: Tensor  # (..., Lq, 1), no smaller than -min t


def scores_of(query: Tensor, key: Tensor, key_mask: Tensor | None) -> Scores:
    """Scores of EALA and of softmax attention, which are the same."""
    seen = torch.ones_like(key[..., 0], dtype=torch.bool) if key_mask is None else key_mask
    hidden, n = ~seen[..., None], seen.sum(-1)[..., None, None].clamp_min(1)  # (..., Lk, 1), (..., 1, 1)
    q, k = query * query.shape[-1] ** -0.5, key.masked_fill(hidden, 0)
    mean = k.sum(-2, keepdim=True) / n
    lo, hi = (torch.where(hidden, mean, k).amin(-2, keepdim=True), torch.where(hidden, mean, k).amax(-2, keepdim=True))
    m = (q.relu() * (mean - lo) + (-q).relu() * (hi - mean)).sum(-1, keepdim=True)
    return Scores(q @ k.mT, seen[..., None, :], n, m)


def member(c_of: Callable[[Tensor], Tensor]) -> Callable[[Scores], Tensor]:
    """A member of the family: w = (1 + t / c) / n with c a function of m."""

    def weights(x: Scores) -> Tensor:
        t = x.s - x.s.sum(-1, keepdim=True) / x.n
        return ((1 + t / c_of(x.m)) / x.n).masked_fill(~x.seen, 0)

    return weights


def softmax_at(temperature: float) -> Callable[[Scores], Tensor]:
    """The softmax of s / temperature."""

    def weights(x: Scores) -> Tensor:
        lowest = torch.finfo(x.s.dtype).min
        return (x.s / temperature).masked_fill(~x.seen, lowest).softmax(-1).masked_fill(~x.seen, 0)

    return weights


FORCED: dict[str, Callable[[Scores], Tensor]] = {
    "uniform": member(lambda m: torch.full_like(m, torch.inf)),
    "c = 4 max(1, m)": member(lambda m: 4 * m.clamp_min(1)),
    "c = 2 max(1, m)": member(lambda m: 2 * m.clamp_min(1)),
    "c = max(1, m)": member(lambda m: m.clamp_min(1)),
    "c = m": member(lambda m: m.clamp_min(SMALLEST)),
    "c = m / 2, not certified": member(lambda m: (m / 2).clamp_min(SMALLEST)),
    "c = m / 4, not certified": member(lambda m: (m / 4).clamp_min(SMALLEST)),
    "c = 1, unguarded": member(torch.ones_like),
    **{f"softmax, temperature {t:g}": softmax_at(t) for t in (4, 2, 1, 0.5, 0.25)},
}
"""Maps from scores to weights: two families, each from flat to sharp. "c = max(1, m)" is EALA."""


class Forced:
    """An operator with given weights, which sums their entropies by head."""

    def __init__(self, weights: Callable[[Scores], Tensor]) -> None:
        self.weights = weights
        self.sums: Tensor | None = None
        self.count = 0

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, key_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """(B, H, Lq, E), (B, H, Lk, E), (B, H, Lk, Ev) -> (B, H, Lq, Ev)."""
        if is_causal:
            raise ValueError("expected attention over all keys, got is_causal=True")
        scores = scores_of(query, key, key_mask)
        weights = self.weights(scores)
        self._add(scores, weights)
        return weights @ (value if key_mask is None else value.masked_fill(~key_mask[..., None], 0))

    def _add(self, scores: Scores, weights: Tensor) -> None:
        positive = weights.clamp_min(0)
        positive = positive / positive.sum(-1, keepdim=True).clamp_min(SMALLEST)
        entropy = torch.special.entr(positive).sum(-1)  # (B, H, Lq), in nats
        share = entropy / scores.n.squeeze(-1).clamp_min(2).log()
        guarded = (scores.m.squeeze(-1) > 1).to(share.dtype).expand_as(share)
        negative = weights.clamp_max(0).sum(-1).neg()
        new = torch.stack((entropy, share, guarded, negative)).double().sum((1, 3))  # (4, H)
        self.sums = new if self.sums is None else self.sums + new
        self.count += entropy.shape[0] * entropy.shape[-1]

    def by_head(self) -> dict[str, list[float]]:
        """Means over queries and windows: one number a head."""
        if self.sums is None:
            raise ValueError("expected an operator that was called, got one that was not")
        names = ("entropy", "share_of_log_n", "share_with_m_above_1", "negative_weight")
        return {name: row.tolist() for name, row in zip(names, self.sums / self.count, strict=True)}


@contextmanager
def forced(model: nn.Module, weights: Callable[[Scores], Tensor]) -> Generator[list[Forced]]:
    """Give every attention layer of `model` these weights inside the context; yields one operator a layer."""
    layers = [layer for layer in model.modules() if isinstance(layer, EntropyLinearAttention)]
    before = [layer.operator for layer in layers]
    operators = [Forced(weights) for _ in layers]
    try:
        for layer, operator in zip(layers, operators, strict=True):
            vars(layer)["operator"] = operator
        yield operators
    finally:
        for layer, operator in zip(layers, before, strict=True):
            vars(layer)["operator"] = operator
