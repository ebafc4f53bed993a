"""Streaming, in docs/operator.md."""

import torch

from elinformer.ops import KeyState, eala_attention

query = torch.randn(4, 10, 16)  # (heads, length, head dim)
key, value = torch.randn(4, 300, 16), torch.randn(4, 300, 32)

state = KeyState.from_keys(key[:, :200], value[:, :200])
state = state.add(key[:, 200:], value[:, 200:])  # keys that arrive later
torch.testing.assert_close(state.apply(query), eala_attention(query, key, value))

here, there = KeyState.from_keys(key[:, :150], value[:, :150]), KeyState.from_keys(key[:, 150:], value[:, 150:])
whole = here.merge(there)  # states from two machines, in any order
torch.testing.assert_close(whole.apply(query), eala_attention(query, key, value))

fewer = whole.remove(key[:, :20], value[:, :20])  # a sensor that leaves; weights may be flatter than with a new state
print(int(fewer.n[0]), "keys left")
