from .catalog import convert_dataset as convert_dataset
from .catalog import load_dataset as load_dataset
from .io.convert import convert_panel as convert_panel
from .io.folder import write_blocks as write_blocks
from .io.folder import write_panel as write_panel
from .io.read import read_panel as read_panel
from .panel import Panel as Panel
from .simulation.simulate import simulate_freeway as simulate_freeway
