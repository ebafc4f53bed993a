"""Attention layers: heads and projections around the operators of `elinformer.ops`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from elinformer.ops import eala_attention

if TYPE_CHECKING:
    from torch import Tensor


class EntropyLinearAttention(nn.Module):
    """Multi-head EALA with the parameters of `torch.nn.MultiheadAttention` (batch first)."""

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dim))
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """(B, L, D) -> (B, L, D); key_padding_mask (B, Lk) is True where a key takes no part."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            nn.functional.linear(x, w, b).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, H, L, E)
            for x, w, b in zip((query, key, value), weights, biases, strict=True)
        )
        mask = None if key_padding_mask is None else ~key_padding_mask
        heads = eala_attention(q, k, v, key_mask=mask)
        return self.out_proj(heads.transpose(1, 2).flatten(-2)), None
