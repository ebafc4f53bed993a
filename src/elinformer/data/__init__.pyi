from .catalog import load_dataset as load_dataset
from .conversion import convert_panel as convert_panel
from .disk import write_panel as write_panel
from .formats import read_panel as read_panel
from .panel import Panel as Panel
from .simulate import simulate_freeway as simulate_freeway
