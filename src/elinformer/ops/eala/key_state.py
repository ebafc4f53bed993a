"""KeyState: a set of keys and values as sums that merge, stream and answer queries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from elinformer._shapes import Bool, Float
from elinformer.ops.checks import check_inputs
from elinformer.ops.eala.features import FEATURE_MAPS, check_feature_map
from elinformer.ops.eala.statistics import KeyStatistics, apply_statistics, key_statistics

if TYPE_CHECKING:
    from elinformer.ops.eala.features import FeatureMap


@dataclass(frozen=True)
class KeyState:
    """What EALA needs to know of a set of keys, in float64 and of one size however many keys there are.

    States of parts merge into the state of the whole, in any order: parts may be chunks of a long series, sensors
    that join or leave, or series that live on different ranks. A state is a value: every method returns a new one.

    Attributes:
        n: Number of keys, (..., 1, 1).
        k_mean: Mean of phi(key), (..., 1, E).
        v_mean: Mean of the values, (..., 1, Ev).
        covariance: S, (..., E, Ev).
        lo: Lower bound of phi(key), (..., 1, E); infinite for no keys.
        hi: Upper bound of phi(key); None where phi is never negative and nothing asks for it.
        feature_map: phi.

    Source: docs/theory.md, section 6 (Chan, Golub and LeVeque 1979).

    Example:
        >>> key, value, query = torch.randn(3, 8, 100, 16).unbind()
        >>> state = KeyState.from_keys(key[:, :60], value[:, :60]).add(key[:, 60:], value[:, 60:])
        >>> state.apply(query).shape
        torch.Size([8, 100, 16])
    """

    n: Tensor
    k_mean: Tensor
    v_mean: Tensor
    covariance: Tensor
    lo: Tensor
    hi: Tensor | None
    feature_map: FeatureMap = "relu"

    @classmethod
    def from_keys(
        cls,
        key: Float[Tensor, "*batch_k Lk E"],
        value: Float[Tensor, "*batch_v Lk Ev"],
        mask: Bool[Tensor, "*batch_m Lk"] | None = None,
        *,
        feature_map: FeatureMap = "relu",
    ) -> KeyState:
        """The state of keys (..., Lk, E) and values (..., Lk, Ev) whose mask (..., Lk) is True.

        Raises:
            ValueError: Shapes that do not match, an unknown feature map.
            TypeError: Keys and values of different dtypes, a mask that is not bool.
        """
        mask = check_inputs(key, key, value, key_mask=mask, scale=None)
        check_feature_map(feature_map)
        lead = torch.broadcast_shapes(key.shape[:-2], value.shape[:-2])
        mask = None if mask is None else mask.expand(*lead, -1)
        if mask is not None:  # before phi, so that what is masked may be anything, in the gradient too
            key = key.masked_fill(~mask[..., None], 0)
        k = FEATURE_MAPS[feature_map](key.double()).expand(*lead, *key.shape[-2:])
        keys = key_statistics(k, value.double().expand(*lead, *value.shape[-2:]), mask)
        lo, hi = keys.lo.masked_fill(keys.n == 0, torch.inf), keys.hi.masked_fill(keys.n == 0, -torch.inf)
        return cls(
            keys.n,
            keys.k_mean,
            keys.v_mean,
            keys.covariance,
            lo,
            hi if feature_map == "identity" else None,
            feature_map,
        )

    def merge(self, other: KeyState) -> KeyState:
        """The state of both sets together.

        Raises:
            ValueError: States of different feature maps or head dims.
        """
        self._check_kin(other)
        n = self.n + other.n
        share = other.n / n.clamp_min(1)  # b / n
        dk, dv = other.k_mean - self.k_mean, other.v_mean - self.v_mean
        return KeyState(
            n,
            self.k_mean + dk * share,
            self.v_mean + dv * share,
            self.covariance * (1 - share) + other.covariance * share + (share * (1 - share)) * (dk.mT @ dv),
            torch.minimum(self.lo, other.lo),
            None if self.hi is None or other.hi is None else torch.maximum(self.hi, other.hi),
            self.feature_map,
        )

    def add(
        self,
        key: Float[Tensor, "*batch_k Lk E"],
        value: Float[Tensor, "*batch_v Lk Ev"],
        mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    ) -> KeyState:
        """The state with more keys (..., Lk, E) and their values (..., Lk, Ev)."""
        return self.merge(KeyState.from_keys(key, value, mask, feature_map=self.feature_map))

    def remove(
        self,
        key: Float[Tensor, "*batch_k Lk E"],
        value: Float[Tensor, "*batch_v Lk Ev"],
        mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    ) -> KeyState:
        """The state without keys that are in it.

        The bounds stay as they are, valid but looser, so weights may be flatter than those of a state made anew.

        Raises:
            ValueError: More keys than the state has.
        """
        part = KeyState.from_keys(key, value, mask, feature_map=self.feature_map)
        self._check_kin(part)
        n = self.n - part.n
        if bool((n < 0).any()):
            raise ValueError(f"expected to remove at most {int(self.n.min())} keys, got {int(part.n.max())}")
        ratio, some = part.n / n.clamp_min(1), n > 0  # b / a
        k_mean = (self.k_mean + (self.k_mean - part.k_mean) * ratio) * some
        v_mean = (self.v_mean + (self.v_mean - part.v_mean) * ratio) * some
        between = (part.k_mean - k_mean).mT @ (part.v_mean - v_mean) * (part.n / self.n.clamp_min(1))
        rest = self.covariance * (1 + ratio) - part.covariance * ratio - between
        lo, hi = self.lo.masked_fill(~some, torch.inf), self.hi
        hi = None if hi is None else hi.masked_fill(~some, -torch.inf)
        return replace(self, n=n, k_mean=k_mean, v_mean=v_mean, covariance=rest * some, lo=lo, hi=hi)

    def apply(self, query: Float[Tensor, "*batch_q Lq E"], *, scale: float | None = None) -> Tensor:
        """What queries (..., Lq, E) get from the keys: (..., Lq, Ev) in the queries' dtype; zeros for no keys.

        Raises:
            ValueError: A head dim that differs from the keys', a scale that is not positive.
        """
        check_inputs(query, query, query, key_mask=None, scale=scale)
        if query.shape[-1] != self.k_mean.shape[-1]:
            raise ValueError(
                f"expected queries of the keys' head dim E, {self.k_mean.shape[-1]}, got {query.shape[-1]}"
            )
        dtype = torch.promote_types(query.dtype, torch.float32)
        q = FEATURE_MAPS[self.feature_map](query.to(dtype)) * (query.shape[-1] ** -0.5 if scale is None else scale)
        return apply_statistics(q, self._about_zero(dtype)).to(query.dtype)

    def _about_zero(self, dtype: torch.dtype) -> KeyStatistics:
        """The statistics with keys moved to mean zero, which changes no output and keeps float32's digits."""
        some, zero = self.n > 0, torch.zeros_like(self.k_mean)
        lo = (self.lo - self.k_mean).where(some, 0)
        hi = zero if self.hi is None else (self.hi - self.k_mean).where(some, 0)
        parts = (self.n, zero, self.v_mean, self.covariance, lo, hi)
        return KeyStatistics(*(part.to(dtype) for part in parts))

    def _check_kin(self, other: KeyState) -> None:
        ours, theirs = ((s.feature_map, *s.covariance.shape[-2:]) for s in (self, other))
        if ours != theirs:
            raise ValueError(f"expected states of one feature map, E and Ev, got {ours} and {theirs}")
