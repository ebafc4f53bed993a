"""Training of any module with the library's forward: LightningModule, Trainer set-up, saving."""

from elinformer.training.config import TrainingConfig
from elinformer.training.fit import FitResult, fit
from elinformer.training.module import ForecastModule

__all__ = ["FitResult", "ForecastModule", "TrainingConfig", "fit"]
