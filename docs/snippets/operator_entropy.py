"""Reading entropies, in docs/operator.md."""

import math

import torch

from elinformer.ops import attention_entropy, eala_weights

query, key = torch.randn(2, 4, 1000, 16).unbind()  # (heads, length, head dim)
entropy = attention_entropy(query, key)  # nats for every query, in linear time: (4, 1000)
spread = (entropy / math.log(1000)).mean(-1)  # of each head: 1 = looks everywhere alike

softmax, clamped = attention_entropy(query, key, kind="softmax", return_clamped=True)
print(f"{clamped.float().mean():.1%} of the softmax estimates are out of range and clamped")

weights = eala_weights(query[:, :5], key)  # dense, for looking at: (heads, 5, 1000)
exact = -(weights * weights.clamp_min(1e-30).log()).sum(-1)
print("largest error", (entropy[:, :5] - exact).abs().max().item())
