"""KeyState: a set of keys and values as statistics that merge, stream and answer queries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from elinformer._shapes import Bool, Float
from elinformer.ops.eala.features import FEATURE_MAPS, check_feature_map
from elinformer.ops.eala.statistics import KeyStatistics, apply_statistics, key_statistics, merge_two
from elinformer.ops.inputs import check_inputs, scale_or_default

if TYPE_CHECKING:
    from elinformer.ops.eala.features import FeatureMap


@dataclass(frozen=True)
class KeyState:
    """State of a set of keys, in float64 and of one size however many keys there are.

    States of parts merge into the state of the whole, in any order: parts may be chunks of a long series, sensors
    that join or leave, or series that live on different ranks. A state is a value: every method returns a new one.

    Attributes:
        n: Number of keys, (..., 1, 1).
        k_mean: Mean of phi(key), (..., 1, E).
        lo: Lower bound of phi(key), (..., 1, E).
        hi: Upper bound of phi(key); None where phi is never negative and no query needs it.
        v_mean: Mean of the values, (..., 1, Ev).
        covariance: S, (..., E, Ev).
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
    lo: Tensor
    hi: Tensor | None
    v_mean: Tensor
    covariance: Tensor
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
        """Build the state of keys (..., Lk, E) and values (..., Lk, Ev) whose mask (..., Lk) is True.

        Raises:
            ValueError: Shapes that do not match, an unknown feature map.
            TypeError: Keys and values of different dtypes, a mask that is not bool.
        """
        mask = check_inputs(key, key, value, key_mask=mask, scale=None)
        check_feature_map(feature_map)
        lead = torch.broadcast_shapes(key.shape[:-2], value.shape[:-2])
        mask = None if mask is None else mask.expand(*lead, -1)
        if mask is not None:  # before phi: masked keys may hold NaN, in the gradient too
            key = key.masked_fill(~mask[..., None], 0)
        k = FEATURE_MAPS[feature_map](key.double()).expand(*lead, *key.shape[-2:])
        keys = key_statistics(k, value.double().expand(*lead, *value.shape[-2:]), mask)
        return cls._of(keys, feature_map)

    def merge(self, other: KeyState) -> KeyState:
        """Return the state of both sets together.

        Raises:
            ValueError: States of different feature maps or head dims.
        """
        self._check_kin(other)
        return self._of(merge_two(self.statistics(), other.statistics()), self.feature_map)

    def add(
        self,
        key: Float[Tensor, "*batch_k Lk E"],
        value: Float[Tensor, "*batch_v Lk Ev"],
        mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    ) -> KeyState:
        """Return the state with more keys (..., Lk, E) and their values (..., Lk, Ev)."""
        return self.merge(KeyState.from_keys(key, value, mask, feature_map=self.feature_map))

    def remove(
        self,
        key: Float[Tensor, "*batch_k Lk E"],
        value: Float[Tensor, "*batch_v Lk Ev"],
        mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    ) -> KeyState:
        """Return the state without keys that are in it.

        The bounds stay as they are, valid but looser, so weights may be flatter than the weights of a new state.

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
        hi = None if self.hi is None else self.hi * some
        return replace(self, n=n, k_mean=k_mean, lo=self.lo * some, hi=hi, v_mean=v_mean, covariance=rest * some)

    def apply(self, query: Float[Tensor, "*batch_q Lq E"], *, scale: float | None = None) -> Tensor:
        """Attend with queries (..., Lq, E) to the keys: (..., Lq, Ev) in the queries' dtype; zeros for no keys.

        Raises:
            ValueError: A head dim that differs from the keys', a scale that is not positive.
        """
        check_inputs(query, query, query, key_mask=None, scale=scale)
        if query.shape[-1] != self.k_mean.shape[-1]:
            raise ValueError(
                f"expected queries of the keys' head dim E, {self.k_mean.shape[-1]}, got {query.shape[-1]}"
            )
        dtype = torch.promote_types(query.dtype, torch.float32)
        q = FEATURE_MAPS[self.feature_map](query.to(dtype)) * scale_or_default(scale, query.shape[-1])
        return apply_statistics(q, self.centred(dtype)).to(query.dtype)

    def statistics(self, dtype: torch.dtype = torch.float64) -> KeyStatistics:
        """Return the statistics in another precision; an upper bound that no query needs is the mean."""
        hi = self.k_mean if self.hi is None else self.hi
        parts = (self.n, self.k_mean, self.lo, hi, self.v_mean, self.covariance)
        return KeyStatistics(*(part.to(dtype) for part in parts))

    def centred(self, dtype: torch.dtype) -> KeyStatistics:
        """Return the statistics with keys moved to mean zero, which changes no output and keeps float32's digits."""
        keys = self.statistics()
        moved = keys._replace(k_mean=torch.zeros_like(keys.k_mean), lo=-keys.above, hi=keys.below)
        return KeyStatistics(*(part.to(dtype) for part in moved))

    @classmethod
    def _of(cls, keys: KeyStatistics, feature_map: FeatureMap) -> KeyState:
        hi = keys.hi if feature_map == "identity" else None
        return cls(keys.n, keys.k_mean, keys.lo, hi, keys.v_mean, keys.covariance, feature_map)

    def _check_kin(self, other: KeyState) -> None:
        ours, theirs = ((s.feature_map, *s.covariance.shape[-2:]) for s in (self, other))
        if ours != theirs:
            raise ValueError(f"expected states of one feature map, E and Ev, got {ours} and {theirs}")
