from .catalog import load_dataset as load_dataset
from .formats import read_panel as read_panel
from .panel import Panel as Panel
from .simulate import simulate_freeway as simulate_freeway
