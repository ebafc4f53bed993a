"""The first code of docs/operator.md."""

import torch

from elinformer.ops import eala_attention

query, key, value = torch.randn(3, 2, 4, 1000, 16).unbind()  # (batch, heads, length, head dim)
output = eala_attention(query, key, value)  # (2, 4, 1000, 16)

key_mask = torch.rand(2, 1000) > 0.1  # True = takes part; one mask for all heads
output = eala_attention(query, key, value, key_mask=key_mask)
output = eala_attention(query, key, value, is_causal=True)  # query i sees keys 0..i
