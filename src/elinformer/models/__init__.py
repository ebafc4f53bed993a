"""Forecasting models: tensors in, tensors out; needs torch alone."""

from elinformer.models.elinformer import ELinFormer, ELinFormerConfig
from elinformer.models.registry import MODELS, build_model, register_model
from elinformer.models.sizes import Sizes
from elinformer.models.twins import TWINS

__all__ = ["MODELS", "TWINS", "ELinFormer", "ELinFormerConfig", "Sizes", "build_model", "register_model"]
