from .config import TrainingConfig as TrainingConfig
from .fit import fit as fit
from .module import ForecastModule as ForecastModule
from .result import FitResult as FitResult
