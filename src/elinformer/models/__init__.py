"""Forecasting models: tensors in, tensors out; needs torch alone."""

from elinformer.models.elinformer import ELinFormer, ELinFormerConfig

__all__ = ["ELinFormer", "ELinFormerConfig"]
