from .comparison import compare as compare
from .data import Panel as Panel
from .data import load_dataset as load_dataset
from .data import read_panel as read_panel
from .data import simulate_freeway as simulate_freeway
from .errors import InputError as InputError
from .forecaster import Forecaster as Forecaster
from .models import ELinFormer as ELinFormer
from .models import ELinFormerConfig as ELinFormerConfig
from .nn import EntropyLinearAttention as EntropyLinearAttention
from .nn import swap_attention as swap_attention
from .ops import KeyState as KeyState
from .ops import attention_entropy as attention_entropy
from .ops import eala_attention as eala_attention

__version__: str
