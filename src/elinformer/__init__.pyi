from .data import Panel as Panel
from .data import load_dataset as load_dataset
from .data import read_panel as read_panel
from .data import simulate_freeway as simulate_freeway
from .errors import InputError as InputError
from .forecaster import Forecaster as Forecaster
from .models import ELinFormer as ELinFormer
from .models import ELinFormerConfig as ELinFormerConfig
from .ops import eala_attention as eala_attention

__version__: str
