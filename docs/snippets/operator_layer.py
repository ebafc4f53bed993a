"""The layer of docs/operator.md."""

import torch

from elinformer.nn import EalaOperator, EntropyLinearAttention

attention = EntropyLinearAttention(embed_dim=64, num_heads=4, batch_first=True)
x = torch.randn(2, 1000, 64)
padding = torch.zeros(2, 1000, dtype=torch.bool)  # True = takes no part, as in torch.nn.MultiheadAttention
output, _ = attention(x, x, x, key_padding_mask=padding)

plain = EalaOperator("identity")  # queries and keys as they are; half of the heads under softplus, as in ELinFormer
mixed = EntropyLinearAttention(64, 4, batch_first=True, operator=plain, positive_heads=2)

other = EntropyLinearAttention(64, 4, batch_first=True, operator="elu")  # another attention in the same place
other.load_state_dict(attention.state_dict())
