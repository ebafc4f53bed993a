from .config import TrainingConfig as TrainingConfig
from .module import ForecastModule as ForecastModule
from .result import FitResult as FitResult
