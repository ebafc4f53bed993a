"""Swapping, in docs/operator.md."""

import torch
from torch import nn

from elinformer.nn import swap_attention

layer = nn.TransformerEncoderLayer(d_model=64, nhead=4, batch_first=True)
model = nn.Sequential(nn.Linear(8, 64), nn.TransformerEncoder(layer, num_layers=2), nn.Linear(64, 1))
swap_attention(model)  # in place; the trained projections stay

series = torch.randn(2, 1000, 8)
training = model.train()(series)  # (2, 1000, 1)
with torch.no_grad():
    forecasts = model.eval()(series)  # the same attention, where PyTorch would have used its fused softmax
