"""Tests of DLinear, STID and STAEformer against their published sizes and their formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_models import forecast_of
from torch import Tensor, nn

from elinformer.models import (
    STID,
    DLinear,
    DLinearConfig,
    Sizes,
    STAEformer,
    STAEformerConfig,
    STIDConfig,
    build_model,
)

METR_LA = Sizes(12, 12, 207, n_slots=288)
B, N = 2, 3

# Layer by layer from the authors' code, with the configuration they use for METR-LA.
PUBLISHED = {
    # LTSF-Linear, models/DLinear.py, individual = False: two nn.Linear(12, 12). The third one is not used.
    "dlinear": 2 * (12 * 12 + 12),
    # BasicTS, baselines/STID: input_dim = 3, time and day are inputs at all 12 steps.
    "stid": 207 * 32 + 288 * 32 + 7 * 32  # node_emb, time_in_day_emb, day_in_week_emb
    + 3 * 12 * 32 + 32  # time_series_emb_layer
    + 3 * 2 * (128 * 128 + 128)  # encoder: three times fc1, fc2
    + 128 * 12 + 12,  # regression_layer
    # STAEformer, model/STAEformer.py and .yaml: input_dim = 3, model_dim = 24 + 24 + 24 + 80 = 152.
    "staeformer": 3 * 24 + 24  # input_proj
    + 288 * 24 + 7 * 24 + 12 * 207 * 80  # tod_embedding, dow_embedding, adaptive_embedding
    + 6 * 4 * (152 * 152 + 152)  # attn_layers_t, attn_layers_s: FC_Q, FC_K, FC_V, out_proj
    + 6 * (152 * 256 + 256 + 256 * 152 + 152)  # feed_forward
    + 6 * 2 * 2 * 152  # ln1, ln2
    + 12 * 152 * 12 + 12,  # output_proj, mixed
}  # fmt: skip


@pytest.mark.parametrize(("name", "count"), [("dlinear", 312), ("stid", 117_868), ("staeformer", 1_258_980)])
def test_a_model_has_the_parameters_of_the_published_code(name: str, count: int) -> None:
    assert count == PUBLISHED[name]
    assert sum(p.numel() for p in build_model(name, METR_LA).parameters()) == count


def a_batch(window: int = 12, n_slots: int = 24) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(B, window, N, 1, generator=generator)
    slot = torch.randint(1, n_slots + 1, (B, window), generator=generator)
    day = torch.randint(1, 8, (B, window), generator=generator)
    return values, torch.ones_like(values, dtype=torch.bool), torch.stack((slot, day), -1)


def test_dlinear_equals_its_formula() -> None:
    torch.manual_seed(0)
    model = DLinear(DLinearConfig(12, 4, trend_length=5))
    for layer in (model.trend, model.rest):
        nn.init.normal_(layer.weight)
    values, mask, _ = a_batch()
    forecast = forecast_of(model, values, mask)
    for b in range(B):
        for n in range(N):
            x = values[b, :, n, 0]
            trend = torch.stack([x[torch.arange(t - 2, t + 3).clamp(0, 11)].mean() for t in range(12)])
            torch.testing.assert_close(forecast[b, :, n, 0], model.trend(trend) + model.rest(x - trend))


def test_a_new_dlinear_averages_the_window() -> None:
    model = DLinear(DLinearConfig(12, 4))
    nn.init.zeros_(model.trend.bias)
    nn.init.zeros_(model.rest.bias)
    values, mask, _ = a_batch()
    torch.testing.assert_close(forecast_of(model, values, mask), values.mean(1, keepdim=True).expand(-1, 4, -1, -1))


def test_an_even_trend_length_of_dlinear_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an odd trend_length, got 4"):
        DLinearConfig(12, 12, trend_length=4)


@pytest.mark.parametrize("rate", [1.0, 30.0])
def test_stid_equals_its_formula(rate: float) -> None:
    torch.manual_seed(0)
    model = STID(STIDConfig(12, 4, N, n_slots=24, embedding_rate=rate)).eval()
    values, mask, calendar = a_batch()
    forecast = forecast_of(model, values, mask, calendar)
    for b in range(B):
        slot, day = calendar[b, :, 0] - 1, calendar[b, :, 1] - 1
        for n in range(N):
            steps = torch.stack((values[b, :, n, 0], slot / 24, day / 7), -1).flatten()
            embeddings = (model.series.rows[n], model.slot.rows[slot[-1]], model.day.rows[day[-1]])
            hidden = torch.cat((model.window(steps), *embeddings))
            for block in model.blocks:
                first, _, _, second = block.layers
                hidden = hidden + second(first(hidden).relu())
            torch.testing.assert_close(forecast[b, :, n, 0], model.output(hidden))


def test_the_rate_of_embeddings_does_not_change_a_new_stid() -> None:
    forecasts = []
    for rate in (1.0, 30.0):
        torch.manual_seed(0)
        model = STID(STIDConfig(12, 4, N, n_slots=24, embedding_rate=rate)).eval()
        forecasts.append(forecast_of(model, *a_batch()))
    torch.testing.assert_close(*forecasts)


def encoder_layer(block: Any, config: STAEformerConfig) -> nn.TransformerEncoderLayer:
    """Return the encoder layer of PyTorch with the weights of a block."""
    sizes = config.width, config.n_heads, config.feedforward_width
    layer = nn.TransformerEncoderLayer(*sizes, dropout=0.0, batch_first=True)
    weights = {
        "self_attn.in_proj_": block.projections,
        "self_attn.out_proj.": block.output,
        "linear1.": block.feedforward[0],
        "linear2.": block.feedforward[2],
        "norm1.": block.attention_norm,
        "norm2.": block.feedforward_norm,
    }
    layer.load_state_dict({key + kind: getattr(of, kind) for key, of in weights.items() for kind in ("weight", "bias")})
    return layer


def test_staeformer_equals_the_encoder_of_pytorch_over_time_and_then_over_series() -> None:
    torch.manual_seed(0)
    config = STAEformerConfig(12, 4, N, n_slots=24, n_layers=2)
    model = STAEformer(config).eval()
    values, mask, calendar = a_batch()
    slot, day = (calendar - 1).unbind(-1)
    calendar_values = torch.stack((slot / 24, day), -1)[:, :, None].expand(-1, -1, N, -1)
    times = [rows[:, :, None].expand(-1, -1, N, -1) for rows in (model.slot.weight[slot], model.day.weight[day])]
    x = torch.cat(
        (model.value(torch.cat((values, calendar_values), -1)), *times, model.adaptive.expand(B, -1, -1, -1)), -1
    )
    by_series = x.transpose(1, 2).flatten(0, 1)  # (B*N, T, D)
    for block in model.over_time:
        by_series = encoder_layer(block, config)(by_series)
    by_step = by_series.unflatten(0, (B, N)).transpose(1, 2).flatten(0, 1)  # (B*T, N, D)
    for block in model.over_series:
        by_step = encoder_layer(block, config)(by_step)
    expected = model.output(by_step.unflatten(0, (B, -1)).transpose(1, 2).flatten(2)).transpose(1, 2)[..., None]
    torch.testing.assert_close(forecast_of(model, values, mask, calendar), expected)


@pytest.mark.parametrize("make", [STIDConfig, STAEformerConfig])
def test_neutral_slots_and_days_are_embedded_as_zeros(make: Callable[..., Any]) -> None:
    name = "stid" if make is STIDConfig else "staeformer"
    model: Any = build_model(name, Sizes(12, 4, N, n_slots=24)).eval()
    values, mask, calendar = a_batch()
    neutral = torch.zeros_like(calendar)
    forecast = forecast_of(model, values, mask, neutral)
    with torch.no_grad():
        model.slot.weight += 1
        model.day.weight += 1
    assert torch.equal(forecast_of(model, values, mask, neutral), forecast)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (lambda: STIDConfig(12, 12, 3, n_layers=0), "expected n_layers of at least 1, got 0"),
        (lambda: STIDConfig(12, 12, 3, dropout=1.0), "expected dropout to be a share below 1"),
        (lambda: STAEformerConfig(12, 12, 3, n_heads=5), r"expected n_heads to divide the width 104 .*, got 5"),
        (lambda: STAEformerConfig(12, 12, 3, value_width=2.5), "expected value_width to be a whole number"),
        (lambda: DLinearConfig(0, 12), "expected window of at least 1, got 0"),
    ],
)
def test_invalid_sizes_are_refused(config: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config()
