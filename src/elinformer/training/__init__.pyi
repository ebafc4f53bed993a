from .config import TrainingConfig as TrainingConfig
from .fit import FitResult as FitResult
from .fit import fit as fit
from .module import ForecastModule as ForecastModule
