"""Forecasting models, from a `Batch` to a tensor. They need torch and numpy alone."""

from elinformer.models.dlinear import DLinear, DLinearConfig
from elinformer.models.elinformer import ATTENTIONS, ELinFormer, ELinFormerConfig
from elinformer.models.registry import MODELS, Sizes, build_model, register_model
from elinformer.models.staeformer import STAEformer, STAEformerConfig
from elinformer.models.stid import STID, STIDConfig

__all__ = [
    "ATTENTIONS",
    "MODELS",
    "STID",
    "DLinear",
    "DLinearConfig",
    "ELinFormer",
    "ELinFormerConfig",
    "STAEformer",
    "STAEformerConfig",
    "STIDConfig",
    "Sizes",
    "build_model",
    "register_model",
]
