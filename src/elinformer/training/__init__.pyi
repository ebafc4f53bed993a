from .config import TrainingConfig as TrainingConfig
from .fit import FitResult as FitResult
from .module import ForecastModule as ForecastModule
